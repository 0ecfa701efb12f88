"""The risk gate: the one way by which an order comes into the journal, and so onto the wire."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Final

import structlog
from asyncpg import Connection

from services.executor.desk import Desk
from services.executor.guard import Guard
from services.executor.headroom import Headroom
from services.executor.journal import Journal
from services.executor.market import Market
from shared.domain.intents import HoldPair
from shared.domain.money import ZERO
from shared.domain.order import Leg, Side
from shared.domain.position import PairState
from shared.domain.risk import (
    Refusal,
    Refused,
    RiskLimits,
    adds_risk,
    admit,
    review,
    review_price,
    review_rank,
)
from shared.domain.routing import Route
from shared.runtime.clock import Clock
from shared.store.gate import Wish, lock_gate, read_stake
from shared.store.kill import press_kill_once, read_forbidding
from shared.store.orders import AttemptRow, claim_attempt
from shared.store.plans import PlanRow

FORBIDS_RISK: Final = 1
FORBIDS_ALL: Final = 4
NEVER: Final = 5
BY: Final = "executor"
DISARMING: Final = tuple(reason.value for reason in Refusal if reason.disarms)

log = structlog.get_logger()


class Gate:
    """Says no with a reason, or journals; what reduces risk is stopped by a kill of level 4 alone.

    ``is_crossed`` tells whether somebody's long stands where our short would: closing ours could
    not reduce only.

    In ``safe_mode``, which is what goes on after level 4, not even by that.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        market: Market,
        clock: Clock,
        guard: Guard,
        headroom: Headroom,
        limits: RiskLimits,
        is_crossed: Callable[[Desk], bool],
        safe_mode: bool = False,
    ) -> None:
        self._is_crossed = is_crossed
        self._journal = journal
        self._market = market
        self._clock = clock
        self._guard = guard
        self._headroom = headroom
        self._limits = limits
        self._reduce_level = NEVER if safe_mode else FORBIDS_ALL

    async def begin(
        self, plan: PlanRow, desk: Desk, first_leg: Leg, state: PairState, chosen: Route
    ) -> Refused | bool:
        """Begin a plan, or say why not; False when it was ended by somebody else meanwhile."""
        adds = self.adds_risk(plan, desk)
        if adds and (refused := self._review(plan, desk)) is not None:
            return refused
        async with self._journal.transaction() as connection:
            if adds:
                wish = Wish(plan.id, plan.pair, plan.target_quantity, ZERO, ZERO)
                if (refused := await self._admit(connection, wish)) is not None:
                    return refused
            return await self._journal.begin(
                connection,
                plan,
                desk.pair,
                first_leg.value,
                desk.position,
                state,
                self._market.venue_at or plan.decided_at,
                chosen.approach.mode,
                chosen.reason,
            )

    async def claim(
        self, plan: PlanRow, desk: Desk, attempt: AttemptRow, *, adds: bool
    ) -> Refused | None:
        """Journal one order and its first send, or say why not.

        ``adds``: the order adds risk, so every limit is checked with it, under the gate's lock.
        Raises: InvariantViolation when the lease is lost.
        """
        attempt = self._aged(attempt, plan.pair)
        if not adds:
            async with self._journal.pool.acquire() as connection:
                level = self.forbidden_at(adds=False)
                return await self._journaled(connection, attempt, plan.pair, level)
        refused = self._review(plan, desk) or review_price(
            attempt.limit_price, self._market.of(plan.pair), self._limits
        )
        if refused is not None:
            return refused
        async with self._journal.transaction() as connection:
            refused = await self._admit(connection, _wish(plan, attempt))
            level = self.forbidden_at(adds=True)
            return refused or await self._journaled(connection, attempt, plan.pair, level)

    def forbidden_at(self, *, adds: bool) -> int:
        """Return the kill level from which on an order may not be sent."""
        return FORBIDS_RISK if adds else self._reduce_level

    def adds_risk(self, plan: PlanRow, desk: Desk) -> bool:
        """Return whether the plan's target is above what is hedged."""
        return adds_risk(_intent(plan), self._market.of(plan.pair), desk.held)

    def _review(self, plan: PlanRow, desk: Desk) -> Refused | None:
        if self._guard.differs:
            return Refused(Refusal.LEDGER_DIFFERS, "; ".join(self._guard.details))
        if desk.is_foreign:
            return Refused(Refusal.LEDGER_DIFFERS, "somebody else trades in this pair")
        if self._is_crossed(desk):
            return Refused(Refusal.LEDGER_DIFFERS, "somebody's long stands against our short")
        if (refused := review_rank(desk.adl_rank, self._limits)) is not None:
            return refused
        if (said := self._headroom.forbids()) is not None:
            return Refused(Refusal.MARGIN_RATE, said)
        fresh = self._market.has_reached(plan.pair, plan.decided_at) and self._market.is_fresh(
            plan.pair
        )
        now = self._market.venue_at or plan.decided_at
        market = self._market.of(plan.pair)
        return review(_intent(plan), market, desk.held, self._limits, now, fresh=fresh)

    async def _admit(self, connection: Connection, wish: Wish) -> Refused | None:
        """Check every limit under the gate's lock; a throttle that trips forbids all new risk."""
        venue_at = self._market.venue_at
        if venue_at is None:
            return Refused(Refusal.PRICE_MISSING, "venue time is not known")
        await lock_gate(connection)
        if (said := await read_forbidding(connection, FORBIDS_RISK, wish.pair)) is not None:
            return Refused(Refusal.KILLED, said)
        marks = {name: m.mark_price for name, m in self._market.markets.items()}
        stake = await read_stake(
            connection,
            wish,
            prices={name: mark for name, mark in marks.items() if mark is not None},
            collar=self._limits.collar,
            rearmed_by=DISARMING,
            venue_at=venue_at,
            now=self._clock.now(),
        )
        refused = admit(stake, self._limits)
        if refused is not None and refused.reason.disarms:
            log.error("disarmed", reason=str(refused), pair=wish.pair)
            await press_kill_once(connection, FORBIDS_RISK, str(refused), BY)
        return refused

    async def _journaled(
        self, connection: Connection, attempt: AttemptRow, pair: str, kill_level: int
    ) -> Refused | None:
        claim = await claim_attempt(
            connection, attempt, pair=pair, epoch=self._journal.lease.epoch, kill_level=kill_level
        )
        if not claim.held:
            raise self._journal.lease.lost()
        return None if claim.killed is None else Refused(Refusal.KILLED, claim.killed)

    def _aged(self, attempt: AttemptRow, pair: str) -> AttemptRow:
        behind, silent = self._market.ages(pair)
        return replace(attempt, book_behind_seconds=behind, book_silent_seconds=silent)


def _wish(plan: PlanRow, attempt: AttemptRow) -> Wish:
    worth: Decimal = attempt.quantity * attempt.limit_price
    is_spot = attempt.leg == Leg.SPOT.value
    buys = worth if is_spot and attempt.side == Side.BUY.value else ZERO
    sells = worth if not is_spot and attempt.side == Side.SELL.value else ZERO
    return Wish(plan.id, plan.pair, plan.target_quantity, buys, sells)


def _intent(plan: PlanRow) -> HoldPair:
    return HoldPair(plan.pair, plan.target_quantity, plan.until_at, plan.reason)
