"""Works one pair's plans one after another: review, then advance until the gap is closed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import structlog

from services.executor.desk import Desk, Tracked, seconds_between
from services.executor.gate import Gate
from services.executor.journal import Journal
from services.executor.market import Market, wait
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Orders
from shared.domain.costs import FeeRates
from shared.domain.execution import (
    Approach,
    Command,
    Finish,
    Outcome,
    PlanProgress,
    Purpose,
    Send,
    Wait,
    advance,
    first_leg,
)
from shared.domain.money import ZERO, plain
from shared.domain.order import Leg, client_order_id
from shared.domain.policy import ExecutionPolicy
from shared.domain.position import PairState
from shared.domain.risk import Refused, RiskLimits
from shared.domain.routing import Route, route
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.store.orders import AttemptRow, read_tries
from shared.store.plans import PlanRow, read_first_booked_at

QUOTES_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """How plans are worked: limits, bands, taker fees (spot's is in coin), the id's environment."""

    limits: RiskLimits
    execution: ExecutionPolicy
    fees: FeeRates
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
        gate: Gate,
        plan_ended: Callable[[], None],
    ) -> None:
        self.desk = desk
        self.plan: PlanRow | None = None
        self._orders = orders
        self._journal = journal
        self._market = market
        self._clock = clock
        self._rules = rules
        self._metrics = metrics
        self._room = room
        self._gate = gate
        self._refused: Refused | None = None
        self._plan_ended = plan_ended
        self._approach = Approach()
        self._waiting: list[PlanRow] = []
        self._woken = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether no plan runs or waits and no order is open."""
        return self.plan is None and not self._waiting and not self.desk.orders

    @property
    def target(self) -> Decimal | None:
        """What the newest plan that runs or waits wants held, base units; None without one."""
        newest = self._waiting[-1] if self._waiting else self.plan
        return None if newest is None else newest.target_quantity

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
                        self.plan = None
            self._woken.clear()

    async def _work(self, plan: PlanRow) -> None:
        began = self._clock.monotonic()
        for order in list(self.desk.orders.values()):
            await self._orders.settle(self.desk, order)
        if plan.state == "working":
            async with self._journal.pool.acquire() as connection:
                tries = [Purpose(p) for p in await read_tries(connection, plan.id)]
                self.desk.unhedged_since = await read_first_booked_at(connection, plan.id)
            self.desk.follow_hedge()
            first = Leg(plan.first_leg)
            chosen = (await self._route(plan, first)).approach
            again = tries.count(Purpose.FIRST) + 1  # what a crash cut short may be tried once more
            self._approach = replace(chosen, tries=max(chosen.tries, again))
            await self._drive(plan, first, tries)
        else:
            await self._start(plan)
        self._metrics.plan_seconds.observe(self._clock.monotonic() - began)
        self._plan_ended()

    async def _start(self, plan: PlanRow) -> None:
        market = await self._market.reached(plan.pair, plan.decided_at, QUOTES_SECONDS)
        if self._overtaken():
            await self._finish(plan, "refused", "superseded", None)
            return
        self.desk.unhedged_seconds = ZERO
        opening = self._gate.adds_risk(plan, self.desk)
        leg = first_leg(market, opening=opening)
        state = PairState.OPENING if opening else PairState.UNWINDING
        chosen = await self._route(plan, leg)
        begun = await self._gate.begin(plan, self.desk, leg, state, chosen)
        if isinstance(begun, Refused):
            moving = self.desk.state in (PairState.OPENING, PairState.UNWINDING)
            resting = self.desk.resting_state if moving else None
            await self._finish(plan, "refused", str(begun), resting)
            return
        if not begun:
            return
        self._approach = chosen.approach
        self.desk.state, self.desk.correlation_id = state, plan.correlation_id
        log.info(
            "plan_started",
            target=plain(plan.target_quantity),
            first=leg.value,
            mode=chosen.approach.mode.value,
            why=chosen.reason,
        )
        await self._drive(plan, leg, [])

    async def _route(self, plan: PlanRow, first: Leg) -> Route:
        """Choose how the first leg is got; nothing rests unless a watchdog would cancel it."""
        policy, held = self._rules.execution, self.desk.held
        may_rest = policy.maker_seconds > ZERO and await self._journal.watchdog_lives()
        return route(
            self._market.of(plan.pair),
            first,
            abs(plan.target_quantity - held),
            opening=plan.target_quantity > held,
            may_rest=may_rest,
            policy=policy,
            fees=self._rules.fees,
        )

    async def _drive(self, plan: PlanRow, first: Leg, tries: list[Purpose]) -> None:
        while True:
            if self._overtaken():
                await self._give_way(plan)
                return
            match self._next(plan, first, tries, self._approach):
                case Wait():
                    await self._market.moved(LOOK_SECONDS)
                case Finish(outcome):
                    await self._end(plan, outcome)
                    return
                case Send(rests=True) as send:
                    tries.append(send.purpose)
                    if not await self._rest(plan, send, first, tries):
                        await self._killed(plan)
                        return
                case Send() as send:
                    tries.append(send.purpose)
                    if not await self._attempt(plan, send, len(tries)):
                        await self._killed(plan)
                        return

    def _next(self, plan: PlanRow, first: Leg, tries: list[Purpose], approach: Approach) -> Command:
        progress = PlanProgress(
            plan.target_quantity,
            first,
            self.desk.position.spot_quantity,
            self.desk.position.perp_quantity,
            tuple(tries),
            approach=approach,
            unhedged_seconds=self.desk.unhedged_for,
        )
        market, rules = self._market.of(plan.pair), self._rules
        return advance(progress, market, rules.execution, rules.fees.spot_taker)

    async def _rest(self, plan: PlanRow, send: Send, first: Leg, tries: list[Purpose]) -> bool:
        """Let an order rest, hedge what it brings at once, and take it away in time.

        Returns False when a kill forbids it.
        """
        deadline = self._clock.monotonic() + float(self._rules.execution.maker_seconds)
        resting, killed = asyncio.create_task(self._attempt(plan, send, len(tries))), False
        try:
            while not resting.done():
                changed = self.desk.changed
                changed.clear()
                left = deadline - self._clock.monotonic()
                hedge = self._next(plan, first, tries, Approach())
                if left <= 0 or killed or self._overtaken() or self._is_unwind(hedge):
                    for order in self.desk.orders.values():
                        order.unwanted = order.rests
                    changed.set()
                    await asyncio.wait({resting})
                elif isinstance(hedge, Send):
                    tries.append(hedge.purpose)
                    killed = not await self._attempt(plan, hedge, len(tries))
                else:
                    waiting = asyncio.ensure_future(wait(changed, left))
                    await asyncio.wait({resting, waiting}, return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
            return await resting and not killed
        finally:
            resting.cancel()

    @staticmethod
    def _is_unwind(command: Command) -> bool:
        return isinstance(command, Send) and command.purpose is Purpose.UNWIND

    async def _attempt(self, plan: PlanRow, send: Send, number: int) -> bool:
        """Journal one order, send it and see it to its end; False when the gate refuses it."""
        link_id = client_order_id(self._rules.environment, plan.id, send.leg, number)
        instrument = self.desk.pair.spot if send.leg is Leg.SPOT else self.desk.pair.perp
        now = self._clock.now()
        market = self._market.of(plan.pair)
        book = market.spot if send.leg is Leg.SPOT else market.perp
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
            book_behind_seconds=None,
            book_silent_seconds=None,
            reference_price=None if book is None else book.mid_price,
        )
        order = Tracked(
            link_id,
            plan.id,
            send.leg,
            send.leg.category,
            instrument.symbol,
            now,
            plan.correlation_id,
            rests=send.rests,
        )
        if send.purpose is not Purpose.FIRST:
            hedges = send.purpose is Purpose.HEDGE
            reached(CrashPoint.HEDGE_WANTED if hedges else CrashPoint.UNWIND_WANTED)
        opens = send.purpose is Purpose.FIRST and self._gate.adds_risk(plan, self.desk)
        order.forbidden_at = self._gate.forbidden_at(adds=opens)
        self.desk.orders[link_id] = order
        self._refused = await self._gate.claim(plan, self.desk, attempt, adds=opens)
        if self._refused is not None:
            self.desk.orders.pop(link_id)
            return False
        reached(CrashPoint.CLAIMED)
        if send.purpose is Purpose.HEDGE:
            reached(CrashPoint.HEDGE_CLAIMED)
        await self._orders.send(self.desk, order, attempt)
        return True

    async def _end(self, plan: PlanRow, outcome: Outcome) -> None:
        state = {Outcome.HEDGED: PairState.HEDGED, Outcome.FLAT: PairState.CLOSED}.get(
            outcome, PairState.BROKEN
        )
        if outcome is Outcome.BROKEN:
            await self._journal.alarm("pair_broken", self._owned(), plan.pair)
        await self._finish(plan, outcome.value, plan.reason, state)

    async def abandon(self, plan: PlanRow) -> None:
        """End a plan of an executor that fell silent; what stands alone is taken back elsewhere."""
        if plan.state == "working":
            await self._finish(plan, self._standing, "watchdog", self.desk.resting_state)
        else:
            await self._finish(plan, "refused", "watchdog", None)

    async def _give_way(self, plan: PlanRow) -> None:
        """End a plan whose target is not wanted any more; the next one starts from what it owns."""
        await self._finish(plan, self._standing, "superseded", None)

    @property
    def _standing(self) -> str:
        """How a plan that is ended now has ended, by what is owned."""
        match self.desk.resting_state:
            case PairState.HEDGED:
                return Outcome.HEDGED.value
            case PairState.CLOSED:
                return Outcome.FLAT.value
            case _:
                return Outcome.BROKEN.value

    async def _killed(self, plan: PlanRow) -> None:
        await self._finish(plan, "refused", str(self._refused), self.desk.resting_state)

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
