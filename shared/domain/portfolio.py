"""What the strategy believes it holds: the last targets, corrected by what really came of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from shared.domain.events import PairSettled, PortfolioEvent, TargetSet
from shared.domain.money import ZERO


@dataclass(frozen=True, slots=True)
class Holding:
    """One pair's target in base units, and since when it is wanted (venue time)."""

    pair: str
    quantity: Decimal
    since: datetime


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Holdings by pair; a pair that is not held is absent."""

    holdings: Mapping[str, Holding] = field(default_factory=dict)

    def quantity(self, pair: str) -> Decimal:
        """Return the quantity held or on its way, in base units; zero when not held."""
        holding = self.holdings.get(pair)
        return ZERO if holding is None else holding.quantity


def apply(portfolio: Portfolio, event: PortfolioEvent) -> Portfolio:
    """Return the portfolio after ``event``; applying it twice changes nothing more."""
    holdings = dict(portfolio.holdings)
    match event:
        case TargetSet(pair, quantity, at):
            if quantity == ZERO:
                holdings.pop(pair, None)
            elif pair in holdings:
                holdings[pair] = replace(holdings[pair], quantity=quantity)
            else:
                holdings[pair] = Holding(pair, quantity, at)
        case PairSettled(pair, quantity, at):
            if quantity == ZERO:
                holdings.pop(pair, None)
            else:
                since = holdings[pair].since if pair in holdings else at
                holdings[pair] = Holding(pair, quantity, since)
    return Portfolio(holdings)
