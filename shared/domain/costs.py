"""What a round trip costs, as fractions of the pair's notional."""

from dataclasses import dataclass
from decimal import Decimal

from shared.domain.market import Quote
from shared.domain.money import ZERO, ratio


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Taker fees of both legs, as fractions of notional; a rebate is negative."""

    spot_taker: Decimal
    perp_taker: Decimal


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Entry and exit of both legs together; every part is a cost, so positive is paid."""

    fees: Decimal
    slippage: Decimal
    basis: Decimal

    @property
    def total(self) -> Decimal:
        """All parts added."""
        return self.fees + self.slippage + self.basis


def round_trip(spot: Quote, perp: Quote, fees: FeeRates, slippage_allowance: Decimal) -> RoundTrip:
    """Return the cost of buying spot and selling the perpetual now, and undoing both later.

    Each leg crosses half its spread twice. ``slippage_allowance`` is added per leg and crossing.
    Selling the perpetual under spot loses the basis as it closes; a premium is not counted as gain.
    """
    basis = ratio(perp.mid_price - spot.mid_price, spot.mid_price)
    return RoundTrip(
        fees=2 * (fees.spot_taker + fees.perp_taker),
        slippage=spot.spread_rate + perp.spread_rate + 4 * slippage_allowance,
        basis=max(ZERO, basis.copy_negate()),
    )


def leaving_and_returning(costs: RoundTrip) -> Decimal:
    """Return what leaving now and coming back later costs beyond staying: one more round trip."""
    return costs.fees + costs.slippage
