"""How much of a pair: the least of named limits, floored to what both legs can hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.domain.instrument import Pair
from shared.domain.money import ZERO, floor_to, ratio


@dataclass(frozen=True, slots=True)
class Size:
    """A target in base units (zero: no trade), and the limit that binds it."""

    quantity: Decimal
    binding_limit: str


def kelly_share(
    edge: Decimal, variance: Decimal, fraction: Decimal, cap: Decimal, conviction: Decimal
) -> Decimal:
    """Return the share of capital to put into a pair, at most ``cap`` times ``conviction``.

    ``edge`` is the expected gain of the hold per unit of notional and ``variance`` that of the
    gain; ``fraction`` of the growth-optimal share edge / variance is taken, since both are
    estimates. Without an edge nothing, without variance the cap.

    Source: Kelly, A New Interpretation of Information Rate, 1956; the continuous form is Thorp's.
    """
    if edge <= ZERO:
        return ZERO
    full = cap if variance == ZERO else min(cap, ratio(edge * fraction, variance))
    return full * conviction


def size_within(limits: Mapping[str, Decimal], pair: Pair, prices: tuple[Decimal, Decimal]) -> Size:
    """Return the least of ``limits`` (base units), floored to the common lot, or nothing.

    ``prices`` are the spot's and the perpetual's that orders are valued at. Both least quantities
    and both least notionals are met, or there is no trade (R2). Of equal limits the first by name
    binds.
    """
    binding = min(limits, key=lambda name: (limits[name], name))
    quantity = floor_to(max(ZERO, limits[binding]), pair.common_lot)
    legs = zip((pair.spot, pair.perp), prices, strict=True)
    if any(quantity < leg.min_quantity or quantity * p < leg.min_notional for leg, p in legs):
        return Size(ZERO, binding)
    return Size(quantity, binding)
