"""``TradingGateway`` over the simulated venue: the network in between, and what it does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeVar

from shared.domain.errors import (
    ExchangeUnavailable,
    Malformed,
    OutcomeUnknown,
)
from shared.domain.instrument import Category
from shared.domain.order import OrderTicket
from shared.exchange.bybit.errors import CANCEL_DONE_CODES, refused_read, refused_write
from shared.exchange.bybit.rest import refuse_stalled
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
from shared.runtime.clock import Clock
from shared.venue.margin import maintenance_margin
from shared.venue.records import Event, Execution, Order, OrderRequest
from shared.venue.rules import Refused
from tests.simulation.clock import wall
from tests.simulation.loop import Process
from tests.simulation.venue import SimVenue
from tests.simulation.world import World
from tests.support.fake_gateway import execution_report, instant, log_row, order_report

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 5.0
LATE_MAX: Final = 6.0
REFUSALS: Final = (110007, 110003, 110094, 170131, 170193, 30208)
UNKNOWN_CODES: Final = (10000, 10019, 10429, 20006, 170001, 170007, 170032, 170146, 999_999)


class SimGateway:
    """One process's way to the venue. ``sending`` is told each order as it goes on the wire."""

    def __init__(
        self,
        world: World,
        process: Process,
        venue: SimVenue,
        clock: Clock,
        sending: Callable[[Process, OrderTicket, datetime], None],
    ) -> None:
        self._world = world
        self._process = process
        self._venue = venue
        self._clock = clock
        self._sending = sending
        self._dice = world.dice(f"network of {process.name}")
        self._latency = world.chosen("latency", lambda: self._dice.pick((0.005, 0.03, 0.2)))
        self._queue: asyncio.Queue[PrivateEvent] = asyncio.Queue()
        self._deliver_at = 0.0
        self._connected_at = 0.0
        self._resets = 0
        venue.told.append(self._hear)
        process.on_death.append(self._hang_up)

    async def check_account(self, symbols: Sequence[str], coins: Sequence[str]) -> KeyInfo:
        """As the port says."""
        return await self._read("account", lambda: KeyInfo("desk-1", True, False, (), None))

    async def place_order(self, ticket: OrderTicket, signed_at: datetime) -> str:
        """As the port says; a lost or late request, a lost or strange reply leave it in doubt."""
        world, process = self._world, self._process
        refuse_stalled(signed_at, self._clock)
        await world.passing(process, "before send")
        self._sending(process, ticket, signed_at)
        world.note(process, f"sends {ticket.link_id} {ticket.side} {ticket.quantity}")
        fault = next((k for k in BEFORE if world.strikes(k, process)), "")
        if fault == "request_late":
            delay = world.chosen(fault, lambda: self._dice.between(0.2, LATE_MAX))
            world.later(delay, self._arrives_late, ticket, signed_at)
        if fault in ("request_lost", "request_late"):
            await self._silence(ticket)
        await self._travel()
        if self._is_down:
            await self._silence(ticket)
        in_doubt = fault in ("busy", "code_unknown")
        is_taken = in_doubt and world.chosen("taken", lambda: self._dice.chance(0.5))
        if fault in CODES and not is_taken:
            await self._travel()
            raise refused_write(self._code(fault), fault)
        if self._is_revoked:
            raise refused_write(10003, "API key is invalid.")
        try:
            order_id = self._venue.receive(_request(ticket), signed_at)
        except Refused as error:
            world.note("venue", f"refuses {ticket.link_id}: {error.code}")
            await self._travel()
            raise refused_write(error.code, error.message) from error
        if fault in CODES:
            raise refused_write(self._code(fault), fault)
        if world.strikes("reply_malformed", process):
            raise OutcomeUnknown("accepted without an order id")
        if world.strikes("reply_lost", process):
            await self._silence(ticket)
        if world.strikes("reply_late", process):
            await asyncio.sleep(world.chosen("reply_late", self._late))
        await self._travel()
        await world.passing(process, "after send")
        return order_id

    async def cancel_order(self, category: Category, symbol: str, link_id: str) -> None:
        """As the port says."""
        await self._world.passing(self._process, "before cancel")
        await self._travel()
        if self._is_down or self._world.strikes("request_lost", self._process):
            await asyncio.sleep(TIMEOUT_SECONDS)
            raise OutcomeUnknown(f"{link_id}: no answer to the cancel")
        try:
            self._venue.cancel(category.value, symbol, link_id)
        except Refused as error:
            if error.code not in CANCEL_DONE_CODES:
                raise refused_write(error.code, error.message) from error

    async def read_order(self, category: Category, symbol: str, link_id: str) -> OrderReport | None:
        """As the port says."""

        def answer() -> OrderReport | None:
            order = self._venue.order_shown(category.value, link_id)
            return None if order is None else order_report(order)

        return await self._read("order", answer)

    async def read_open_orders(self) -> list[OrderReport]:
        """As the port says."""
        return await self._read(
            "open orders", lambda: [order_report(o) for o in self._venue.open_orders_shown()]
        )

    async def read_executions(
        self, category: Category, *, link_id: str | None = None, start: datetime | None = None
    ) -> list[ExecutionReport]:
        """As the port says."""

        def answer() -> list[ExecutionReport]:
            shown = self._venue.state("executions").executions
            return [
                execution_report(e)
                for e in self._venue.exchange.executions[:shown]
                if e.category == category.value
                and (link_id is None or e.link_id == link_id)
                and (link_id is not None or start is None or instant(e.time_ms) >= start)
            ]

        return await self._read("executions", answer)

    async def read_wallet(self) -> Mapping[str, Decimal]:
        """As the port says."""

        def answer() -> Mapping[str, Decimal]:
            rows = self._venue.exchange.log[: self._venue.state("wallet").log]
            return {row.currency: row.cash_balance for row in rows}

        return await self._read("wallet", answer)

    async def read_margin(self) -> MarginRates:
        """As the port says."""

        margin = await self._read("margin", self._venue.exchange.margin)
        rate = margin.maintenance / margin.balance
        self._venue.margin_told[str(self._process)] = (wall(self._world.loop), rate)
        return MarginRates(rate, margin.initial / margin.balance, margin.balance)

    async def fetch_top(self, category: Category, symbol: str) -> FeedQuote:
        """As the port says."""

        def answer() -> FeedQuote:
            exchange = self._venue.exchange
            bids, asks = exchange.book(category.value, symbol)
            if not bids or not asks:
                raise Malformed(f"the book of {symbol} has an empty side")
            return FeedQuote(category, symbol, *bids[0], *asks[0], instant(exchange.now_ms))

        return await self._read("top", answer)

    async def read_positions(self) -> list[PositionReport]:
        """As the port says."""

        def answer() -> list[PositionReport]:
            held = self._venue.state("positions").positions
            exchange = self._venue.exchange

            def bound(symbol: str, quantity: Decimal) -> Decimal:
                worth = abs(quantity) * exchange.marks[symbol]
                return maintenance_margin(exchange.rules["linear", symbol], worth)

            return [
                PositionReport(s, q, None, None, Decimal(0), maintenance=bound(s, q))
                for s, q in held.items()
            ]

        return await self._read("positions", answer)

    async def read_transaction_log(self, start: datetime) -> list[LogRow]:
        """As the port says."""

        def answer() -> list[LogRow]:
            rows = self._venue.exchange.log[: self._venue.state("log").log]
            return [log_row(e) for e in rows if instant(e.time_ms) >= start]

        return await self._read("log", answer)

    async def private_events(self) -> AsyncIterator[PrivateEvent]:
        """As the port says."""
        await self._travel()
        self._queue = asyncio.Queue()
        self._deliver(StreamReset(), self._resets)
        while True:
            event = await self._queue.get()
            await self._world.passing(self._process, "event heard")
            yield event

    async def close(self) -> None:
        """As the port says."""
        self._hang_up()

    def reset(self, seconds: float) -> None:
        """Lose the stream for ``seconds``, and whatever was on its way."""
        self._resets += 1
        self._connected_at = self._world.loop.time() + seconds
        self._world.later(seconds, self._deliver, StreamReset(), self._resets)

    @property
    def _is_down(self) -> bool:
        return self._world.loop.time() < self._venue.down_until

    @property
    def _is_revoked(self) -> bool:
        return self._world.loop.time() < self._venue.revoked_until

    def _hang_up(self) -> None:
        if self._hear in self._venue.told:
            self._venue.told.remove(self._hear)

    def _arrives_late(self, ticket: OrderTicket, signed_at: datetime) -> None:
        try:
            if not self._is_down and not self._is_revoked:
                self._venue.receive(_request(ticket), signed_at)
                self._world.tally["late requests accepted"] += 1
        except Refused as error:
            self._world.note("venue", f"refuses late {ticket.link_id}: {error.code}")

    async def _silence(self, ticket: OrderTicket) -> None:
        is_reset = self._dice.chance(0.5)
        drawn = self._dice.between(0.01, 1.0) if is_reset else TIMEOUT_SECONDS
        await asyncio.sleep(self._world.chosen("silence", lambda: drawn))
        await self._world.passing(self._process, "after silence")
        raise OutcomeUnknown(f"{ticket.link_id}: no reply")

    async def _travel(self) -> None:
        await asyncio.sleep(self._latency * self._dice.between(0.5, 2.0))
        if self._process.is_dead:
            raise asyncio.CancelledError

    async def _read(self, what: str, answer: Callable[[], T]) -> T:
        world, process = self._world, self._process
        await world.passing(process, f"read {what}")
        await self._travel()
        if self._is_down or world.strikes("read_lost", process):
            await asyncio.sleep(TIMEOUT_SECONDS)
            raise ExchangeUnavailable("no answer")
        if self._is_revoked:
            raise refused_read(10003, "API key is invalid.")
        if world.strikes("read_malformed", process):
            raise Malformed("not JSON")
        found = answer()
        if world.strikes("read_late", process):
            await asyncio.sleep(world.chosen("read_late", self._late))
        await self._travel()
        return found

    def _late(self) -> float:
        return self._dice.between(0.2, TIMEOUT_SECONDS)

    def _code(self, fault: str) -> int:
        return self._world.chosen(fault, lambda: self._world.dice(fault).pick(CODES[fault]))

    def _hear(self, events: Sequence[Event]) -> None:
        world = self._world
        if world.loop.time() < self._connected_at or self._is_down:
            return
        for event in events:
            report = _report(event)
            if report is None or world.strikes("event_dropped", self._process):
                continue
            delay = self._latency * self._dice.between(0.5, 2.0)
            self._deliver_at = max(self._deliver_at, world.loop.time() + delay)
            times = 2 if world.strikes("event_doubled", self._process) else 1
            late = 0.0
            if world.strikes("event_late", self._process):
                late = world.chosen("event_late", lambda: self._dice.between(0.1, 6.0))
            for n in range(times):
                at = self._deliver_at + late * (n == 0)
                world.later(at - world.loop.time(), self._deliver, report, self._resets)

    def _deliver(self, event: PrivateEvent, of_connection: int) -> None:
        if of_connection == self._resets:
            self._queue.put_nowait(event)


CODES: Final[Mapping[str, Sequence[int]]] = {
    "refused": REFUSALS,
    "rate_limited": (10006,),
    "clock_refused": (10002,),
    "busy": (10016,),
    "code_unknown": UNKNOWN_CODES,
}
BEFORE: Final = ("request_lost", "request_late", *CODES)


def _request(ticket: OrderTicket) -> OrderRequest:
    return OrderRequest(
        ticket.category.value,
        ticket.symbol,
        ticket.side.value,
        "Limit",
        ticket.quantity,
        ticket.limit_price,
        "IOC",
        ticket.link_id,
        ticket.reduce_only,
    )


def _report(event: Event) -> PrivateEvent | None:
    if isinstance(event.data, Order):
        return order_report(event.data)
    return execution_report(event.data) if isinstance(event.data, Execution) else None
