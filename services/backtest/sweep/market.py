"""The history a sweep reads: hours and settlements as arrays of whole units, checked once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.fixed import RATE, RATE_SCALE, SCALE
from shared.domain.rounding import units
from shared.history.records import HOUR_MS, History, MalformedHistory, SymbolHistory

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

DAY_MS: Final = 24 * HOUR_MS
PRICE_MAX: Final = 2**49
HOURS_NORMAL: Final = 8
"""Signals are rates per eight hours, so that one threshold fits every interval."""


@dataclass(frozen=True, slots=True, eq=False)
class SweepMarket:
    """S symbols over T hours with K settlement instants; oldest first, symbols in ranking order.

    ``start_ms``: the close of hour 0, UTC ms; hour t closes ``t`` hours later.
    ``spot``, ``perp``, ``mark`` (S, T): closes in 1e-8 quote; 0 where a symbol has no bar. A
    symbol's bars are one run without a hole.
    ``at`` (K,): the hour at whose close instant k settles; -1 for what settled before hour 0, which
    only warms the signals up.
    ``rate`` (S, K): 1e-12 of notional, longs pay shorts; ``interval`` (S, K): the hours it is for,
    0 where the symbol does not settle at k.
    """

    symbols: tuple[str, ...]
    start_ms: int
    spot: Ints
    perp: Ints
    mark: Ints
    at: Ints
    rate: Ints
    interval: Ints

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_prices(self)
        _check_settlements(self)

    @property
    def hours(self) -> int:
        """How many hours there are."""
        return int(self.spot.shape[1])

    @property
    def day_ends(self) -> Ints:
        """The last hour of each UTC day; an hour that closes at midnight ends the day before."""
        day = (self.start_ms + np.arange(self.hours, dtype=np.int64) * HOUR_MS - 1) // DAY_MS
        return np.flatnonzero(np.append(day[1:] != day[:-1], True)).astype(np.int64)

    @property
    def days(self) -> tuple[int, ...]:
        """The UTC midnights at which the days begin, ms."""
        closes = self.start_ms + self.day_ends * HOUR_MS
        return tuple(int((close - 1) // DAY_MS * DAY_MS) for close in closes)

    def digest(self) -> str:
        """Return a SHA-256 of everything a result depends on."""
        seen = hashlib.sha256(repr((self.symbols, self.start_ms, self.spot.shape)).encode())
        for column in (self.spot, self.perp, self.mark, self.at, self.rate, self.interval):
            seen.update(np.ascontiguousarray(column).tobytes())
        return seen.hexdigest()


def market_of(history: History, start_ms: int, end_ms: int) -> SweepMarket:
    """Return what became known from ``start_ms`` to before ``end_ms``, earlier rates as warm-up.

    Raises:
        MalformedHistory: no bar in the span, a hole in the bars, or more decimals than units hold.
    """
    parts = list(history.symbols.values())
    inside = [part.slice(start_ms, end_ms) for part in parts]
    closes = sorted({bar.at_ms for part in inside for bar in part.bars})
    if not closes:
        raise MalformedHistory("no bar lies in the span: widen it or name another folder")
    hours = (closes[-1] - closes[0]) // HOUR_MS + 1
    prices = np.zeros((3, len(parts), hours), np.int64)
    for s, part in enumerate(inside):
        _fill_prices(prices[:, s], part, closes[0])
    known = [[p for p in part.settlements if p.at_ms < end_ms] for part in parts]
    instants = sorted({paid.at_ms for rows in known for paid in rows})
    place = {ms: k for k, ms in enumerate(instants)}
    rate, interval = (np.zeros((len(parts), len(instants)), np.int64) for _ in range(2))
    for s, rows in enumerate(known):
        for paid in rows:
            what = f"{parts[s].symbol}: the rate"
            rate[s, place[paid.at_ms]] = units(paid.rate, RATE_SCALE, what)
            interval[s, place[paid.at_ms]] = paid.interval_hours
    at = np.array([max((ms - closes[0]) // HOUR_MS, -1) for ms in instants], np.int64)
    names = tuple(part.symbol for part in parts)
    return SweepMarket(names, closes[0], prices[0], prices[1], prices[2], at, rate, interval)


def _fill_prices(into: Ints, part: SymbolHistory, start_ms: int) -> None:
    for bar in part.bars:
        t = (bar.at_ms - start_ms) // HOUR_MS
        for row, price in enumerate((bar.spot, bar.perp, bar.mark)):
            into[row, t] = units(price, SCALE, f"{part.symbol}: the price")


def _check_shapes(market: SweepMarket) -> None:
    symbols, instants = len(market.symbols), len(market.at)
    for name in ("spot", "perp", "mark"):
        _refuse(
            getattr(market, name).shape != (symbols, market.hours),
            f"{name} is not symbols by hours: pass one row for each symbol",
        )
    for name in ("rate", "interval"):
        _refuse(
            getattr(market, name).shape != (symbols, instants),
            f"{name} is not symbols by instants: pass one row for each symbol",
        )
    for name in ("spot", "perp", "mark", "at", "rate", "interval"):
        _refuse(getattr(market, name).dtype != np.int64, f"{name} is not int64: scale it first")
    _refuse(symbols == 0 or market.hours == 0, "there is no symbol or no hour: widen the span")


def _check_prices(market: SweepMarket) -> None:
    for s, symbol in enumerate(market.symbols):
        there = market.spot[s] > 0
        for column in (market.spot[s], market.perp[s], market.mark[s]):
            odd = np.flatnonzero(((column > 0) != there) | (column < 0) | (column > PRICE_MAX))
            _refuse(len(odd) > 0, _where(market, symbol, odd, "has no price or one out of range"))
        found = np.flatnonzero(there)
        if len(found):
            hole = found[0] + np.flatnonzero(~there[found[0] : found[-1] + 1])
            _refuse(len(hole) > 0, _where(market, symbol, hole, "is missing"))


def _check_settlements(market: SweepMarket) -> None:
    _refuse(len(market.at) == 0, "nothing settles in the span: widen it")
    known = market.at[market.at >= 0]
    _refuse(bool((np.diff(known) <= 0).any()), "settlement instants are not ascending: sort them")
    _refuse(bool((np.diff(market.at) < 0).any()), "warm-up settlements come late: sort them")
    _refuse(bool((market.at >= market.hours).any()), "a settlement lies after the last hour")
    for s, symbol in enumerate(market.symbols):
        odd = np.abs(market.rate[s]) > RATE
        odd |= (market.interval[s] < 0) | ((market.interval[s] == 0) & (market.rate[s] != 0))
        _refuse(bool(odd.any()), f"{symbol}: a rate is beyond 100 % or has no interval")


def _where(market: SweepMarket, symbol: str, hours: Ints, problem: str) -> str:
    if not len(hours):
        return ""
    at = np.datetime64(market.start_ms + int(hours[0]) * HOUR_MS, "ms")
    return f"{symbol}: the hour that closes at {at} UTC {problem}; import it again"


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise MalformedHistory(message)


def money(amount: int | np.int64) -> Decimal:
    """Return 1e-8 units as an exact amount."""
    return Decimal(int(amount)).scaleb(-SCALE)


def fractions(values: Sequence[int] | Ints) -> tuple[Decimal, ...]:
    """Return 1e-12 units as exact fractions."""
    return tuple(Decimal(int(value)).scaleb(-RATE_SCALE) for value in values)
