"""How much is thought of a pair: a weighted sum whose parts have names and are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal

from shared.domain.money import ONE, RATIO_QUANTUM, ZERO, ratio


@dataclass(frozen=True, slots=True)
class Parts:
    """Five views of one pair, each 0 (against) to 1 (for).

    ``value``: the share of the expected funding that is left after costs. ``persistence``: a
    positive rate follows a positive one. ``trend``: the chance that the rate rises. ``reversion``:
    one unless the rate lies above its own mean, to which it tends to fall back. ``safety``: the
    chance that the hold loses nothing.
    """

    value: Decimal
    persistence: Decimal
    trend: Decimal
    reversion: Decimal
    safety: Decimal

    def weighed(self, weights: Mapping[str, Decimal]) -> Decimal:
        """Return the conviction in 0 to 1; ``weights`` has every part's and sums to one."""
        total = sum((getattr(self, name) * weights[name] for name in PARTS), ZERO)
        return total.quantize(RATIO_QUANTUM)


PARTS = tuple(field.name for field in fields(Parts))


def parts_of(
    *,
    value: Decimal,
    cost: Decimal,
    persistence: Decimal,
    slope: Decimal,
    slope_p: Decimal,
    z_score: Decimal,
    loss_probability: Decimal,
) -> Parts:
    """Return the parts of a pair worth ``value`` after ``cost``, both fractions of notional.

    A two-sided p-value leaves half of itself to the side the slope does not point to.
    """
    funding = value + cost
    against = slope_p / 2
    return Parts(
        value=ZERO if value <= ZERO else _unit(ratio(value, funding)),
        persistence=_unit(persistence),
        trend=_unit(against if slope < ZERO else ONE - against),
        reversion=ratio(ONE, ONE + max(ZERO, z_score)),
        safety=_unit(ONE - loss_probability),
    )


def _unit(value: Decimal) -> Decimal:
    return min(ONE, max(ZERO, value))
