"""A rule that does not think: tests of the engine must not hang on what the policy finds good."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from services.backtest.engine import Chooser
from shared.domain.intents import HoldPair
from shared.domain.market import MarketSnapshot
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.strategy import Decision


def steadfast(quantities: Mapping[str, str], leaves_at: datetime | None = None) -> Chooser:
    """Return a rule that opens each pair once, when both its books are there, and holds it.

    From ``leaves_at`` on it closes what it holds.
    """
    opened: set[str] = set()

    def choose(portfolio: Portfolio, market: MarketSnapshot, policy: CarryPolicy) -> Decision:
        intents = []
        leaves = leaves_at is not None and market.instant >= leaves_at
        for name, of in sorted(market.pairs.items()):
            books = (of.spot, of.perp)
            known = all(b is not None and b.venue_at == market.instant for b in books)
            if known and name in quantities and name not in opened and not leaves:
                opened.add(name)
                intents.append(HoldPair(name, Decimal(quantities[name]), None, "worth_opening"))
            elif known and leaves and portfolio.quantity(name):
                intents.append(HoldPair(name, Decimal(0), None, "worth_leaving"))
        return Decision(market.instant, tuple(intents), ())

    return choose
