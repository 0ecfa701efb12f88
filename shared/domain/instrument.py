"""What may be traded, and by which rules."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from shared.domain.errors import require
from shared.domain.money import ONE


class Category(StrEnum):
    """Which of the venue's products a symbol belongs to; spot and perp share symbol names."""

    SPOT = "spot"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One product's rules. Quantities in base units, prices in quote units per base unit."""

    category: Category
    symbol: str
    base: str
    quote: str
    status: str
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    funding_interval_minutes: int | None = None
    funding_cap: Decimal | None = None
    delivery_at: datetime | None = None

    @property
    def is_trading(self) -> bool:
        """Whether it trades now and no delivery is announced."""
        return self.status == "Trading" and self.delivery_at is None


@dataclass(frozen=True, slots=True)
class Pair:
    """A spot and a linear perpetual on the same asset, named after the perpetual."""

    spot: Instrument
    perp: Instrument
    multiplier: Decimal = ONE

    @property
    def name(self) -> str:
        """The pair's name: the perpetual's symbol."""
        return self.perp.symbol

    @property
    def base(self) -> str:
        """The asset both legs are on."""
        return self.spot.base

    @property
    def is_trading(self) -> bool:
        """Whether both legs trade now and no delivery is announced."""
        return self.spot.is_trading and self.perp.is_trading

    @property
    def common_lot(self) -> Decimal:
        """The smallest quantity both legs can hold: the coarser step, which the finer divides."""
        coarse, fine = max(self.spot.step, self.perp.step), min(self.spot.step, self.perp.step)
        require(coarse % fine == 0, f"{self.name}: steps {coarse} and {fine} have no common lot")
        return coarse
