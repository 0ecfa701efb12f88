"""Their truth against ours: before the first order, and for ever after."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import structlog

from services.executor.bookkeeper import Bookkeeper
from services.executor.desk import Desk, Tracked
from services.executor.executor import ORDER_WINDOW, Executor
from services.executor.guard import Guard
from services.executor.journal import Journal
from services.executor.market import Market, wait
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Orders
from shared.domain.errors import Malformed, Transient
from shared.domain.instrument import Category, Pair
from shared.domain.money import ZERO, plain
from shared.domain.order import Leg, parse_client_order_id
from shared.exchange.ports import TradingGateway
from shared.runtime.clock import Clock
from shared.store.orders import (
    OpenAttempt,
    read_attempt_times,
    read_foreign_pairs,
    read_newest_fill,
    read_open_attempts,
    read_unfinished_plans,
)
from shared.store.positions import ensure_positions, read_positions

OVERLAP: Final = timedelta(hours=2)  # venue time, which replay runs at thousands of times ours
SWEEP_SECONDS: Final = 15.0
SECOND_LOOK_SECONDS: Final = 2.0
CONNECT_SECONDS: Final = 15.0
DIFFERENCE: Final = "venue"

log = structlog.get_logger()


class Reconciler:
    """``armed`` is set once orders, executions, ledger and positions agree with the venue."""

    def __init__(
        self,
        gateway: TradingGateway,
        *,
        executor: Executor,
        bookkeeper: Bookkeeper,
        orders: Orders,
        journal: Journal,
        market: Market,
        clock: Clock,
        guard: Guard,
        metrics: ExecutorMetrics,
        history_start: datetime,
        safe_mode: bool = False,
    ) -> None:
        self.armed = asyncio.Event()
        self._gateway = gateway
        self._executor = executor
        self._bookkeeper = bookkeeper
        self._orders = orders
        self._journal = journal
        self._market = market
        self._clock = clock
        self._guard = guard
        self._metrics = metrics
        self._history_start = history_start
        self._safe_mode = safe_mode
        self._sweep_now = asyncio.Event()
        executor.on_reset(self._sweep_now.set)

    async def start(self) -> None:
        """Bring our state up to the venue's, then allow orders and go on with open plans.

        The loops of the executor must be running: reports are booked by them.
        """
        await self._gateway.check_account(sorted(p.perp.symbol for p in self._pairs()))
        await self.load()
        if not await wait(self._executor.connected, CONNECT_SECONDS):
            raise Transient("the private stream does not connect")
        await self._resolve_attempts()
        await self._catch_up()
        await self._bookkeeper.load(self._history_start)
        await self._bookkeeper.read()
        await self._judge(await self.differences(), at_once=True)
        await self._journal.lease.settled()
        await self._cancel_resting()
        if not self._safe_mode:
            async with self._journal.pool.acquire() as connection:
                plans = await read_unfinished_plans(connection)
            for plan in plans:
                self._executor.workers[plan.pair].offer(plan)
        self._metrics.armed.set(1)
        self.armed.set()
        log.info("executor_armed", epoch=self._journal.lease.epoch, safe_mode=self._safe_mode)

    async def load(self) -> None:
        """Read what we own and whose orders are open."""
        now = self._clock.now()
        async with self._journal.transaction() as connection:
            names = [(p.name, p.base) for p in self._pairs()]
            await ensure_positions(connection, names, now)
            positions = await read_positions(connection)
            foreign = await read_foreign_pairs(connection)
            attempts = await read_open_attempts(connection)
            self._executor.sent.extend(await read_attempt_times(connection, now - ORDER_WINDOW))
        for row in positions:
            desk = self._executor.desks.get(row.pair)
            if desk is not None:
                desk.position, desk.state = row.position, row.state
                desk.correlation_id = row.correlation_id
                desk.is_foreign = row.pair in foreign
        for attempt in attempts:
            desk = self._desk_of(attempt)
            if desk is not None:
                desk.orders[attempt.link_id] = _tracked(attempt)

    async def run(self) -> None:
        """Look again every fifteen seconds, and whenever the private stream was lost."""
        await self.armed.wait()
        self._sweep_now.clear()
        while True:
            was_reset = await wait(self._sweep_now, SWEEP_SECONDS)
            self._sweep_now.clear()
            try:
                if was_reset:
                    await self._catch_up()
                    self._bookkeeper.wake.set()
                await self.sweep()
            except (Transient, Malformed) as error:
                log.warning("reconciliation_failed", detail=str(error))

    async def sweep(self) -> None:
        """Compare twice before a difference counts; then remove what stands alone."""
        found = await self.differences()
        if found:
            await self._clock.sleep(SECOND_LOOK_SECONDS)
            await self._catch_up()  # an execution that no event told and a lagging read left out
            found = await self.differences()
        await self._judge(found, at_once=False)
        if self._safe_mode:
            await self._cancel_resting()
        for name, desk in self._executor.desks.items():
            worker = self._executor.workers[name]
            if worker.is_idle and not desk.is_hedged and not desk.is_foreign:
                await self._executor.repair(desk)

    async def differences(self) -> list[str] | None:
        """Return where positions or wallet differ from ours; None when something is in flight."""
        if not self._executor.is_idle:
            return None
        await self._bookkeeper.read()
        before = dict(self._bookkeeper.sums.wallet)
        positions, wallet = await asyncio.gather(
            self._gateway.read_positions(), self._gateway.read_wallet()
        )
        await self._bookkeeper.read()
        if not self._executor.is_idle:
            return None
        theirs = {report.symbol: report.quantity for report in positions}
        ours = {
            desk.pair.perp.symbol: desk.position.perp_quantity
            for desk in self._executor.desks.values()
        }
        found = [
            _difference(symbol, ours.get(symbol, ZERO), theirs.get(symbol, ZERO))
            for symbol in sorted({*ours, *theirs})
            if ours.get(symbol, ZERO) != theirs.get(symbol, ZERO)
        ]
        after = self._bookkeeper.sums.wallet
        for coin in sorted({*after, *wallet}):
            held = wallet.get(coin, ZERO)
            if held not in (before.get(coin, ZERO), after.get(coin, ZERO)):
                found.append(_difference(coin, after.get(coin, ZERO), held))
        return found

    async def _judge(self, found: list[str] | None, *, at_once: bool) -> None:
        if found is None:
            return
        detail = "; ".join(found) or None
        if self._guard.report(DIFFERENCE, detail) and detail is not None:
            await self._journal.alarm("position_differs", detail)
        if at_once:
            log.info("compared_with_venue", differences=found)

    async def _resolve_attempts(self) -> None:
        """Prove what became of every order that was open when we last ended."""
        async with asyncio.TaskGroup() as group:
            for desk in self._executor.desks.values():
                for order in list(desk.orders.values()):
                    group.create_task(self._orders.settle(desk, order))

    async def _catch_up(self) -> None:
        """Read every execution since the newest stored one, with an overlap."""
        async with self._journal.pool.acquire() as connection:
            newest = await read_newest_fill(connection)
        start = self._history_start if newest is None else newest - OVERLAP
        for category in (Category.SPOT, Category.LINEAR):
            await self._executor.fetch_executions(category, start)

    async def _cancel_resting(self) -> None:
        """Cancel what rests: our orders never do, so it is a leftover, or in safe mode anybody's.

        A stranger's order is left alone while we trade: it only stops new opens when it fills.
        """
        for order in await self._gateway.read_open_orders():
            if _is_ours(order.link_id) or self._safe_mode:
                await self._gateway.cancel_order(order.category, order.symbol, order.link_id)
                log.warning("resting_order_cancelled", client_order_id=order.link_id)

    def _desk_of(self, attempt: OpenAttempt) -> Desk | None:
        for desk in self._executor.desks.values():
            product = desk.pair.spot if attempt.leg == Leg.SPOT.value else desk.pair.perp
            if product.symbol == attempt.symbol:
                return desk
        return None

    def _pairs(self) -> list[Pair]:
        return list(self._market.pairs.values())


def _is_ours(link_id: str) -> bool:
    try:
        parse_client_order_id(link_id)
    except Malformed:
        return False
    return True


def _tracked(attempt: OpenAttempt) -> Tracked:
    return Tracked(
        attempt.link_id,
        attempt.plan_id,
        Leg(attempt.leg),
        Category(attempt.category),
        attempt.symbol,
        attempt.signed_at,
        attempt.correlation_id,
        booked=attempt.filled_quantity,
    )


def _difference(name: str, ours: Decimal, theirs: Decimal) -> str:
    return f"{name}: ours {plain(ours)}, the venue's {plain(theirs)}"
