"""What a run said and did."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from shared.domain.margin import Account
from shared.domain.money import ZERO
from shared.domain.order import Fill


@dataclass(frozen=True, slots=True)
class BookedFill:
    """One fill with the pair and the decision it came of."""

    pair: str
    decided_at: datetime
    fill: Fill


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The account at one instant, USDT: worth, and what made it since the start; fees are paid."""

    at: datetime
    equity: Decimal
    funding: Decimal
    fees: Decimal
    basis: Decimal


@dataclass(frozen=True, slots=True)
class Liquidation:
    """What the venue took: fills that it made by itself, and the worth just before and after."""

    at: datetime
    fills: tuple[BookedFill, ...]
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class Membership:
    """From ``at`` on these pairs are quoted."""

    at: datetime
    pairs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    """A pair passed over at one instant, UTC ms; ``cost``: the fees and slippage of a round trip.

    A fraction of notional for statistics, NaN where no book told it.
    """

    pair: str
    reason: str
    at_ms: int
    cost: float


@dataclass(frozen=True, slots=True)
class FullestHour:
    """The account when ``gross``, the worth of all shorts in USDT, was the greatest."""

    at: datetime
    gross: Decimal
    account: Account


@dataclass
class RunResult:
    """What a run said and did. ``targets`` are (pair, base quantity, venue instant).

    ``gaps`` counts settlements and hours that the record lacks, ``unpaid`` settlements that met a
    position and no mark. ``delisted`` are pairs whose record ended while they were held.
    """

    start: datetime
    end: datetime
    deposit: Decimal
    targets: list[tuple[str, Decimal, datetime]] = field(default_factory=list)
    fills: list[BookedFill] = field(default_factory=list)
    curve: list[EquityPoint] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    skips: list[Skip] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    funding_by_pair: dict[str, Decimal] = field(default_factory=dict)
    settlements: int = 0
    opened: int = 0
    closed: int = 0
    held_at_end: dict[str, Decimal] = field(default_factory=dict)
    gaps: int = 0
    unpaid: int = 0
    universe: list[Membership] = field(default_factory=list)
    delisted: list[tuple[str, datetime]] = field(default_factory=list)
    liquidations: list[Liquidation] = field(default_factory=list)
    ended_by_liquidation: bool = False
    fullest: FullestHour | None = None

    @property
    def net(self) -> Decimal:
        """Equity at the end minus the deposit, with open pairs marked, USDT."""
        return self.curve[-1].equity - self.deposit if self.curve else ZERO
