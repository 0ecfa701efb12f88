"""A ``TradingGateway`` over the venue's own rules, in memory, with faults on demand."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from shared.domain.errors import (
    ExchangeUnavailable,
    Malformed,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
)
from shared.domain.instrument import Category
from shared.domain.order import Fill, OrderTicket, Side
from shared.exchange.ports import (
    ExecutionReport,
    FeedQuote,
    KeyInfo,
    LogRow,
    MarginRates,
    OrderReport,
    PositionReport,
    PrivateEvent,
    StreamReset,
)
from shared.venue.exchange import Exchange
from shared.venue.margin import maintenance_margin
from shared.venue.records import Execution, LogEntry, Order, OrderRequest
from shared.venue.rules import Refused

Fault = Callable[[OrderTicket], None]


class FakeGateway:
    """Answers as the venue would; ``before`` and ``after`` hold one fault per coming order.

    ``copies`` is how often the private stream says each thing; 0 mutes it. ``margin`` is said in
    the place of what the venue reckons.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.before: deque[Fault | None] = deque()
        self.after: deque[Fault | None] = deque()
        self.copies = 1
        self.is_reachable = True
        self.adl_rank = 0
        self.margin: MarginRates | None = None
        self.tops: list[tuple[Category, str]] = []
        self.placed: list[OrderTicket] = []
        self.checked: list[str] = []
        self._placing = asyncio.Event()
        self._streams: list[asyncio.Queue[PrivateEvent]] = []

    async def check_account(self, symbols: Sequence[str], coins: Sequence[str]) -> KeyInfo:
        self.checked = list(symbols)
        return KeyInfo("desk-1", True, False, (), None)

    async def place_order(self, ticket: OrderTicket, signed_at: datetime) -> str:
        await asyncio.sleep(0)
        self._strike(self.before, ticket)
        self.placed.append(ticket)
        self._placing.set()
        try:
            order = self.exchange.place(
                OrderRequest(
                    ticket.category.value,
                    ticket.symbol,
                    ticket.side.value,
                    "Limit",
                    ticket.quantity,
                    ticket.limit_price,
                    "PostOnly" if ticket.rests else "IOC",
                    ticket.link_id,
                    ticket.reduce_only,
                )
            )
        except Refused as error:
            raise OrderRejected(error.code, error.message) from error
        self.push()
        self._strike(self.after, ticket)
        return order.order_id

    async def sent(self, count: int) -> None:
        """Wait until ``count`` orders have reached the venue."""
        while len(self.placed) < count:
            self._placing.clear()
            await self._placing.wait()

    def push(self) -> None:
        """Say on the private stream what has happened."""
        reports: list[PrivateEvent] = []
        for event in self.exchange.drain():
            if isinstance(event.data, Order):
                reports.append(order_report(event.data))
            elif isinstance(event.data, Execution):
                reports.append(execution_report(event.data))
        for stream in self._streams:
            for report in reports:
                for _ in range(self.copies):
                    stream.put_nowait(report)

    async def cancel_order(self, category: Category, symbol: str, link_id: str) -> None:
        self._reach()
        self.exchange.cancel(category.value, symbol, link_id=link_id)

    async def read_order(self, category: Category, symbol: str, link_id: str) -> OrderReport | None:
        self._reach()
        order = self.exchange.find(category.value, link_id=link_id)
        return None if order is None else order_report(order)

    async def read_open_orders(self) -> list[OrderReport]:
        self._reach()
        return [order_report(order) for order in self.exchange.open_orders]

    async def read_executions(
        self, category: Category, *, link_id: str | None = None, start: datetime | None = None
    ) -> list[ExecutionReport]:
        self._reach()
        found = [execution_report(e) for e in self.exchange.executions]
        return [
            report
            for report in found
            if report.fill.category is category
            and (link_id is None or report.link_id == link_id)
            and (link_id is not None or start is None or report.fill.venue_at >= start)
        ]

    async def read_wallet(self) -> Mapping[str, Decimal]:
        self._reach()
        return dict(self.exchange.wallet)

    async def read_margin(self) -> MarginRates:
        self._reach()
        if self.margin is not None:
            return self.margin
        margin = self.exchange.margin()
        rates = (margin.maintenance / margin.balance, margin.initial / margin.balance)
        return MarginRates(*rates, margin.balance)

    async def read_positions(self) -> list[PositionReport]:
        self._reach()
        return [
            PositionReport(
                p.symbol,
                p.size,
                p.entry_price,
                self.exchange.marks[p.symbol],
                p.unrealised_pnl(self.exchange.marks[p.symbol]),
                self.adl_rank,
                maintenance=maintenance(self.exchange, p.symbol),
            )
            for p in self.exchange.positions.values()
            if p.size
        ]

    async def read_transaction_log(self, start: datetime) -> list[LogRow]:
        self._reach()
        return [log_row(e) for e in self.exchange.log if instant(e.time_ms) >= start]

    async def fetch_top(self, category: Category, symbol: str) -> FeedQuote:
        self._reach()
        self.tops.append((category, symbol))
        bids, asks = self.exchange.book(category.value, symbol)
        if not bids or not asks:
            raise Malformed(f"the book of {symbol} has an empty side")
        return FeedQuote(category, symbol, *bids[0], *asks[0], instant(self.exchange.now_ms))

    async def private_events(self) -> AsyncIterator[PrivateEvent]:
        stream: asyncio.Queue[PrivateEvent] = asyncio.Queue()
        self._streams.append(stream)
        try:
            yield StreamReset()
            while True:
                yield await stream.get()
        finally:
            self._streams.remove(stream)

    async def close(self) -> None:
        self._streams.clear()

    def _reach(self) -> None:
        if not self.is_reachable:
            raise ExchangeUnavailable("no answer")

    @staticmethod
    def _strike(faults: deque[Fault | None], ticket: OrderTicket) -> None:
        fault = faults.popleft() if faults else None
        if fault is not None:
            fault(ticket)


def lost(ticket: OrderTicket) -> None:
    """Nobody knows what became of it."""
    raise OutcomeUnknown(f"{ticket.link_id}: no reply")


def not_taken(ticket: OrderTicket) -> None:
    """Too many requests: nothing happened."""
    raise RateLimited("10006: Too many visits")


def refused(ticket: OrderTicket) -> None:
    """A definite no."""
    raise OrderRejected(110007, "ab not enough for new order")


def maintenance(exchange: Exchange, symbol: str) -> Decimal:
    """Return the least margin that a position binds at its mark."""
    worth = abs(exchange.positions[symbol].size) * exchange.marks[symbol]
    return maintenance_margin(exchange.rules["linear", symbol], worth)


def instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def order_report(order: Order) -> OrderReport:
    return OrderReport(
        category=Category(order.category),
        symbol=order.symbol,
        order_id=order.order_id,
        link_id=order.link_id,
        side=Side(order.side),
        status=order.status,
        is_final=not order.is_open,
        quantity=order.qty,
        limit_price=order.price or Decimal(0),
        filled_quantity=order.filled_qty,
        filled_value=order.filled_value,
        reject_reason="" if order.reject_reason == "EC_NoError" else order.reject_reason,
        updated_at=instant(order.updated_ms),
    )


def execution_report(execution: Execution) -> ExecutionReport:
    fill = Fill(
        Category(execution.category),
        execution.exec_id,
        execution.symbol,
        Side(execution.side),
        execution.qty,
        execution.price,
        execution.fee,
        execution.fee_currency,
        instant(execution.time_ms),
    )
    return ExecutionReport(
        fill, execution.order_id, execution.link_id, execution.exec_type, execution.is_maker
    )


def log_row(entry: LogEntry) -> LogRow:
    return LogRow(
        key=f"{entry.id}:{entry.currency}",
        kind=entry.type,
        category=entry.category,
        symbol=entry.symbol,
        currency=entry.currency,
        side=entry.side,
        quantity=entry.qty,
        price=entry.trade_price or None,
        cash_flow=entry.cash_flow,
        funding=entry.funding,
        fee=entry.fee,
        change=entry.change,
        balance=entry.cash_balance,
        exec_id=entry.trade_id,
        order_id=entry.order_id,
        link_id=entry.link_id,
        venue_at=instant(entry.time_ms),
    )
