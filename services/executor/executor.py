"""Takes targets in, hands them to the pairs' desks, and routes what the venue says."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final

import structlog
from asyncpg import Connection

from services.executor.desk import FOREIGN, Desk, Report
from services.executor.gate import Gate
from services.executor.journal import Journal, finished
from services.executor.market import Market
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Orders
from services.executor.worker import Rules, Worker
from shared.bus.messages import Message, PairWanted
from shared.domain.errors import InvariantViolation
from shared.domain.instrument import Category, Pair
from shared.domain.money import ZERO, plain
from shared.domain.order import content_id
from shared.exchange.ports import ExecutionReport, OrderReport, StreamReset, TradingGateway
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.store.orders import (
    FillRow,
    book_fill,
)
from shared.store.plans import (
    PlanRow,
    finish_plan,
    insert_plan,
    is_overtaken,
    supersede_plans,
)
from shared.store.pool import UNAVAILABLE

PARALLEL_PLANS: Final = 8

log = structlog.get_logger()


class Executor:
    """Every pair's desk and worker, and what they share: the gate, and room to work."""

    def __init__(
        self,
        gateway: TradingGateway,
        *,
        journal: Journal,
        market: Market,
        clock: Clock,
        gate: Gate,
        metrics: ExecutorMetrics,
        orders: Orders,
        rules: Rules,
        epoch: int,
        plan_ended: Callable[[], None],
        spare_coin: Callable[[Pair], Decimal],
    ) -> None:
        self.connected = asyncio.Event()
        self.resets = 0
        self._gateway = gateway
        self._journal = journal
        self._market = market
        self._clock = clock
        self._epoch = epoch
        self._admitted: dict[int, PlanRow] = {}
        self._on_reset: Callable[[], None] = lambda: None
        room = asyncio.Semaphore(PARALLEL_PLANS)
        self.desks = {
            name: Desk(
                pair,
                spare_coin=spare_coin,
                journal=journal,
                market=market,
                clock=clock,
                metrics=metrics,
            )
            for name, pair in market.pairs.items()
        }
        self.workers = {
            name: Worker(
                desk,
                orders=orders,
                journal=journal,
                market=market,
                clock=clock,
                rules=rules,
                metrics=metrics,
                room=room,
                gate=gate,
                plan_ended=plan_ended,
            )
            for name, desk in self.desks.items()
        }
        pairs = market.pairs.values()
        self._by_symbol = {("spot", p.spot.symbol): p.name for p in pairs}
        self._by_symbol |= {("linear", p.perp.symbol): p.name for p in pairs}

    @property
    def is_idle(self) -> bool:
        """Whether no plan runs or waits anywhere."""
        return all(worker.is_idle for worker in self.workers.values())

    def on_reset(self, action: Callable[[], None]) -> None:
        """Call ``action`` whenever the private stream may have missed something."""
        self._on_reset = action

    async def run_desks(self) -> None:
        """Book reports and work plans of every pair, for ever."""
        async with asyncio.TaskGroup() as group:
            for name, desk in self.desks.items():
                group.create_task(desk.book(), name=f"book {name}")
                group.create_task(self.workers[name].run(), name=f"work {name}")

    async def listen(self) -> None:
        """Route the private stream, for ever."""
        async for event in self._gateway.private_events():
            if isinstance(event, StreamReset):
                self.resets += 1
                self.connected.set()
                self._on_reset()
            else:
                await self.route(event)

    async def route(self, report: Report) -> None:
        """Hand a report to its pair's desk; a product we do not trade is a stranger's."""
        match report:
            case OrderReport():
                name = self._by_symbol.get((report.category.value, report.symbol))
            case ExecutionReport():
                fill = report.fill
                name = self._by_symbol.get((fill.category.value, fill.symbol))
        if name is not None:
            self.desks[name].receive(report)
        elif isinstance(report, ExecutionReport):
            await self._book_stranger(report)

    async def fetch_executions(self, category: Category, start: datetime | None) -> None:
        """Bring every execution of a product from ``start`` on into the journal."""
        for report in await self._gateway.read_executions(category, start=start):
            await self.route(report)
        await asyncio.gather(*(desk.drained() for desk in self.desks.values()))

    async def handle(self, connection: Connection, message: Message, sequence: int) -> None:
        """Make a plan of an intent in the consumer's transaction; a newer one takes over."""
        if not isinstance(message, PairWanted):
            return
        if message.pair not in self.desks:
            raise InvariantViolation(f"intent {message.intent_id} is for unknown {message.pair}")
        reached(CrashPoint.INTENT_READ)
        await self._journal.lease.require(connection)
        now = self._clock.now()
        plan = self._plan(message, now)
        if not await _insert(connection, plan, now):
            return
        position = self.desks[message.pair].position
        if await is_overtaken(connection, plan.pair, plan.id, plan.decided_at):
            await finish_plan(
                connection,
                plan_id=plan.id,
                state="refused",
                reason="superseded",
                unhedged_seconds=ZERO,
                venue_at=self._market.venue_at,
                now=now,
            )
            ended = [plan]
        else:
            ended = await supersede_plans(connection, plan.pair, plan.id, plan.decided_at, now)
            self._admitted[sequence] = plan
        await self._journal.say(
            connection, [finished(p, "refused", "superseded", position, ZERO) for p in ended]
        )
        log.info(
            "intent_taken",
            correlation_id=plan.correlation_id,
            plan_id=plan.id,
            pair=plan.pair,
            target=plain(plan.target_quantity),
            sequence=sequence,
        )

    def committed(self, _message: Message, sequence: int) -> None:
        """Wake the worker of a plan whose transaction is committed."""
        plan = self._admitted.pop(sequence, None)
        if plan is not None:
            self.workers[plan.pair].offer(plan)

    async def repair(self, desk: Desk) -> None:
        """Plan to take back what stands without its partner, from what is owned now."""
        if await self.aim(desk, desk.held, "residual"):
            log.warning(
                "residual_found",
                pair=desk.pair.name,
                correlation_id=desk.correlation_id,
                spot=plain(desk.position.spot_quantity),
                perp=plain(desk.position.perp_quantity),
            )

    async def aim(self, desk: Desk, quantity: Decimal, reason: str) -> bool:
        """Plan to hold ``quantity`` of a pair by a wish of our own; False while no quote is known.

        It takes over from whatever plan runs. Raises: what the store does when it is away.
        """
        name = desk.pair.name
        at = self._market.instant_of(name)
        if at is None:
            return False
        now = self._clock.now()
        wanted = PairWanted(
            intent_id=f"{reason}:{name}:{at.isoformat()}:{now.isoformat()}",
            decision_id="",
            correlation_id=desk.correlation_id,
            pair=name,
            quantity=quantity,
            reason=reason,
            decided_at=at,
        )
        plan = self._plan(wanted, now)
        try:
            async with self._journal.transaction() as connection:
                made = await _insert(connection, plan, now)
                reached(CrashPoint.REPAIR_STORING)
        except UNAVAILABLE:  # it may be stored all the same; what is not stored cannot be begun
            self.workers[name].offer(plan)
            raise
        if made:
            self.workers[name].offer(plan)
        return made

    def _plan(self, message: PairWanted, now: datetime) -> PlanRow:
        return PlanRow(
            id=content_id(str(self._epoch), message.intent_id),
            intent_id=message.intent_id,
            pair=message.pair,
            target_quantity=message.quantity,
            first_leg="",
            state="planned",
            reason=message.reason,
            decided_at=message.decided_at,
            correlation_id=message.correlation_id,
            until_at=message.until,
            created_at=now,
        )

    async def _book_stranger(self, report: ExecutionReport) -> None:
        row = FillRow(
            fill=report.fill,
            link_id=report.link_id,
            order_id=report.order_id,
            plan_id=None,
            leg=None,
            pair=report.fill.symbol,
            exec_type=report.exec_type,
            is_maker=report.is_maker,
            correlation_id=FOREIGN,
            spot_quantity=ZERO,
            perp_quantity=ZERO,
            spot_value=ZERO,
            perp_value=ZERO,
        )
        async with self._journal.transaction() as connection:
            booked = await book_fill(connection, row, self._clock.now())
        if booked is not None:
            fill = report.fill
            detail = f"{fill.side.value} {fill.quantity} {fill.symbol}"
            await self._journal.alarm("foreign_execution", detail)


async def _insert(connection: Connection, plan: PlanRow, now: datetime) -> bool:
    return await insert_plan(
        connection,
        plan_id=plan.id,
        intent_id=plan.intent_id,
        pair=plan.pair,
        target_quantity=plan.target_quantity,
        reason=plan.reason,
        decided_at=plan.decided_at,
        correlation_id=plan.correlation_id,
        now=now,
    )
