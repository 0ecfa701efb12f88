"""Walking a book at size: what is there, and a word when it is short."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from shared.domain.market import Quote
from shared.domain.money import ZERO, ratio

Level = tuple[Decimal, Decimal]
"""Price in quote units and size in base units."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Both sides of a book, best first; as many levels as are known."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def mid_price(self) -> Decimal:
        """Half way between best bid and best ask."""
        return (self.bids[0][0] + self.asks[0][0]) / 2


@dataclass(frozen=True, slots=True)
class Walk:
    """The mean price of taking a quantity; ``is_short`` when the known levels hold less.

    What they do not hold is reckoned at the last known price: the true one is no better.
    """

    price: Decimal
    is_short: bool


def depth_of(quote: Quote) -> Depth:
    """Return the one level that a quote tells of each side."""
    return Depth(((quote.bid, quote.bid_size),), ((quote.ask, quote.ask_size),))


def walk(levels: Sequence[Level], quantity: Decimal) -> Walk:
    """Return what ``quantity`` base units cost or bring on average; zero costs the best price."""
    if quantity <= levels[0][1]:
        return Walk(levels[0][0], is_short=False)
    left, value = quantity, ZERO
    for price, size in levels:
        taken = min(left, size)
        value += taken * price
        left -= taken
        if left == ZERO:
            return Walk(ratio(value, quantity), is_short=False)
    value += left * levels[-1][0]
    return Walk(ratio(value, quantity), is_short=True)


def crossing(depth: Depth, quantity: Decimal) -> tuple[Decimal, bool]:
    """Return what buying and selling ``quantity`` loses, as a fraction of the mid price.

    The second value says that the known levels hold less than that on one side.
    """
    bought, sold = walk(depth.asks, quantity), walk(depth.bids, quantity)
    lost = ratio(bought.price - sold.price, depth.mid_price)
    return lost, bought.is_short or sold.is_short


def sizes_of_change(spot: Depth, perp: Depth) -> tuple[Decimal, ...]:
    """Return the quantities at which a further level is needed on any side, ascending."""
    sums = set()
    for side in (spot.bids, spot.asks, perp.bids, perp.asks):
        total = ZERO
        for _, size in side:
            total += size
            sums.add(total)
    return tuple(sorted(sums))
