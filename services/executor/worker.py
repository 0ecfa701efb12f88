"""Works one pair's plans one after another: review, then advance until the gap is closed."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

import structlog

from services.executor.desk import Desk, Tracked, seconds_between
from services.executor.journal import Journal
from services.executor.market import Market
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Orders
from shared.domain.execution import (
    Finish,
    Outcome,
    PlanProgress,
    Purpose,
    Send,
    Wait,
    advance,
    first_leg,
)
from shared.domain.intents import HoldPair
from shared.domain.money import ZERO, plain
from shared.domain.order import Leg, client_order_id
from shared.domain.policy import ExecutionPolicy
from shared.domain.position import PairState
from shared.domain.risk import Exposure, Refused, RiskLimits, review
from shared.runtime.clock import Clock
from shared.store.orders import AttemptRow, PlanRow, read_first_booked_at, read_tries

ADDS_RISK: Final = 1
REDUCES_RISK: Final = 4
QUOTES_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """How plans are worked: limits, bands, the spot fee taken in coin, the id's environment."""

    limits: RiskLimits
    execution: ExecutionPolicy
    spot_fee: Decimal
    environment: str


class Worker:
    """One task per pair; a newer target takes over as soon as no order is in flight."""

    def __init__(
        self,
        desk: Desk,
        *,
        orders: Orders,
        journal: Journal,
        market: Market,
        clock: Clock,
        rules: Rules,
        metrics: ExecutorMetrics,
        room: asyncio.Semaphore,
        exposure: Callable[[Desk, int], Exposure],
        sent: deque[datetime],
        plan_ended: Callable[[], None],
    ) -> None:
        self.desk = desk
        self.plan: PlanRow | None = None
        self.target = ZERO
        self._orders = orders
        self._journal = journal
        self._market = market
        self._clock = clock
        self._rules = rules
        self._metrics = metrics
        self._room = room
        self._exposure = exposure
        self._sent = sent
        self._plan_ended = plan_ended
        self._waiting: list[PlanRow] = []
        self._woken = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether no plan runs or waits and no order is open."""
        return self.plan is None and not self._waiting and not self.desk.orders

    def offer(self, plan: PlanRow) -> None:
        """Take a plan up as soon as the ones before it are out of the way."""
        if plan.id not in {known.id for known in self._waiting} and (
            self.plan is None or self.plan.id != plan.id
        ):
            self._waiting.append(plan)
            self._woken.set()

    async def run(self) -> None:
        """Work plans, for ever."""
        while True:
            await self._woken.wait()
            while self._waiting:
                async with self._room:
                    self.plan = self._waiting.pop(0)
                    try:
                        with structlog.contextvars.bound_contextvars(
                            correlation_id=self.plan.correlation_id,
                            pair=self.plan.pair,
                            plan_id=self.plan.id,
                        ):
                            await self._work(self.plan)
                    finally:
                        self.plan, self.target = None, ZERO
            self._woken.clear()

    async def _work(self, plan: PlanRow) -> None:
        began = self._clock.monotonic()
        if plan.state == "working":
            self.target = plan.target_quantity  # before any wait: others' limits must count it
        for order in list(self.desk.orders.values()):
            await self._orders.settle(self.desk, order)
        if plan.state == "working":
            async with self._journal.pool.acquire() as connection:
                tries = [Purpose(p) for p in await read_tries(connection, plan.id)]
                self.desk.unhedged_since = await read_first_booked_at(connection, plan.id)
            self.desk.follow_hedge()
            await self._drive(plan, Leg(plan.first_leg), tries)
        else:
            await self._start(plan)
        self._metrics.plan_seconds.observe(self._clock.monotonic() - began)
        self._plan_ended()

    async def _start(self, plan: PlanRow) -> None:
        market = await self._market.reached(plan.pair, plan.decided_at, QUOTES_SECONDS)
        if self._overtaken():
            await self._finish(plan, "refused", "superseded", None)
            return
        intent = HoldPair(plan.pair, plan.target_quantity, plan.until_at, plan.reason)
        exposure = self._exposure(self.desk, await self._journal.kill_level())
        if not self._market.has_reached(plan.pair, plan.decided_at):
            exposure = replace(exposure, fresh=False)
        now = self._market.venue_at or plan.decided_at
        verdict = review(intent, market, exposure, self._rules.limits, now)
        self.desk.unhedged_seconds = ZERO
        if isinstance(verdict, Refused):
            moving = self.desk.state in (PairState.OPENING, PairState.UNWINDING)
            state = self.desk.resting_state if moving else None
            await self._finish(plan, "refused", f"{verdict.reason.value}: {verdict.detail}", state)
            return
        self.target = plan.target_quantity
        opening = plan.target_quantity > self.desk.held
        leg = first_leg(market, opening=opening)
        state = PairState.OPENING if opening else PairState.UNWINDING
        if not await self._journal.begin(plan, leg.value, self.desk.position, state, now):
            return
        self.desk.state, self.desk.correlation_id = state, plan.correlation_id
        log.info("plan_started", target=plain(plan.target_quantity), first=leg.value)
        await self._drive(plan, leg, [])

    async def _drive(self, plan: PlanRow, first: Leg, tries: list[Purpose]) -> None:
        while True:
            if self._overtaken():
                await self._give_way(plan)
                return
            position = self.desk.position
            progress = PlanProgress(
                plan.target_quantity,
                first,
                position.spot_quantity,
                position.perp_quantity,
                tuple(tries),
            )
            market = self._market.of(plan.pair)
            command = advance(progress, market, self._rules.execution, self._rules.spot_fee)
            match command:
                case Wait():
                    await self._market.moved(LOOK_SECONDS)
                case Finish(outcome):
                    await self._end(plan, outcome)
                    return
                case Send():
                    if not await self._attempt(plan, command, len(tries) + 1):
                        await self._killed(plan)
                        return
                    tries.append(command.purpose)

    async def _attempt(self, plan: PlanRow, send: Send, number: int) -> bool:
        """Journal one order, send it and see it to its end; False when a kill forbids it."""
        link_id = client_order_id(self._rules.environment, plan.id, send.leg, number)
        instrument = self.desk.pair.spot if send.leg is Leg.SPOT else self.desk.pair.perp
        now = self._clock.now()
        attempt = AttemptRow(
            link_id=link_id,
            plan_id=plan.id,
            leg=send.leg.value,
            number=number,
            category=send.leg.category.value,
            symbol=instrument.symbol,
            side=send.side.value,
            quantity=send.quantity,
            limit_price=send.limit_price,
            reduce_only=send.reduce_only,
            purpose=send.purpose.value,
            signed_at=now,
            correlation_id=plan.correlation_id,
        )
        order = Tracked(
            link_id,
            plan.id,
            send.leg,
            send.leg.category,
            instrument.symbol,
            now,
            plan.correlation_id,
        )
        opens = send.purpose is Purpose.FIRST and plan.target_quantity > self.desk.held
        self.desk.orders[link_id] = order
        claim = await self._journal.claim(attempt, ADDS_RISK if opens else REDUCES_RISK)
        if not claim.made:
            self.desk.orders.pop(link_id)
            return False
        self._sent.append(now)
        await self._orders.send(self.desk, order, attempt)
        return True

    async def _end(self, plan: PlanRow, outcome: Outcome) -> None:
        state = {Outcome.HEDGED: PairState.HEDGED, Outcome.FLAT: PairState.CLOSED}.get(
            outcome, PairState.BROKEN
        )
        if outcome is Outcome.BROKEN:
            await self._journal.alarm("pair_broken", self._owned(), plan.pair)
        await self._finish(plan, outcome.value, plan.reason, state)

    async def _give_way(self, plan: PlanRow) -> None:
        """End a plan whose target is not wanted any more; the next one starts from what it owns."""
        match self.desk.resting_state:
            case PairState.HEDGED:
                state = Outcome.HEDGED.value
            case PairState.CLOSED:
                state = Outcome.FLAT.value
            case _:
                state = Outcome.BROKEN.value
        await self._finish(plan, state, "superseded", None)

    async def _killed(self, plan: PlanRow) -> None:
        await self._finish(plan, "refused", "killed", self.desk.resting_state)

    async def _finish(
        self, plan: PlanRow, outcome: str, reason: str, state: PairState | None
    ) -> None:
        desk = self.desk
        unhedged = desk.unhedged_seconds
        if desk.unhedged_since is not None:
            unhedged += seconds_between(desk.unhedged_since, self._clock.now())
        await self._journal.finish(
            plan,
            state=outcome,
            reason=reason,
            position=desk.position,
            position_state=state,
            unhedged_seconds=unhedged,
            venue_at=self._market.venue_at,
        )
        if state is not None:
            desk.state = state
        self._metrics.plans.labels(outcome=outcome).inc()
        self._metrics.unhedged_seconds.observe(float(unhedged))
        log.info(
            "plan_finished",
            outcome=outcome,
            reason=reason,
            unhedged_seconds=str(unhedged),
            spot=plain(desk.position.spot_quantity),
            perp=plain(desk.position.perp_quantity),
        )

    def _overtaken(self) -> bool:
        return bool(self._waiting)

    def _owned(self) -> str:
        return f"spot {self.desk.position.spot_quantity} perp {self.desk.position.perp_quantity}"
