"""What a pair holds: two legs that are one thing."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from shared.domain.instrument import Category, Pair
from shared.domain.money import ZERO
from shared.domain.order import Fill, Side


class PairState(StrEnum):
    """Where a pair is in its life."""

    OPENING = "Opening"
    HEDGED = "Hedged"
    UNWINDING = "Unwinding"
    CLOSED = "Closed"
    BROKEN = "Broken"


@dataclass(frozen=True, slots=True)
class PairPosition:
    """Both legs in base units, net of fees taken in base; the perpetual is signed.

    ``spot_value`` and ``perp_value`` are signed cash: what was received minus paid for the legs,
    fees apart.
    """

    spot_quantity: Decimal = ZERO
    perp_quantity: Decimal = ZERO
    spot_value: Decimal = ZERO
    perp_value: Decimal = ZERO

    @property
    def net_delta(self) -> Decimal:
        """Spot plus perpetual, in base units; zero is neutral."""
        return self.spot_quantity + self.perp_quantity

    def is_hedged(self, pair: Pair, price: Decimal) -> bool:
        """Whether the residual is at most one common lot, or worth at most 5 quote units."""
        residual = abs(self.net_delta)
        return residual <= pair.common_lot or residual * price <= 5


def after_fill(position: PairPosition, fill: Fill, base: str) -> PairPosition:
    """Return the position after ``fill``; a fee in base coin lowers what is owned.

    Source: Bybit V5: the fee of a spot buy is taken in the base coin.
    """
    quantity = fill.quantity * fill.side.sign
    cash = fill.value if fill.side is Side.SELL else -fill.value
    if fill.category is Category.LINEAR:
        return replace(
            position,
            perp_quantity=position.perp_quantity + quantity,
            perp_value=position.perp_value + cash,
        )
    fee = fill.fee if fill.fee_currency == base else ZERO
    return replace(
        position,
        spot_quantity=position.spot_quantity + quantity - fee,
        spot_value=position.spot_value + cash,
    )
