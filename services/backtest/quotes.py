"""The books around each hour's closes: their touch always, their depth only for who trades."""

from decimal import Decimal

from shared.domain.instrument import Category
from shared.history.rules import ProductRules
from shared.venue.books import Levels, book_around
from shared.venue.exchange import Exchange

LEGS = (Category.SPOT, Category.LINEAR)
DEPTH = 10
"""Levels of each side."""


class Quotes:
    """What the venue shows of each product: ten levels cost ten times the touch, each hour.

    Books are deepened before the venue may fill anything on them, and once: what was taken of them
    stays taken until the next close.
    """

    def __init__(self, venue: Exchange, products: dict[tuple[str, str], ProductRules]) -> None:
        self._venue, self._products = venue, products
        self._shallow: dict[tuple[str, str], Decimal] = {}

    def show(self, category: Category, symbol: str, close: Decimal) -> tuple[Levels, Levels]:
        """Put the touch around ``close`` and return its bids and asks, (price, base quantity)."""
        self._shallow[category.value, symbol] = close
        return self._put(category.value, symbol, close, 1)

    def deepen(self, symbol: str) -> None:
        """Put the whole books of both legs of one pair, unless they stand."""
        for category in LEGS:
            close = self._shallow.pop((category.value, symbol), None)
            if close is not None:
                self._put(category.value, symbol, close, DEPTH)

    def _put(
        self, category: str, symbol: str, close: Decimal, levels: int
    ) -> tuple[Levels, Levels]:
        rule = self._products[category, symbol]
        bids, asks = book_around(
            close, rule.tick, rule.step, rule.half_spread_bps, rule.level_notional, levels
        )
        self._venue.set_book(category, symbol, bids, asks)
        return bids, asks
