"""Their truth against ours: before the first order, and for ever after."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import structlog

from services.executor.bookkeeper import Bookkeeper
from services.executor.desk import Desk, Tracked
from services.executor.executor import Executor
from services.executor.guard import Guard
from services.executor.journal import Journal
from services.executor.market import Market, wait
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Orders
from shared.domain.books import Books
from shared.domain.errors import Malformed, OutcomeUnknown, Rejected, Transient
from shared.domain.instrument import Category, Pair
from shared.domain.money import ZERO, plain
from shared.domain.order import Leg, parse_client_order_id
from shared.domain.profit import Stake
from shared.domain.risk import RiskLimits, review_rank
from shared.exchange.ports import OrderReport, PositionReport, TradingGateway
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.store.commands import read_foreign_pairs
from shared.store.orders import (
    OpenAttempt,
    read_newest_fill,
    read_open_attempts,
)
from shared.store.plans import (
    read_unfinished_plans,
)
from shared.store.positions import ensure_positions, read_positions

OVERLAP: Final = timedelta(hours=2)  # venue time, which replay runs at thousands of times ours
SWEEP_SECONDS: Final = 15.0
CATCH_UP_EVERY: Final = 2  # sweeps: executions are read every 30 s although the stream told them
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
        limits: RiskLimits,
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
        self._limits = limits
        self._safe_mode = safe_mode
        self._sweep_now = asyncio.Event()
        executor.on_reset(self._sweep_now.set)

    async def start(self) -> None:
        """Bring our state up to the venue's, then allow orders and go on with open plans.

        The loops of the executor must be running: reports are booked by them.
        """
        reached(CrashPoint.LEASE_TAKEN)
        pairs = self._pairs()
        listed = sorted(p.perp.symbol for p in pairs if p.is_trading)  # of others nothing is told
        await self._gateway.check_account(listed, sorted({p.base for p in pairs}))
        await self.load()
        if not await wait(self._executor.connected, CONNECT_SECONDS):
            raise Transient("the private stream does not connect")
        await cancel_resting(self._gateway, strangers=self._safe_mode)
        await self._bookkeeper.load(self._history_start)
        await self._resolve_attempts()
        await self._catch_up()
        await self._bookkeeper.read()
        await self._judge(await self.differences(), at_once=True)
        await self._journal.lease.settled()
        async with self._journal.pool.acquire() as connection:
            plans = await read_unfinished_plans(connection)
        for plan in plans:
            if self._safe_mode:
                await self._executor.workers[plan.pair].abandon(plan)
            else:
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
        for desk in self._executor.desks.values():
            desk.loaded.set()

    async def run(self) -> None:
        """Look again every fifteen seconds, and whenever the private stream was lost."""
        await self.armed.wait()
        self._sweep_now.clear()
        turn = 0
        while True:
            was_reset = await wait(self._sweep_now, SWEEP_SECONDS)
            self._sweep_now.clear()
            try:
                turn += 1
                if was_reset or turn % CATCH_UP_EVERY == 0:
                    await self._catch_up()
                    self._bookkeeper.wake.set()
                await self.sweep()
            except (Transient, Malformed) as error:
                log.warning("reconciliation_failed", detail=str(error))

    async def sweep(self) -> None:
        """Compare; a difference pauses opens at once and pages when a second look still sees it."""
        await self._resolve_late()
        found = await self.differences()
        if found:
            self._guard.report(DIFFERENCE, "; ".join(found))
            await self._clock.sleep(SECOND_LOOK_SECONDS)
            await self._catch_up()  # an execution that no event told and a lagging read left out
            found = await self.differences()
        await self._judge(found, at_once=False)
        if self._safe_mode:
            await cancel_resting(self._gateway, strangers=True)

    async def differences(self) -> list[str] | None:
        """Return where positions or wallet differ from ours; None when something is in flight.

        What no pair owns is in the books too, so whatever the account holds must be there.
        """
        if not self._executor.is_idle:
            return None
        await self._bookkeeper.read()
        before = self._bookkeeper.books
        positions, wallet = await asyncio.gather(
            self._gateway.read_positions(), self._gateway.read_wallet()
        )
        await self._note_ranks(positions)
        await self._bookkeeper.read()
        if not self._executor.is_idle:
            return None
        return self._compared(before, positions, wallet)

    async def _note_ranks(self, positions: Sequence[PositionReport]) -> None:
        """Keep how near each of our shorts is to being deleveraged; alarm when one comes too near.

        The rank counts only from the alarm on, so that one which was not told is told next time.
        """
        ranks = {p.symbol: p.adl_rank for p in positions if p.quantity < ZERO}
        for name, desk in self._executor.desks.items():
            rank = ranks.get(desk.pair.perp.symbol, 0)
            self._metrics.adl_rank.labels(pair=name).set(rank)
            refused = review_rank(rank, self._limits)
            if refused is not None and review_rank(desk.adl_rank, self._limits) is None:
                correlation, detail = desk.correlation_id, refused.detail
                log.warning("adl_rank_high", pair=name, correlation_id=correlation, detail=detail)
                await self._journal.alarm("adl_rank", detail, name)
            desk.adl_rank = rank

    def _compared(
        self, before: Books, positions: Sequence[PositionReport], wallet: Mapping[str, Decimal]
    ) -> list[str]:
        """Return every difference; what moved while we looked may be as before or as after."""
        after = self._bookkeeper.books
        theirs = {report.symbol: report.quantity for report in positions}
        found = []
        for symbol in sorted({*after.perps, *theirs}):
            held = theirs.get(symbol, ZERO)
            ours = [books.perps.get(symbol, Stake()).quantity for books in (before, after)]
            if held not in ours:
                found.append(_difference(symbol, ours[1], held))
        for coin in sorted({*after.wallet, *wallet}):
            held = wallet.get(coin, ZERO)
            if held not in (before.wallet.get(coin, ZERO), after.wallet.get(coin, ZERO)):
                found.append(_difference(coin, after.wallet.get(coin, ZERO), held))
        owned: dict[str, Decimal] = {}
        for name, desk in self._executor.desks.items():
            position = desk.position
            owned[desk.pair.base] = owned.get(desk.pair.base, ZERO) + position.spot_quantity
            for leg, ours_of_leg, booked in (
                ("coin", position.spot_quantity, after.coin(name)),
                ("perpetual", position.perp_quantity, after.perp(name)),
            ):
                if ours_of_leg != booked:
                    found.append(_difference(f"{name} {leg} in the ledger", ours_of_leg, booked))
        for coin, quantity in sorted(owned.items()):
            held = after.wallet.get(coin, ZERO)
            if held < quantity:
                found.append(f"{coin}: pairs own {plain(quantity)}, the account {plain(held)}")
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

    async def _resolve_late(self) -> None:
        """Follow to its end what a late fill brought back to life after it was proven absent."""
        followed = {link for desk in self._executor.desks.values() for link in desk.orders}
        async with self._journal.pool.acquire() as connection:
            attempts = await read_open_attempts(connection)
        for attempt in attempts:  # what was followed may have ended while they were read
            desk = None if attempt.state == "quarantined" else self._desk_of(attempt)
            if desk is not None and attempt.link_id not in {*followed, *desk.orders}:
                order = desk.orders[attempt.link_id] = _tracked(attempt)
                await self._orders.settle(desk, order)

    async def _catch_up(self) -> None:
        """Read every execution since the newest stored one, with an overlap.

        What happened before the books were opened is in their opening balances.
        """
        async with self._journal.pool.acquire() as connection:
            newest = await read_newest_fill(connection)
        opened = (self._bookkeeper.opened_at or self._history_start) + timedelta(milliseconds=1)
        start = opened if newest is None else max(newest - OVERLAP, opened)
        for category in (Category.SPOT, Category.LINEAR):
            await self._executor.fetch_executions(category, start)

    def _desk_of(self, attempt: OpenAttempt) -> Desk | None:
        for desk in self._executor.desks.values():
            product = desk.pair.spot if attempt.leg == Leg.SPOT.value else desk.pair.perp
            if product.symbol == attempt.symbol:
                return desk
        return None

    def _pairs(self) -> list[Pair]:
        return list(self._market.pairs.values())


async def cancel_resting(gateway: TradingGateway, *, strangers: bool = False) -> list[str]:
    """Cancel what rests and name what could not be: ours is a leftover that nobody stands behind.

    A stranger's order is left alone unless ``strangers``: it only stops new opens when it fills.
    One that cannot be cancelled holds up no other, and nothing that comes after.
    """
    resting = await gateway.read_open_orders()
    chosen = [order for order in resting if strangers or _is_ours(order.link_id)]
    done = await asyncio.gather(*(_cancelled(gateway, order) for order in chosen))
    return [
        f"{order.symbol} {order.link_id or order.order_id}"
        for order, is_done in zip(chosen, done, strict=True)
        if not is_done
    ]


async def _cancelled(gateway: TradingGateway, order: OrderReport) -> bool:
    if not order.link_id:
        return False
    try:
        await gateway.cancel_order(order.category, order.symbol, order.link_id)
    except (Transient, Malformed, OutcomeUnknown, Rejected) as error:
        log.warning("cancel_unanswered", client_order_id=order.link_id, detail=str(error))
        return False
    log.warning("resting_order_cancelled", client_order_id=order.link_id)
    return True


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
        unwanted=True,
    )


def _difference(name: str, ours: Decimal, theirs: Decimal) -> str:
    return f"{name}: ours {plain(ours)}, the venue's {plain(theirs)}"
