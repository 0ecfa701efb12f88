"""What happened, as far as the portfolio cares."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class TargetSet:
    """The strategy issued an intent at venue instant ``at``."""

    pair: str
    quantity: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class PairSettled:
    """The executor ended a plan: the pair now holds ``quantity``, hedged; zero is flat."""

    pair: str
    quantity: Decimal
    at: datetime


PortfolioEvent = TargetSet | PairSettled
