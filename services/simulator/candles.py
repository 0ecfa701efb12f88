"""Bars of one or more hours, made of the hourly closes that every source keeps.

No source keeps what was traded within an hour: a candle opens at the close before it, and its
highest and lowest prices are those of the closes it holds. Shorter ones are not offered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from shared.history.records import HOUR_MS, Bar
from shared.venue.amounts import plain

Row = dict[str, Any]
Price = Callable[[Bar], Decimal]

INTERVALS: Final[Mapping[str, int]] = {
    "60": 1, "120": 2, "240": 4, "360": 6, "720": 12, "D": 24,
}  # fmt: skip
"""Hours of each interval."""
BARS_MOST: Final = 25  # those of a day, and the one before
UNRECORDED: Final = "0"


@dataclass(frozen=True, slots=True)
class Candle:
    """One candle, quote per base; it ends ``hours`` after ``start_ms`` (venue milliseconds)."""

    start_ms: int
    hours: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    @property
    def end_ms(self) -> int:
        """The instant of its last price."""
        return self.start_ms + self.hours * HOUR_MS

    def line(self) -> list[str]:
        """Return start and prices as REST shows them; volumes are not recorded."""
        return [str(self.start_ms), *map(plain, (self.open, self.high, self.low, self.close))]

    def row(self, interval: str, priced_ms: int) -> Row:
        """Return it as the topic ``kline`` shows it, whose newest price is of ``priced_ms``."""
        return {
            "start": self.start_ms,
            "end": self.end_ms - 1,
            "interval": interval,
            "open": plain(self.open),
            "close": plain(self.close),
            "high": plain(self.high),
            "low": plain(self.low),
            "volume": UNRECORDED,
            "turnover": UNRECORDED,
            "confirm": priced_ms >= self.end_ms,
            "timestamp": min(priced_ms, self.end_ms),
        }


def closed_candles(bars: Sequence[Bar], hours: int, price: Price) -> Iterator[Candle]:
    """Yield every candle that has closed, newest first; ``bars`` are oldest first."""
    length = hours * HOUR_MS
    last = len(bars) - 1
    while last >= 0 and bars[last].at_ms % length:
        last -= 1  # of the one that still runs
    while last >= 0:
        start = _start(bars[last].at_ms, length)
        first = last
        while first and bars[first - 1].at_ms > start:
            first -= 1
        yield _candle(start, hours, [price(bar) for bar in bars[max(0, first - 1) : last + 1]])
        last = first - 1


def moved_candles(
    bars: Sequence[Bar], hours: int, price: Price, now: Bar, since_ms: int
) -> list[Candle]:
    """Return what changed after ``since_ms`` until ``now``: what closed, then what runs."""
    closed: list[Candle] = []
    for candle in closed_candles(bars, hours, price):
        if candle.end_ms <= since_ms:
            break
        closed.insert(0, candle)
    length = hours * HOUR_MS
    if now.at_ms % length == 0 and closed:
        return closed
    start = _start(now.at_ms, length)
    held = [bar for bar in bars if start < bar.at_ms < now.at_ms]
    before = [bar for bar in bars if bar.at_ms <= start][-1:]
    return [*closed, _candle(start, hours, [price(bar) for bar in (*before, *held, now)])]


def _start(at_ms: int, length: int) -> int:
    """Return where the candle begins that holds a price of ``at_ms``; its end belongs to it."""
    return (at_ms - 1) // length * length


def _candle(start: int, hours: int, closes: list[Decimal]) -> Candle:
    return Candle(start, hours, closes[0], max(closes), min(closes), closes[-1])
