"""The running venue: one exchange, one clock, one file; every change is committed, then told."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol, TypeVar

import structlog

from services.simulator.board import Board, News
from services.simulator.clock import Time
from services.simulator.market import Due, Product, Source
from services.simulator.store import Books, Row
from shared.domain.errors import InvariantViolation
from shared.history.records import Bar
from shared.telemetry.metrics import Metrics
from shared.venue.admission import Delisting
from shared.venue.books import Levels
from shared.venue.enforcement import deliver, enforce_margin
from shared.venue.exchange import Exchange
from shared.venue.records import Event, Order, OrderRequest
from shared.venue.state import encode

log = structlog.get_logger()

T = TypeVar("T")

Standing = tuple[str, str, tuple[Levels, Levels], Bar]

SAVE_EVERY_MS: Final = 1000  # venue time: moves of books alone are saved no oftener


class Audience(Protocol):
    """Who is told: everybody what is public, the account's owner what happened to it."""

    def publish(self, news: Iterable[News]) -> None:
        """Queue public news for whoever subscribed."""

    def tell(self, events: Iterable[Event]) -> None:
        """Queue private messages, in order."""


@dataclass(slots=True)
class Options:
    """What the account's owner has set, beside what the exchange itself keeps."""

    delta_mode: bool = False


class Desk:
    """Serialises what changes the books. ``act`` is for requests, ``run`` for the timetable."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        market: Source,
        clock: Time,
        store: Books,
        start_ms: int,
        metrics: Metrics,
    ) -> None:
        self.exchange = exchange
        self.market = market
        self.clock = clock
        self.board = Board(market)
        self.options = Options()
        self.started = False
        self.settlements = 0
        self.forgotten = 0
        self.audience: Audience | None = None
        self._resumes = False
        self.accept_seconds = 0.0
        self._matching: set[asyncio.Task[None]] = set()
        self._broken = asyncio.Event()
        self._store = store
        self._start_ms = start_ms
        self._lock = asyncio.Lock()
        self._places: dict[str, int] = {}
        self._walls: dict[str, int] = {}
        self._middles: dict[tuple[str, str], Decimal] = {}
        self._saved = {"executions": 0, "log": 0}
        self._saved_ms = 0
        self._executions = metrics.counter(
            "executions", "Fills and settlements booked", {"exec_type": ("Trade", "Funding")}
        )
        self._venue_time = metrics.gauge("venue_timestamp_seconds", "Venue time")

    async def open(self, state: dict[str, Any] | None) -> None:
        """Take up ``state`` (None: begin), set the standing books, and commit the beginning."""
        if state is not None:
            self._restore(state)
        moved = self.market.last_move(self._start_ms, self.exchange.now_ms)
        first = Due(self._start_ms, self._start_ms, settles=False)
        standing = self._stand(first if moved is None else moved, marks=state is None)
        if moved is not None:
            self._publish(moved, standing)
        for order_id in list(self.exchange.waiting):
            self.exchange.match(order_id)
        await self._commit()

    @property
    def now_ms(self) -> int:
        """Venue time; it never runs backwards."""
        return max(self.exchange.now_ms, self.clock.now_ms())

    def start(self) -> None:
        """Release venue time."""
        if not self.started or not self.clock.running:
            log.info("venue_released", venue_ms=self.clock.now_ms())
        self.started = True
        self.clock.start()

    def restart(self) -> None:
        """Forget what the venue keeps in memory alone: closed orders, the count of publications."""
        self.forgotten = len(self.exchange.orders)
        self.board.restart()

    async def freeze(self) -> None:
        """Stop venue time; orders still match at the standing prices."""
        async with self._lock:
            self.clock.freeze()
            self.exchange.advance(self.now_ms)
            await self._commit()

    async def act(self, change: Callable[[Exchange], T]) -> T:
        """Return what ``change`` returns, once it is committed; its messages are told after.

        Raises: Refused as the exchange does; nothing has changed then.
        """
        async with self._lock:
            self.exchange.advance(self.now_ms)
            result = change(self.exchange)
            enforce_margin(self.exchange)
            await self._commit()
            return result

    async def submit(self, request: OrderRequest) -> Order:
        """Return an order once its acceptance is committed; it is matched ``accept_seconds`` later.

        What was accepted when the process dies is matched at the next start. Raises: Refused.
        """
        if not self.accept_seconds:
            return await self.act(lambda exchange: exchange.place(request))
        order = await self.act(lambda exchange: exchange.accept(request))
        matching = asyncio.create_task(self._match_later(order.order_id))
        self._matching.add(matching)
        matching.add_done_callback(self._matching.discard)
        return order

    async def _match_later(self, order_id: str) -> None:
        await self.clock.pause(self.accept_seconds)
        await self.act(lambda exchange: exchange.match(order_id))

    async def run(self) -> None:
        """Follow the timetable to its end, then freeze."""
        done = self.exchange.now_ms
        async for due in self.market.dues(self._start_ms, done):
            self.clock.hold_before(due.at_ms)
            if self._resumes:
                self._resumes = False
                self.clock.start()
            while not await self._done(due):
                await self.clock.wait_for(due.at_ms)
            self._venue_time.set(due.at_ms / 1000)
        self.clock.hold_before(self.exchange.now_ms + 1)
        self.clock.freeze()
        log.info("history_ended", venue_ms=self.exchange.now_ms)

    def changed_ms(self, order: Order) -> int:
        """Return when an order last changed, in wall time: what the venue forgets goes by it."""
        return self._walls.get(order.order_id, 0)

    def place(self, order: Order) -> int:
        """Return the order's place among all that were ever accepted."""
        return self._places[order.order_id]

    def middle(self, category: str, symbol: str) -> Decimal | None:
        """Return the middle of a book as it was set; what orders took does not move it."""
        return self._middles.get((category, symbol))

    async def watch(self) -> None:
        """Wait for a commit that failed, and fail with it; raises InvariantViolation."""
        await self._broken.wait()
        raise InvariantViolation("the books could not be saved; start the simulator again")

    def counts(self) -> dict[str, int]:
        """Return how much the books hold; ``executions`` are fills, without settlements."""
        return {
            "orders": len(self.exchange.orders),
            "executions": len(self.exchange.executions) - self.settlements,
            "settlements": self.settlements,
            "log": len(self.exchange.log),
        }

    async def _done(self, due: Due) -> bool:
        """Do what is due and return True; False when it is not, or time was frozen meanwhile."""
        async with self._lock:
            if not self.clock.has_reached(due.at_ms):
                return False
            self.exchange.advance(due.at_ms)
            if due.settles:
                self._settle(due)
            else:
                self._publish(due, self._stand(due))
            acted = enforce_margin(self.exchange)
            await self._commit(lazily=not (due.settles or acted))
            return True

    def _concerned(self, due: Due) -> Iterable[Product]:
        if due.products is not None:
            return due.products
        return [(category, name) for name in self.market.symbols for category in ("spot", "linear")]

    def _settle(self, due: Due) -> None:
        for symbol in sorted({symbol for _, symbol in self._concerned(due)}):
            settled = self.market.due_settlement(symbol, due.hour_ms)
            bar = self.market.bar(symbol, due.hour_ms)
            if settled is None or bar is None:
                continue
            standing = self.exchange.marks[symbol], self.exchange.indexes[symbol]
            self.exchange.set_mark(symbol, bar.mark, self.market.index(symbol, bar))
            if self.exchange.settle(symbol, settled.rate) is not None:
                self.settlements += 1
            # Nobody has been shown the hour's prices yet: the account stays valued at the old ones.
            self.exchange.set_mark(symbol, *standing)

    def _stand(self, due: Due, *, marks: bool = True) -> list[Standing]:
        """Set marks and books as they are at ``due`` and return them."""
        standing: list[Standing] = []
        for category, symbol in self._concerned(due):
            bar = self.market.bar(symbol, due.hour_ms)
            if bar is None:
                continue
            if marks:
                self.exchange.set_mark(symbol, bar.mark, self.market.index(symbol, bar))
            bids, asks = self.market.books(category, symbol, bar)
            if bids and asks:
                self._middles[category, symbol] = (bids[0][0] + asks[0][0]) / 2
            self.exchange.set_book(category, symbol, bids, asks)
            if category == "linear" and (ends_ms := self.market.delivery_ms(symbol, due.hour_ms)):
                self._delist(symbol, ends_ms)
            standing.append((category, symbol, (bids, asks), bar))
        return standing

    def _delist(self, symbol: str, ends_ms: int) -> None:
        """Take no new positions once the end is announced, and close what is held when it comes."""
        now_ms = self.exchange.now_ms
        self.exchange.delistings.setdefault(symbol, Delisting(now_ms, ends_ms))
        position = self.exchange.positions.get(symbol)
        resting = any(
            (o.category, o.symbol) == ("linear", symbol) for o in self.exchange.open_orders
        )
        if now_ms >= ends_ms and (resting or (position is not None and position.size)):
            deliver(self.exchange, symbol)

    def _publish(self, due: Due, standing: Iterable[Standing]) -> None:
        self.board.open_at(due.at_ms)
        news = [each for product in standing for each in self.board.show(*product)]
        if self.audience is not None:
            self.audience.publish(news)

    async def _commit(self, *, lazily: bool = False) -> None:
        """Commit what changed, then tell it: what was told is never lost.

        ``lazily``: where the account is untouched, a second of venue time may stay unsaved.
        """
        events = self.exchange.drain()
        if lazily and not events and self.exchange.now_ms - self._saved_ms < SAVE_EVERY_MS:
            return
        self._saved_ms = self.exchange.now_ms
        try:
            await self._store.save(self._head(), self._changed(events))
        except BaseException:
            self._broken.set()  # memory is ahead of the file: only a restart puts that right
            raise
        if self.audience is not None and events:
            self.audience.tell(events)

    def _changed(self, events: Iterable[Event]) -> list[Row]:
        rows: list[Row] = []
        unsaved = [name for name in self.exchange.waiting if name not in self._places]
        accepted = [self.exchange.order(order_id) for order_id in unsaved]
        for order in [*accepted, *(e.data for e in events if isinstance(e.data, Order))]:
            place = self._places.setdefault(order.order_id, len(self._places))
            wall = self._walls[order.order_id] = self.clock.wall_ms()
            rows.append(("orders", place, {**encode(order), "wall_ms": wall}))
        for execution in self.exchange.executions[self._saved["executions"] :]:
            rows.append(("executions", self._saved["executions"], encode(execution)))
            self._saved["executions"] += 1
            self._executions.labels(execution.exec_type).inc()
        for entry in self.exchange.log[self._saved["log"] :]:
            rows.append(("log", self._saved["log"], encode(entry)))
            self._saved["log"] += 1
        return rows

    def _head(self) -> dict[str, Any]:
        return {
            **self.exchange.head(),
            "start_ms": self._start_ms,
            "started": self.started,
            "running": self.clock.running,
            "settlements": self.settlements,
            "delta_mode": self.options.delta_mode,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        head = state["head"]
        self.exchange.restore(state)
        self._start_ms = head["start_ms"]
        self.started = head["started"]
        self.settlements = head["settlements"]
        self.options.delta_mode = head["delta_mode"]
        self._places = {o.order_id: place for place, o in enumerate(self.exchange.orders)}
        self._walls = {o["order_id"]: o.get("wall_ms", 0) for o in state["orders"]}
        self.forgotten = len(self._places)  # a restart clears what realtime remembers
        self._saved = {"executions": len(self.exchange.executions), "log": len(self.exchange.log)}
        self._resumes = head["running"]
