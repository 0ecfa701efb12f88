"""The one place where the core's ``Signals`` are made: live, replay and back-test alike.

Floats end here: every number is quantised to 1e-12 on its way into the core. What a hold may earn
is stated before the basis (``loss``): the core, which sees both books, charges that itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from shared.analytics.forecast_score import score
from shared.analytics.grid import FundingHistory, on_grid
from shared.analytics.holds import LEVEL_SPAN, Holds, holds
from shared.analytics.indicators import ema, zscore
from shared.analytics.loss import BURN_IN, HoldDistribution, hold_distribution
from shared.analytics.quantise import quantised, quantised_all, quantised_or_none
from shared.analytics.regime import regime_of
from shared.analytics.series import Floats, is_constant
from shared.analytics.trend import FEWEST, rolling_trend
from shared.domain.funding import FundingSettlement, settlements_within
from shared.domain.policy import CarryPolicy
from shared.domain.signals import Signals
from shared.domain.view import MarketView

LEVELS: Final = np.linspace(0.0, 1.0, 41)
"""The quantiles the core gets: every 2.5 %."""
WORST_SHARE: Final = 0.001
MEMORY: Final = 0.8
MEMORY_WORTH: Final = 30
"""What is believed of a contract's memory before any settlement, and how many that is worth.

Funding of liquid contracts keeps some four fifths of its distance from the mean a settlement."""
TO_DEVIATION: Final = 1.4826
"""From the median of absolute errors to the standard deviation of normal ones."""


def signals_of(settlements: Sequence[FundingSettlement], policy: CarryPolicy) -> Signals | None:
    """Return what statistics say of one contract's ``settlements``, oldest first.

    Only those of the last ``policy.history`` count. None without any; single numbers are None where
    the past is too short to tell.
    """
    if not settlements:
        return None
    newest = settlements[-1]
    since = newest.settled_at - policy.history
    rates = _rates([s for s in settlements if s.settled_at > since])
    if len(rates) == 0:
        return None
    hold = settlements_within(policy.hold, newest.interval)
    window = rates[-policy.forecast_settlements :]
    trend = rolling_trend(window, len(window)) if len(window) >= FEWEST else None
    percentile = _percentile(rates)
    coming = reverting(rates, 1)
    near = reverting(rates, max(1, min(hold, policy.exit_settlements)))
    begun = holds(rates, np.zeros(len(rates)), max(1, hold))
    stated = hold_distribution(begun)
    return Signals(
        as_of=newest.settled_at,
        next_mean=None if coming is None else quantised(coming.mean),
        exit_mean=None if near is None else quantised(near.mean),
        exit_error=None if near is None else quantised_or_none(near.error),
        hold_mean=None if stated is None else quantised(stated.expected / hold),
        hold_error=None if stated is None else quantised(_deviation(stated) / hold),
        slope=None if trend is None else quantised(float(trend.slope[-1])),
        slope_p=None if trend is None else quantised(float(trend.p_value[-1])),
        z_score=quantised(float(zscore(window, len(window))[-1])) if len(window) > 1 else None,
        percentile=quantised(percentile / 100.0),
        regime=regime_of(percentile).value,
        persistence=quantised(_persistence(rates)),
        worst_rate=quantised(_quantile(rates, WORST_SHARE)),
        hold_outcomes=None if stated is None else quantised_all(stated.quantiles(LEVELS)),
        has_skill=None if stated is None else has_skill(begun, rates),
    )


@dataclass(frozen=True, slots=True)
class Reversion:
    """The expected mean rate of the next settlements, and its standard error; NaN: not known."""

    mean: float
    error: float


def reverting(rates: Floats, ahead: int) -> Reversion | None:
    """Return the forecast of the mean of the next ``ahead`` rates; None with fewer than two known.

    The newest rate keeps a share of its distance from the level (an EMA) at every settlement: the
    correlation of neighbours, drawn toward ``MEMORY`` by ``MEMORY_WORTH`` settlements. The error is
    that of the same forecast in the past, from the median of its absolute errors, which one shock
    does not move: a shock must be left, not waited out. Source: an AR(1) process about its mean.
    """
    if len(rates) < 2:
        return None
    level = ema(rates, LEVEL_SPAN)
    kept = _memory(rates)
    share = kept * (1.0 - kept**ahead) / (ahead * (1.0 - kept))
    expected = level + share * (rates - level)
    over = len(rates) - ahead
    if over < 1:
        return Reversion(float(expected[-1]), float("nan"))
    total = np.append(0.0, np.cumsum(rates))
    realised = (total[1 + ahead :] - total[1 : over + 1]) / ahead
    error = TO_DEVIATION * float(np.median(np.abs(realised - expected[:over])))
    return Reversion(float(expected[-1]), error)


def has_skill(begun: Holds, rates: Floats) -> bool:
    """Return whether the expected funding of past holds erred surely less than "next equals last".

    Nothing to tell by is no skill.
    """
    over = slice(BURN_IN, None)
    hold = begun.hold
    told = score(begun.expected[over] / hold, begun.realised[over] / hold, rates[over], hold)
    return told is not None and told.has_skill


class Statistician:
    """Keeps a view's signals up to its settlements: each is computed once, when it is the newest.

    ``due`` names the pairs whose newest settlement is not told of yet; ``tell`` computes one of
    them, in a few milliseconds, so that a loop may breathe in between.
    """

    def __init__(self, view: MarketView, policy: CarryPolicy) -> None:
        self._view, self._policy = view, policy
        self._told: dict[str, datetime] = {}

    def due(self) -> list[str]:
        """Return the pairs whose signals are older than their newest settlement."""
        return [
            name
            for name, market in self._view.markets.items()
            if market.settlements and self._told.get(name) != market.settlements[-1].settled_at
        ]

    def tell(self, name: str) -> None:
        """Compute the signals of one pair and put them into the view."""
        settlements = self._view.markets[name].settlements
        signals = signals_of(settlements, self._policy)
        if signals is not None:
            self._view.signalled(name, signals)
            self._told[name] = signals.as_of

    def tell_all(self) -> None:
        """Compute whatever is due."""
        for name in self.due():
            self.tell(name)


def _rates(settlements: Sequence[FundingSettlement]) -> Floats:
    """Return rates per newest interval, one an interval, (n,), oldest first."""
    rates = np.array([float(s.rate) for s in settlements])
    newest = settlements[-1].interval
    if all(s.interval == newest for s in settlements):
        return rates
    hours = [int(s.interval.total_seconds()) // 3600 for s in settlements]
    history = FundingHistory(
        np.array([int(s.settled_at.timestamp()) * 1000 for s in settlements], dtype=np.int64),
        rates,
        np.array(hours, dtype=np.int64),
        np.empty(0, dtype=np.int64),
        np.empty(0),
    )
    return on_grid(history, hours[-1]).rates


def _percentile(rates: Floats) -> float:
    """Return the share of rates under the newest, equals half, in percent: as ``standing`` does."""
    newest = rates[-1]
    below, equal = np.count_nonzero(rates < newest), np.count_nonzero(rates == newest)
    return 100.0 * (below + 0.5 * equal) / len(rates)


def _quantile(rates: Floats, share: float) -> float:
    """Return the quantile, linear between values: as ``numpy.quantile``, a tenth of its time."""
    return float(np.interp(share * (len(rates) - 1), np.arange(len(rates)), np.sort(rates)))


def _deviation(stated: HoldDistribution) -> float:
    """Return the standard deviation of what the hold may earn about what is expected of it."""
    weight = np.diff(stated.share)
    return float(np.sqrt(np.sum(weight * (stated.totals - stated.expected) ** 2)))


def _memory(rates: Floats) -> float:
    before, after = rates[:-1], rates[1:]
    pairs = len(before)
    if pairs < 2 or is_constant(before) or is_constant(after):
        return MEMORY
    first, second = before - before.mean(), after - after.mean()
    correlation = float(first @ second / np.sqrt((first @ first) * (second @ second)))
    seen = min(1.0, max(0.0, correlation))
    share = (pairs * seen + MEMORY_WORTH * MEMORY) / (pairs + MEMORY_WORTH)
    return min(0.99, share)


def _persistence(rates: Floats) -> float:
    """Return P(positive next given positive now) by the rule of succession: never certain.

    With nothing seen it is one half. Source: Laplace.
    """
    positive = rates[:-1] > 0.0
    followed = float(np.sum(rates[1:][positive] > 0.0))
    return (followed + 1.0) / (float(np.sum(positive)) + 2.0)
