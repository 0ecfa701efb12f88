"""The one place where the core's ``Signals`` are made: live, replay and back-test alike.

Floats end here: every number is quantised to 1e-12 on its way into the core. What a hold may bring
is funding and basis together, from its level at the newest settlement: the core, which sees both
books, adds what the basis has moved since, and charges what trading costs.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import repeat
from operator import attrgetter
from typing import Final, TypedDict

import numpy as np

from shared.analytics.forecast import newest
from shared.analytics.grid import FundingHistory, Instants, on_grid
from shared.analytics.holds import LEVEL_SPAN, holds
from shared.analytics.indicators import ema, zscore
from shared.analytics.loss import HoldDistribution, hold_distribution
from shared.analytics.quantise import quantised, quantised_all, quantised_or_none
from shared.analytics.regime import regime_of
from shared.analytics.series import Floats, is_constant
from shared.analytics.trend import FEWEST, rolling_trend
from shared.domain.funding import FundingSettlement, settlements_within
from shared.domain.policy import CarryPolicy
from shared.domain.signals import Distribution, Signals
from shared.domain.view import MarketView

LEVELS: Final = np.linspace(0.0, 1.0, 41)
"""The quantiles the core gets: every 2.5 %."""
LEVELS_LEAST: Final = 30
"""Levels of the basis below which none is said to be high or low: ten days of eight hours."""
WORST_SHARE: Final = 0.001
MEMORY: Final = 0.8
MEMORY_WORTH: Final = 30
"""What is believed of a contract's memory before any settlement, and how many that is worth.

Funding of liquid contracts keeps some four fifths of its distance from the mean a settlement."""
RATE, SETTLED_AT, INTERVAL = (attrgetter(n) for n in ("rate", "settled_at", "interval"))
TO_DEVIATION: Final = 1.4826
"""From the median of absolute errors to the standard deviation of normal ones."""


def signals_of(
    settlements: Sequence[FundingSettlement],
    levels: Mapping[datetime, float],
    policy: CarryPolicy,
) -> Signals | None:
    """Return what statistics say of one contract's ``settlements``, oldest first.

    ``levels`` is the basis at them, by instant: a level not known in the past is the one before it,
    but without the newest nothing is said of the basis, nor of what a hold may bring. Only what is
    of the last ``policy.history`` counts. None without any; single numbers are None where the past
    is too short to tell.
    """
    if not settlements:
        return None
    last = settlements[-1]
    begin = bisect_right(settlements, last.settled_at - policy.history, key=SETTLED_AT)
    rates, basis = _joined(settlements[begin:], levels)
    if len(rates) == 0:
        return None
    hold = settlements_within(policy.hold, last.interval)
    window = rates[-policy.forecast_settlements :]
    trend = rolling_trend(window, len(window)) if len(window) >= FEWEST else None
    percentile = _percentile(rates)
    coming, held = newest(rates, (1, max(1, hold)))
    near = reverting(rates, max(1, min(hold, policy.exit_settlements)))
    begun = holds(rates, np.zeros(len(rates)), max(1, hold))
    stated = hold_distribution(begun)
    brought = _brought(rates, basis, max(1, hold))
    return Signals(
        as_of=last.settled_at,
        next_mean=quantised_or_none(coming.mean),
        exit_mean=None if near is None else quantised(near.mean),
        exit_error=None if near is None else quantised_or_none(near.error),
        hold_mean=quantised_or_none(held.mean),
        hold_error=None if stated is None else quantised(_deviation(stated) / hold),
        slope=None if trend is None else quantised(float(trend.slope[-1])),
        slope_p=None if trend is None else quantised(float(trend.p_value[-1])),
        z_score=quantised(float(zscore(window, len(window))[-1])) if len(window) > 1 else None,
        percentile=quantised(percentile / 100.0),
        regime=regime_of(percentile).value,
        persistence=quantised(_persistence(rates)),
        worst_rate=quantised(_quantile(rates, WORST_SHARE)),
        has_skill=held.has_skill,
        **_of_basis(basis),
        hold_outcomes=None if brought is None else quantised_all(brought.quantiles(LEVELS)),
        hold_deviation=None if brought is None else quantised(_deviation(brought)),
    )


@dataclass(frozen=True, slots=True)
class Reversion:
    """The expected mean rate of the next settlements, and its standard error; NaN: not known."""

    mean: float
    error: float


def reverting(rates: Floats, ahead: int) -> Reversion | None:
    """Return the near outlook by which a pair is left; None with fewer than two rates known.

    It is no second forecast: that one errs least on average, and answers a shock late. Here a shock
    is taken to be the news that it may be, as one who holds must. It is the mean of the next
    ``ahead`` rates. The newest rate keeps a share of its distance from the level (an EMA) at every
    settlement: the correlation of neighbours, drawn toward ``MEMORY`` by ``MEMORY_WORTH``
    settlements. The error is that of the same outlook in the past, from the median of its absolute
    errors, which one shock does not move: a shock must be left, not waited out. Source: an AR(1)
    process about its mean.
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


class Statistician:
    """Keeps a view's signals up to its settlements: computed once for each, when it is the newest.

    ``due`` names the pairs whose newest settlement, or the basis then, is not told of yet; ``tell``
    computes one of them, in a few milliseconds, so that a loop may breathe in between. Signals that
    had to do without that basis are made anew once it is known.
    """

    def __init__(self, view: MarketView, policy: CarryPolicy) -> None:
        self._view, self._policy = view, policy
        self._told: dict[str, _Known] = {}
        self._levels: dict[str, dict[datetime, float]] = {}

    def due(self) -> list[str]:
        """Return the pairs whose signals are older than their newest settlement."""
        return [
            name
            for name, market in self._view.markets.items()
            if market.settlements and self._told.get(name) != self._known(name)
        ]

    def lacking(self) -> list[str]:
        """Return the pairs of which the basis at their newest settlement is not known."""
        return [
            name
            for name, market in self._view.markets.items()
            if market.settlements and not self._known(name)[1]
        ]

    def tell(self, name: str) -> None:
        """Compute the signals of one pair and put them into the view."""
        settlements = self._view.markets[name].settlements
        signals = signals_of(settlements, self._as_floats(name), self._policy)
        if signals is not None:
            self._view.signalled(name, signals)
        self._told[name] = self._known(name)

    def tell_all(self) -> None:
        """Compute whatever is due."""
        for name in self.due():
            self.tell(name)

    def _as_floats(self, name: str) -> Mapping[datetime, float]:
        """Return a pair's basis as floats, each made once."""
        levels, made = self._view.levels(name), self._levels.setdefault(name, {})
        for at in made.keys() - levels.keys():
            del made[at]
        for at in levels.keys() - made.keys():
            made[at] = float(levels[at])
        return made

    def _known(self, name: str) -> "_Known":
        newest = self._view.markets[name].settlements[-1].settled_at
        return newest, newest in self._view.levels(name)


_Known = tuple[datetime, bool]
"""A pair's newest settlement, and whether the basis then is known."""


def _joined(
    settlements: Sequence[FundingSettlement], levels: Mapping[datetime, float]
) -> tuple[Floats, Floats]:
    """Return rates per newest interval, one an interval, and the basis then, both (n,).

    Oldest first. The basis is NaN before the first level, and at the end when that is not known.
    """
    # A year of them, at every settlement: loops that Python does not step through.
    rates = np.fromiter(map(float, map(RATE, settlements)), np.float64, len(settlements))
    stamps = list(map(SETTLED_AT, settlements))
    known = map(levels.get, stamps, repeat(np.nan))
    basis = np.fromiter(known, np.float64, len(stamps))
    if len(set(map(INTERVAL, settlements))) == 1:
        basis = _filled(basis)
    else:
        seconds = np.array([s.interval.total_seconds() for s in settlements])
        hours = (seconds // 3600).astype(np.int64)
        at_ms, seen = _in_ms(stamps), np.isfinite(basis)
        history = FundingHistory(at_ms, rates, hours, at_ms[seen], basis[seen])
        grid = on_grid(history, int(hours[-1]))
        rates, basis = grid.rates, grid.basis
    if len(basis) and stamps[-1] not in levels:
        basis[-1] = np.nan
    return rates, basis


def _filled(levels: Floats) -> Floats:
    """Return ``levels`` with the one before in place of NaN; what precedes the first stays NaN."""
    known = np.where(np.isfinite(levels), np.arange(len(levels)), 0)
    return levels[np.maximum.accumulate(known)]


def _in_ms(instants: Sequence[datetime]) -> Instants:
    return np.array([int(at.timestamp()) * 1000 for at in instants], dtype=np.int64)


def _brought(rates: Floats, basis: Floats, hold: int) -> HoldDistribution | None:
    """Return what a hold may bring, from those since the basis is known; None without its level."""
    if not np.isfinite(basis[-1]):
        return None
    first = int(np.argmax(np.isfinite(basis)))
    return hold_distribution(holds(rates[first:], basis[first:], hold))


class _OfBasis(TypedDict):
    basis: Decimal | None
    basis_usual: Decimal | None
    basis_levels: Distribution | None


def _of_basis(basis: Floats) -> _OfBasis:
    known = basis[np.isfinite(basis)]
    if not np.isfinite(basis[-1]) or len(known) < LEVELS_LEAST:
        return {"basis": None, "basis_usual": None, "basis_levels": None}
    ordered, places = np.sort(known), LEVELS * (len(known) - 1)
    return {
        "basis": quantised(float(known[-1])),
        "basis_usual": quantised(float(ema(known, LEVEL_SPAN)[-1])),
        "basis_levels": quantised_all(np.interp(places, np.arange(len(known)), ordered)),
    }


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
