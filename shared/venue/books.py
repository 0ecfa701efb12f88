"""Order books: the stated spread model around a close, and a book that orders consume."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from shared.venue.amounts import EXACT, ROUNDED, exact, floor_to

Levels = Sequence[tuple[Decimal, Decimal]]


@exact
def book_around(
    close: Decimal,
    tick: Decimal,
    step: Decimal,
    half_spread_bps: Decimal,
    level_notional: Decimal,
    levels: int = 10,
) -> tuple[Levels, Levels]:
    """Return bids and asks (price, base quantity), best first, around ``close``.

    The touch is ``close`` minus and plus the greater of the half spread and half a tick, rounded
    outward to the tick. Each further level lies one half spread (at least a tick) beyond, and
    level n holds n times ``level_notional`` of quote value.
    """
    half = max(close * half_spread_bps / 10_000, tick / 2)
    gap = max(tick, _rounded(half, tick, ROUND_CEILING))
    best_bid = max(tick, _rounded(close - half, tick, ROUND_FLOOR))
    best_ask = _rounded(close + half, tick, ROUND_CEILING)
    bids = [best_bid - gap * n for n in range(levels) if best_bid - gap * n > 0]
    asks = [best_ask + gap * n for n in range(levels)]
    return (
        [(price, _depth(price, step, level_notional, n)) for n, price in enumerate(bids, 1)],
        [(price, _depth(price, step, level_notional, n)) for n, price in enumerate(asks, 1)],
    )


def _rounded(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    ticks = ROUNDED.divide(price, tick).to_integral_value(rounding)
    return EXACT.multiply(ticks, tick)


def _depth(price: Decimal, step: Decimal, level_notional: Decimal, n: int) -> Decimal:
    return max(step, floor_to(ROUNDED.divide(level_notional * n, price), step))


@dataclass(slots=True)
class Book:
    """Both sides of one product's book; what is taken stays taken until the next ``reset``."""

    bids: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    asks: list[tuple[Decimal, Decimal]] = field(default_factory=list)

    def reset(self, bids: Levels, asks: Levels) -> None:
        """Replace both sides, best level first."""
        self.bids, self.asks = list(bids), list(asks)

    def best(self, side: str) -> Decimal | None:
        """Return the best price an order of ``side`` would meet; None when nothing is there."""
        against = self._against(side)
        return against[0][0] if against else None

    def within(self, side: str, limit: Decimal | None) -> Iterator[tuple[Decimal, Decimal]]:
        """Yield what an order of ``side`` may meet at ``limit`` or better, best first."""
        for price, qty in self._against(side):
            if limit is not None and (price > limit if side == "Buy" else price < limit):
                return
            yield price, qty

    def preview(self, side: str, limit: Decimal | None, qty: Decimal) -> Levels:
        """Return the fills (price, quantity) an order would get, taking nothing."""
        fills, left = [], qty
        for price, there in self.within(side, limit):
            if left <= 0:
                break
            fills.append((price, min(left, there)))
            left -= there
        return fills

    def preview_value(
        self, side: str, limit: Decimal | None, value: Decimal, step: Decimal
    ) -> Levels:
        """Return the fills of a market order that moves at most ``value`` of quote currency."""
        fills, left = [], value
        for price, there in self.within(side, limit):
            qty = min(there, floor_to(ROUNDED.divide(left, price), step))
            if qty <= 0:
                break
            fills.append((price, qty))
            left -= qty * price
        return fills

    def take(self, side: str, fills: Levels) -> None:
        """Remove previewed ``fills`` from the side that an order of ``side`` meets."""
        against = self._against(side)
        for price, qty in fills:
            there = against[0][1]
            if against[0][0] != price or qty > there:
                raise ValueError("fills were not previewed on this book")
            if qty == there:
                against.pop(0)
            else:
                against[0] = (price, there - qty)

    def _against(self, side: str) -> list[tuple[Decimal, Decimal]]:
        return self.asks if side == "Buy" else self.bids
