"""Recorded history as a timetable: what settles when, what moves when, what is known when."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from shared.history.records import HOUR_MS, Bar, History, Settlement
from shared.history.rules import ProductRules

QUOTES_AFTER_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Due:
    """One point of the timetable: ``settles`` at the full hour, else books move a minute later."""

    at_ms: int
    hour_ms: int
    settles: bool


class Market:
    """Bars, settlements and products of the symbols that trade on both sides."""

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

    def closed_bars(self, symbol: str, at_ms: int) -> tuple[Bar, ...]:
        """Return every bar that had closed by ``at_ms``, oldest first."""
        return self.bars[symbol][: bisect_right(self._bar_stamps[symbol], at_ms)]

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
