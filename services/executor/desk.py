"""One pair's desk: what it owns, its open orders, and the booking of everything that happens."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import structlog

from services.executor.journal import Journal
from services.executor.market import Market
from services.executor.metrics import ExecutorMetrics
from shared.bus.messages import FillBooked
from shared.domain.errors import InvariantViolation
from shared.domain.instrument import Category, Pair
from shared.domain.money import ZERO, floor_to, plain
from shared.domain.order import Leg, Side
from shared.domain.position import PairPosition, PairState, after_fill
from shared.exchange.ports import ExecutionReport, OrderReport
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.store.orders import (
    Booked,
    FillRow,
    book_fill,
    end_attempt,
    insert_venue_event,
    read_filled,
    read_owner,
)

FOREIGN: Final = "foreign"
FUNDING: Final = "Funding"
TRADE: Final = "Trade"
QUEUE_MAX: Final = 10_000

Report = OrderReport | ExecutionReport

log = structlog.get_logger()


@dataclass(slots=True)
class Tracked:
    """An order of ours that has not come to its end: final, with all its executions booked.

    One that ``rests`` may stay at the venue until it is ``unwanted``. A kill of level
    ``forbidden_at`` stops it from being sent again.
    """

    link_id: str
    plan_id: str
    leg: Leg
    category: Category
    symbol: str
    signed_at: datetime
    correlation_id: str
    booked: Decimal = ZERO
    report: OrderReport | None = None
    ended: str | None = None
    rests: bool = False
    unwanted: bool = False
    forbidden_at: int = 1


class Desk:
    """Books reports of one pair in the order of their arrival; twice or late changes nothing.

    ``spare_coin`` tells how much of a pair's coin the account holds that no pair owns. ``adl_rank``
    is our short's place in the line to be deleveraged, as last seen: 5 comes first, 0 is not in it.
    """

    def __init__(
        self,
        pair: Pair,
        *,
        spare_coin: Callable[[Pair], Decimal],
        journal: Journal,
        market: Market,
        clock: Clock,
        metrics: ExecutorMetrics,
    ) -> None:
        self.pair = pair
        self.position = PairPosition()
        self.state = PairState.CLOSED
        self.correlation_id = ""
        self.is_foreign = False
        self.adl_rank = 0
        self.orders: dict[str, Tracked] = {}
        self.changed = asyncio.Event()
        self.loaded = asyncio.Event()
        self.unhedged_seconds = ZERO
        self.unhedged_since: datetime | None = None
        self._spare_coin = spare_coin
        self._journal = journal
        self._market = market
        self._clock = clock
        self._metrics = metrics
        self._queue: asyncio.Queue[Report] = asyncio.Queue(QUEUE_MAX)

    @property
    def held(self) -> Decimal:
        """The quantity that is hedged, base units, not negative: the smaller of both legs."""
        lot = self.pair.common_lot
        return max(ZERO, min(floor_to(self.position.spot_quantity, lot), self.short))

    @property
    def short(self) -> Decimal:
        """The perpetual short, positive when short."""
        return self.position.perp_quantity.copy_negate()

    @property
    def is_hedged(self) -> bool:
        """Whether both legs are one: what is left over is worth nothing or cannot be traded."""
        price = self.price
        if price is None:
            return self.position.net_delta == ZERO
        return self.position.is_hedged(self.pair, price)

    @property
    def unhedged_for(self) -> Decimal:
        """For how long one leg has stood without the other, wall seconds; zero when none does."""
        if self.unhedged_since is None:
            return ZERO
        return seconds_between(self.unhedged_since, self._clock.now())

    @property
    def price(self) -> Decimal | None:
        """The mark price, or else the perpetual's mid."""
        market = self._market.of(self.pair.name)
        if market.mark_price is not None:
            return market.mark_price
        return None if market.perp is None else market.perp.mid_price

    @property
    def resting_state(self) -> PairState:
        """The state that fits what is owned, while no plan runs."""
        if not self.is_hedged:
            return PairState.BROKEN
        flat = abs(self.position.perp_quantity) < self.pair.perp.step
        return PairState.CLOSED if flat else PairState.HEDGED

    def receive(self, report: Report) -> None:
        """Queue a report; it is booked by ``book``."""
        try:
            self._queue.put_nowait(report)
        except asyncio.QueueFull:
            raise InvariantViolation(
                f"{self.pair.name}: {QUEUE_MAX} reports wait to be booked"
            ) from None

    async def drained(self) -> None:
        """Wait until every report received so far is booked."""
        await self._queue.join()

    async def book(self) -> None:
        """Book what is received, for ever, once it is known what the pair owns."""
        await self.loaded.wait()
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._store(batch)
            for _ in batch:
                self._queue.task_done()

    async def _store(self, batch: Sequence[Report]) -> None:
        """Store a batch in one transaction; what is in memory follows the commit."""
        for report in batch:
            if isinstance(report, OrderReport):
                self._note(report)
        rows = [await self._row(r) for r in batch if isinstance(r, ExecutionReport)]
        if rows or self._ended({}):
            await self._commit(rows)
        self.changed.set()

    async def _commit(self, rows: Sequence[FillRow]) -> None:
        now = self._clock.now()
        if rows:
            reached(CrashPoint.FILL_RECEIVED)
        new: list[tuple[FillRow, Booked]] = []
        totals: dict[str, Decimal] = {}
        async with self._journal.transaction() as connection:
            for row in rows:
                booked = await book_fill(connection, row, now)
                if booked is None:
                    if row.link_id in self.orders:  # stored before we followed the order
                        totals[row.link_id] = await read_filled(connection, row.link_id)
                    continue
                new.append((row, booked))
                reached(CrashPoint.FILL_STORING)
                if booked.filled_quantity is not None:
                    totals[row.link_id] = booked.filled_quantity
            ended = self._ended(totals)
            for order, report, state in ended:
                await end_attempt(
                    connection,
                    order.link_id,
                    state,
                    now,
                    order_id=report.order_id,
                    message=report.reject_reason or None,
                )
                key = f"order:{report.order_id}:{report.status}:{report.updated_at.isoformat()}"
                await insert_venue_event(connection, key, order.link_id, asdict(report), now)
            await self._journal.say(
                connection, [_fill_booked(row) for row, _ in new if row.plan_id is not None]
            )
        if new:
            reached(CrashPoint.FILL_STORED)
        for order, _, state in ended:
            self.end(order, state)
        for link_id, total in totals.items():
            if link_id in self.orders:
                self.orders[link_id].booked = total
        for row, booked in new:
            self._moved(row, booked)
        if new:
            self.follow_hedge()
        await self._judge(new)

    def end(self, order: Tracked, state: str) -> None:
        """Forget an order that has come to its end."""
        order.ended = state
        self.orders.pop(order.link_id, None)
        self._metrics.attempts.labels(end=state).inc()
        self.changed.set()

    def follow_hedge(self) -> None:
        """Run or stop the clock of one leg alone."""
        now = self._clock.now()
        if not self.is_hedged:
            self.unhedged_since = self.unhedged_since or now
        elif self.unhedged_since is not None:
            self.unhedged_seconds += seconds_between(self.unhedged_since, now)
            self.unhedged_since = None

    def _note(self, report: OrderReport) -> None:
        order = self.orders.get(report.link_id)
        if order is not None and report.is_final:
            order.report = report

    def _ended(self, totals: Mapping[str, Decimal]) -> list[tuple[Tracked, OrderReport, str]]:
        """Return the orders that are final and whose executions add up to what was filled."""
        return [
            (order, order.report, _end_of(order.report))
            for order in self.orders.values()
            if order.report is not None
            and totals.get(order.link_id, order.booked) >= order.report.filled_quantity
        ]

    async def _row(self, report: ExecutionReport) -> FillRow:
        """Attribute an execution: to our order, to the pair it happened to, or to a stranger."""
        plan_id, leg, correlation = await self._owner(report)
        moves = report.exec_type != FUNDING and correlation != FOREIGN
        moved = after_fill(PairPosition(), report.fill, self.pair.base) if moves else PairPosition()
        return FillRow(
            fill=report.fill,
            link_id=report.link_id,
            order_id=report.order_id,
            plan_id=plan_id,
            leg=leg,
            pair=self.pair.name,
            exec_type=report.exec_type,
            is_maker=report.is_maker,
            correlation_id=correlation,
            spot_quantity=moved.spot_quantity,
            perp_quantity=moved.perp_quantity,
            spot_value=moved.spot_value,
            perp_value=moved.perp_value,
        )

    async def _owner(self, report: ExecutionReport) -> tuple[str | None, str | None, str]:
        order = self.orders.get(report.link_id)
        if order is not None:
            return order.plan_id, order.leg.value, order.correlation_id
        if report.link_id:
            async with self._journal.pool.acquire() as connection:
                owner = await read_owner(connection, report.link_id)
            if owner is not None:
                return owner.plan_id, owner.leg, owner.correlation_id
        # A fill of ours may come later than what the venue did to the position that it made.
        coming = any(order.leg is Leg.PERP for order in self.orders.values())
        is_perp = report.fill.category is Category.LINEAR
        holds = is_perp and (coming or self.position.perp_quantity != ZERO)
        if self._shrinks(report):
            return None, None, self.correlation_id
        if report.exec_type == TRADE or not (holds or report.exec_type == FUNDING):
            return None, None, FOREIGN
        return None, None, self.correlation_id  # the venue's own doing, to a position of ours

    def _shrinks(self, report: ExecutionReport) -> bool:
        """Whether somebody took a part of what is ours, so that the other leg has to follow.

        A short that was bought back: the venue nets it. Coins that were sold: nobody else has them.
        """
        fill = report.fill
        if report.exec_type != TRADE:
            return False
        if fill.category is Category.LINEAR:
            return fill.side is Side.BUY and fill.quantity <= self.short
        is_ours = self._spare_coin(self.pair) < fill.quantity <= self.position.spot_quantity
        return fill.side is Side.SELL and is_ours

    def _moved(self, row: FillRow, booked: Booked) -> None:
        if (
            booked.spot_quantity is not None
            and booked.perp_quantity is not None
            and booked.spot_value is not None
            and booked.perp_value is not None
        ):
            self.position = PairPosition(
                booked.spot_quantity, booked.perp_quantity, booked.spot_value, booked.perp_value
            )
        self._metrics.fills.inc()
        log.info(
            "order_filled" if row.exec_type == TRADE else "venue_executed",
            correlation_id=row.correlation_id,
            plan_id=row.plan_id,
            pair=row.pair,
            client_order_id=row.link_id,
            exec_id=row.fill.exec_id,
            exec_type=row.exec_type,
            side=row.fill.side.value,
            category=row.fill.category.value,
            quantity=plain(row.fill.quantity),
            price=plain(row.fill.price),
        )

    async def _judge(self, new: Sequence[tuple[FillRow, Booked]]) -> None:
        """Alarm what should not have happened."""
        for row, booked in new:
            what = f"{row.fill.side.value} {row.fill.quantity} {row.fill.symbol}"
            if row.correlation_id == FOREIGN:
                self.is_foreign = True
                await self._journal.alarm("foreign_execution", what, row.pair)
            elif row.plan_id is None and row.exec_type != FUNDING:
                self.is_foreign |= row.exec_type == TRADE  # a person's doing: E12
                detail = f"{row.exec_type}: {what}"
                await self._journal.alarm("venue_reduced_position", detail, row.pair)
            elif booked.attempt_state in ("absent", "rejected"):
                await self._journal.alarm("late_fill", f"{row.link_id}: {what}", row.pair)


def seconds_between(start: datetime, end: datetime) -> Decimal:
    """Return wall seconds to the microsecond."""
    span = end - start
    micros = (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    return max(ZERO, Decimal(micros).scaleb(-6))


def _end_of(report: OrderReport) -> str:
    return {"Filled": "filled", "Rejected": "rejected"}.get(report.status, "cancelled")


def _fill_booked(row: FillRow) -> FillBooked:
    fill = row.fill
    return FillBooked(
        plan_id=row.plan_id or "",
        correlation_id=row.correlation_id,
        pair=row.pair,
        category=fill.category.value,
        exec_id=fill.exec_id,
        side=fill.side.value,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        venue_at=fill.venue_at,
    )
