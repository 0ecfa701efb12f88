"""Where prices come from: what every source tells the venue, and recorded history as one."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from shared.history.records import HOUR_MS, Bar, History, Settlement
from shared.history.rules import ProductRules
from shared.venue.books import Levels, book_around

QUOTES_AFTER_MS: Final = 60_000

Product = tuple[str, str]  # category and symbol


@dataclass(frozen=True, slots=True)
class Due:
    """One point of the timetable: ``settles`` funding, or else moves books, at ``at_ms``.

    ``hour_ms`` is the instant whose prices and settlements count: recorded prices of an hour show
    a minute after its end. ``products`` are those concerned, None means all.
    """

    at_ms: int
    hour_ms: int
    settles: bool
    products: tuple[Product, ...] | None = None


class Source(Protocol):
    """What the venue needs to know of its markets; instants are venue milliseconds, UTC."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that trade both spot and perpetual, by name."""

    @property
    def products(self) -> Mapping[Product, ProductRules]:
        """Rules by category and symbol."""

    def dues(self, start_ms: int, done_ms: int) -> AsyncIterator[Due]:
        """Yield what happens after ``done_ms``, in order; nothing settles up to the start."""

    def last_move(self, start_ms: int, now_ms: int) -> Due | None:
        """Return the newest move of all books up to ``now_ms``; None before the first."""

    def bar(self, symbol: str, at_ms: int) -> Bar | None:
        """Return the prices known at ``at_ms``; None before the first, or once delisted."""

    def index(self, symbol: str, bar: Bar) -> Decimal:
        """Return the index price that belongs to ``bar``."""

    def books(self, category: str, symbol: str, bar: Bar) -> tuple[Levels, Levels]:
        """Return bids and asks (price, base quantity), best first, that belong to ``bar``."""

    def closed_bars(self, symbol: str, at_ms: int, most: int | None = None) -> tuple[Bar, ...]:
        """Return the newest ``most`` (None: all) hourly bars up to ``at_ms``, oldest first."""

    def due_settlement(self, symbol: str, at_ms: int) -> Settlement | None:
        """Return the settlement of exactly this instant."""

    def last_settlement(self, symbol: str, at_ms: int) -> Settlement | None:
        """Return the newest settlement at or before ``at_ms``."""

    def settled(self, symbol: str, at_ms: int) -> tuple[Settlement, ...]:
        """Return every settlement at or before ``at_ms``, oldest first."""

    def next_settlement(self, symbol: str, at_ms: int) -> tuple[int, int]:
        """Return the instant and the interval (hours) of the next settlement after ``at_ms``."""

    def estimate(self, symbol: str, at_ms: int) -> Decimal | None:
        """Return the rate that is announced for the coming settlement."""

    def delivery_ms(self, symbol: str, at_ms: int) -> int:
        """Return when the perpetual ends, as announced by ``at_ms``; 0 when it does not."""


class Market:
    """Recorded bars, settlements and products of the symbols that trade on both sides."""

    def __init__(self, history: History, products: Iterable[ProductRules]) -> None:
        rules = list(products)
        both = {p.symbol for p in rules if p.category == "spot"} & {
            p.symbol for p in rules if p.category == "linear"
        }
        self.symbols = tuple(sorted(both & set(history.symbols)))
        if not self.symbols:
            raise ValueError("no recorded symbol has both a spot and a linear product")
        self.products = {(p.category, p.symbol): p for p in rules if p.symbol in self.symbols}
        self.bars = {name: history.symbols[name].bars for name in self.symbols}
        self.settlements = {name: history.symbols[name].settlements for name in self.symbols}
        self._bar_stamps = {name: [b.at_ms for b in self.bars[name]] for name in self.symbols}
        self._stamps = {name: [s.at_ms for s in self.settlements[name]] for name in self.symbols}

    def timetable(self, start_ms: int, done_ms: int) -> Iterator[Due]:
        """Yield what is due after ``done_ms``, in order; nothing settles at or before the start."""
        hours = sorted({at for stamps in self._bar_stamps.values() for at in stamps})
        for hour in hours:
            if hour > start_ms and hour > done_ms:
                yield Due(hour, hour, settles=True)
            moves = hour + QUOTES_AFTER_MS
            if hour >= start_ms and moves > done_ms:
                yield Due(moves, hour, settles=False)

    async def dues(self, start_ms: int, done_ms: int) -> AsyncIterator[Due]:
        """Yield the timetable, letting others run in between."""
        for due in self.timetable(start_ms, done_ms):
            yield due
            await asyncio.sleep(0)

    def last_move(self, start_ms: int, now_ms: int) -> Due | None:
        """Return the newest full hour whose books have moved, if any."""
        hour = (now_ms - QUOTES_AFTER_MS) // HOUR_MS * HOUR_MS
        return Due(hour + QUOTES_AFTER_MS, hour, settles=False) if hour >= start_ms else None

    def index(self, symbol: str, bar: Bar) -> Decimal:
        """Return the spot price: the record holds no index of its own."""
        return bar.spot

    def books(self, category: str, symbol: str, bar: Bar) -> tuple[Levels, Levels]:
        """Return the stated spread model around a close."""
        product = self.products[category, symbol]
        return book_around(
            bar.spot if category == "spot" else bar.perp,
            product.tick,
            product.step,
            product.half_spread_bps,
            product.level_notional,
        )

    def bar(self, symbol: str, at_ms: int) -> Bar | None:
        """Return the newest bar that had closed by ``at_ms``."""
        place = bisect_right(self._bar_stamps[symbol], at_ms) - 1
        return self.bars[symbol][place] if place >= 0 else None

    def due_settlement(self, symbol: str, at_ms: int) -> Settlement | None:
        """Return the settlement of exactly this instant."""
        settled = self.last_settlement(symbol, at_ms)
        return settled if settled is not None and settled.at_ms == at_ms else None

    def last_settlement(self, symbol: str, at_ms: int) -> Settlement | None:
        """Return the newest settlement at or before ``at_ms``."""
        place = bisect_right(self._stamps[symbol], at_ms) - 1
        return self.settlements[symbol][place] if place >= 0 else None

    def settled(self, symbol: str, at_ms: int) -> tuple[Settlement, ...]:
        """Return every settlement at or before ``at_ms``, oldest first."""
        return self.settlements[symbol][: bisect_right(self._stamps[symbol], at_ms)]

    def closed_bars(self, symbol: str, at_ms: int, most: int | None = None) -> tuple[Bar, ...]:
        """Return every bar that had closed by ``at_ms``, or the newest of them, oldest first."""
        end = bisect_right(self._bar_stamps[symbol], at_ms)
        return self.bars[symbol][0 if most is None else max(0, end - most) : end]

    def next_settlement(self, symbol: str, at_ms: int) -> tuple[int, int]:
        """Return the instant and the interval (hours) of the next settlement after ``at_ms``.

        The schedule is public, the rate is not. Past the record the last interval goes on.
        """
        place = bisect_right(self._stamps[symbol], at_ms)
        if place < len(self.settlements[symbol]):
            coming = self.settlements[symbol][place]
            return coming.at_ms, coming.interval_hours
        last = self.settlements[symbol][-1]
        interval = last.interval_hours * HOUR_MS
        return last.at_ms + ((at_ms - last.at_ms) // interval + 1) * interval, last.interval_hours

    def estimate(self, symbol: str, at_ms: int) -> Decimal | None:
        """Return the last settled rate.

        The record holds no minute premiums, and the coming rate must not be known early.
        """
        last = self.last_settlement(symbol, at_ms)
        return last.rate if last is not None else None

    def delivery_ms(self, symbol: str, at_ms: int) -> int:
        """Return 0: no recorded product ends."""
        return 0
