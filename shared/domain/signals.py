"""What statistics say of one pair as of its newest settlement: an input of the core.

They are made of floats outside and quantised on the way in (``shared.analytics.deciding``).
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal

from shared.domain.money import ONE, ZERO, ratio

Distribution = tuple[Decimal, ...]
"""Evenly spaced quantiles, ascending: the first is the least outcome, the last the greatest."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Rates are fractions of notional for one interval, that of the newest settlement.

    ``*_mean`` is the expected mean rate of the next settlements (``next``: one; ``exit`` and
    ``hold``: as many as the policy says), ``*_error`` its standard error. ``slope`` is per
    settlement, ``slope_p`` two-sided. ``percentile`` is where the newest rate lies among the known
    ones, 0 to 1; ``regime`` its name. ``persistence`` is the chance that a positive rate follows a
    positive one. ``worst_rate`` is the rate under which one settlement in a thousand lies.
    ``has_skill`` says whether the forecast beat "next equals last" out of sample.

    ``basis`` is perpetual over spot less one at the settlement, ``basis_usual`` the level it is
    expected to return to, ``basis_levels`` the distribution of the past ones. ``hold_outcomes`` is
    the distribution of what a hold brings, the sum of all its rates and what the basis falls
    meanwhile, from blocks that keep the two together; ``hold_deviation`` is its standard deviation.
    None is not known.
    """

    as_of: datetime
    next_mean: Decimal | None
    exit_mean: Decimal | None
    exit_error: Decimal | None
    hold_mean: Decimal | None
    hold_error: Decimal | None
    slope: Decimal | None
    slope_p: Decimal | None
    z_score: Decimal | None
    percentile: Decimal | None
    regime: str | None
    persistence: Decimal | None
    worst_rate: Decimal | None
    has_skill: bool | None
    basis: Decimal | None
    basis_usual: Decimal | None
    basis_levels: Distribution | None
    hold_outcomes: Distribution | None
    hold_deviation: Decimal | None

    @property
    def is_complete(self) -> bool:
        """Whether every number is known."""
        return all(getattr(self, name) is not None for name in _NAMES)


_NAMES = tuple(field.name for field in fields(Signals))


def share_below(outcomes: Distribution, value: Decimal) -> Decimal:
    """Return the probability of an outcome under ``value``, 0 to 1, linear between quantiles.

    Of outcomes that are all alike none is under their own value. Takes at least two quantiles.
    """
    return _share(outcomes, value, bisect_left(outcomes, value))


def standing(levels: Distribution, value: Decimal) -> Decimal:
    """Return where ``value`` stands among ``levels``, 0 to 1: those under it, and half its equals.

    So a level that never changed stands in the middle. Takes at least two quantiles.
    """
    upto = _share(levels, value, bisect_right(levels, value))
    return ratio(share_below(levels, value) + upto, Decimal(2))


def _share(quantiles: Distribution, value: Decimal, above: int) -> Decimal:
    """Return the share of what lies before the quantile at ``above``, and before ``value``."""
    if above == 0:
        return ZERO
    if above == len(quantiles):
        return ONE
    low, high = quantiles[above - 1], quantiles[above]
    within = ratio(value - low, high - low)
    return ratio(above - 1 + within, Decimal(len(quantiles) - 1))
