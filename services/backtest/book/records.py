"""What a published run is made of: its trades, the bars and rates of each leg, its payments."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

Leg = tuple[str, str, str]
"""Exchange, symbol, market."""

SIDES: Final = ("long", "short")
SPOT: Final = "spot"
STATED_OPENING: Final = ("open_price", "quantity", "open_fee", "open_value")
STATED: Final = (*STATED_OPENING, "close_price", "close_fee", "close_value", "pnl")
"""What a trade list may state of each trade; a cell that is empty is not compared."""


@dataclass(frozen=True, slots=True)
class ListedTrade:
    """One trade as its list gives it; ``stated`` holds what was published of it, quote units.

    ``size`` is what was put in before the fee, ``fee_rate`` a fraction. ``row`` counts from one.
    """

    row: int
    side: str
    leg: Leg
    margin: str
    size: Decimal
    fee_rate: Decimal
    opened_ms: int
    closed_ms: int | None
    stated: Mapping[str, Decimal]

    @property
    def sign(self) -> int:
        """+1 for a long, -1 for a short."""
        return 1 if self.side == "long" else -1


@dataclass(frozen=True, slots=True)
class Span:
    """From a leg's first opening to the last instant at which a trade of it needs a price."""

    first_ms: int
    last_ms: float  # infinite where a position stays open

    def covers(self, at_ms: int) -> bool:
        """Whether an instant is in it."""
        return self.first_ms <= at_ms <= self.last_ms


@dataclass(frozen=True, slots=True)
class Rates:
    """One leg's settled rates by instant, as ``source`` has them.

    ``steps`` are the milliseconds of the interval that each settlement ended, oldest first, also of
    settlements whose rate is absent. It is empty where no schedule can be told.
    """

    source: Path
    settled: Mapping[int, Decimal]
    steps: Mapping[int, int]

    def joined(self, other: "Rates") -> "Rates":
        """Return both tables as one; ``other`` has none of our settlements."""
        steps = dict(sorted({**self.steps, **other.steps}.items()))
        return Rates(self.source, {**self.settled, **other.settled}, steps)


@dataclass(frozen=True, slots=True)
class Market:
    """One leg's bars: opens by the instant at which they start, closes by the same, and rates.

    ``opens_taken`` of the opens that a trade may need are the close of the bar before.
    """

    opens: Mapping[int, Decimal]
    closes: Mapping[int, Decimal]
    rates: Rates
    interval_ms: int
    opens_taken: int = 0


@dataclass(frozen=True, slots=True)
class PublishedInputs:
    """Everything that was read; ``payments`` is None where no log was given."""

    trades: tuple[ListedTrade, ...]
    markets: Mapping[Leg, Market]
    payments: Mapping[tuple[int, Leg], Decimal] | None
    is_binary: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows count; an empty set means all of them."""

    exchanges: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    markets: frozenset[str] = frozenset()

    def takes(self, leg: Leg) -> bool:
        """Whether a leg is among them."""
        chosen = zip((self.exchanges, self.symbols, self.markets), leg, strict=True)
        return all(not names or name in names for names, name in chosen)
