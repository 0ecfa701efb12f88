"""What the strategy wants: targets, not trades."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.domain.money import ZERO


@dataclass(frozen=True, slots=True)
class HoldPair:
    """Hold ``quantity`` base units of spot against an equal perpetual short; zero closes it.

    Said twice, late or out of order it does no harm; a newer one supersedes it.
    """

    pair: str
    quantity: Decimal
    until: datetime | None
    reason: str

    @property
    def closes(self) -> bool:
        """Whether nothing shall be held."""
        return self.quantity == ZERO
