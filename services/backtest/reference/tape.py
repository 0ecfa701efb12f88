"""A market unrolled into the events a strategy is shown, in exact numbers."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from services.backtest.sweep.fixed import RATE_SCALE, SCALE
from services.backtest.sweep.market import Ints, SweepMarket
from shared.history.records import HOUR_MS

Column = list[Decimal | None]


class PairBar(NamedTuple):
    """The closes of one symbol's hour, quote per base, known at ``at_ms``, UTC ms."""

    symbol: int
    at_ms: int
    spot: Decimal
    perp: Decimal
    mark: Decimal


class Settled(NamedTuple):
    """One symbol's settlement at ``instant``: ``rate`` of notional, paid by longs to shorts."""

    symbol: int
    instant: int
    rate: Decimal
    hours: int


@dataclass(frozen=True, slots=True)
class Tape:
    """What happens, hour by hour. Symbols are counted in the market's order.

    ``bars[t]``: the bars that close with hour t. ``settled[t]``: the instant and the settlements at
    that close, None where nothing settles. ``before``: settlements before hour 0, by instant.
    ``last[s]``: the hour of the symbol's last settlement with a price, -1 when there is none.
    ``spot``, ``perp``, ``mark``: by symbol and hour, None without a bar.
    """

    symbols: tuple[str, ...]
    bars: tuple[tuple[PairBar, ...], ...]
    settled: tuple[tuple[int, tuple[Settled, ...]] | None, ...]
    before: tuple[tuple[Settled, ...], ...]
    last: tuple[int, ...]
    spot: tuple[Column, ...]
    perp: tuple[Column, ...]
    mark: tuple[Column, ...]
    day_ends: tuple[int, ...]

    @property
    def events(self) -> int:
        """Closes (spot and perpetual count one each) and settlements."""
        paid = sum(len(found[1]) for found in self.settled if found is not None)
        return 2 * sum(map(len, self.bars)) + paid + sum(map(len, self.before))


def tape_of(market: SweepMarket) -> Tape:
    """Return the events of a market. A year of one pair takes some 10 MB."""
    spot = tuple(_column(market.spot[s]) for s in range(len(market.symbols)))
    perp = tuple(_column(market.perp[s]) for s in range(len(market.symbols)))
    same = market.mark is market.perp
    mark = perp if same else tuple(_column(market.mark[s]) for s in range(len(market.symbols)))
    settled: list[tuple[int, tuple[Settled, ...]] | None] = [None] * market.hours
    before: list[tuple[Settled, ...]] = []
    last = [-1] * len(market.symbols)
    for k, t in enumerate(market.at.tolist()):
        paid = _settlements(market, k)
        if t < 0:
            before.append(paid)
            continue
        settled[t] = (k, paid)
        for one in paid:
            if spot[one.symbol][t] is not None:
                last[one.symbol] = t
    return Tape(
        market.symbols, _bars(market, spot, perp, mark), tuple(settled), tuple(before),
        tuple(last), spot, perp, mark, tuple(market.day_ends.tolist()),
    )  # fmt: skip


def _column(prices: Ints) -> Column:
    return [Decimal(p).scaleb(-SCALE) if p else None for p in prices.tolist()]


def _bars(
    market: SweepMarket,
    spot: tuple[Column, ...],
    perp: tuple[Column, ...],
    mark: tuple[Column, ...],
) -> tuple[tuple[PairBar, ...], ...]:
    hours: list[tuple[PairBar, ...]] = []
    for t in range(market.hours):
        at_ms = market.start_ms + t * HOUR_MS
        rows = ((s, spot[s][t], perp[s][t], mark[s][t]) for s in range(len(spot)))
        hours.append(
            tuple(
                PairBar(s, at_ms, bought, sold, valued)
                for s, bought, sold, valued in rows
                if bought is not None and sold is not None and valued is not None
            )
        )
    return tuple(hours)


def _settlements(market: SweepMarket, k: int) -> tuple[Settled, ...]:
    return tuple(
        Settled(s, k, Decimal(int(market.rate[s, k])).scaleb(-RATE_SCALE), hours)
        for s, hours in enumerate(market.interval[:, k].tolist())
        if hours
    )
