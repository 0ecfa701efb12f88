"""Intervals of a run's headline figures, by circular block bootstrap of its days."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.analytics.bootstrap import Interval, Statistic, block_bootstrap, confidence_interval
from shared.analytics.returns import DAYS_PER_YEAR

Floats = NDArray[np.float64]

LEVEL: Final = 0.90
DRAWS: Final = 2_000
BLOCK_DAYS: Final = 14
SEED: Final = 20_150_101


def headline_intervals(
    profits: Floats, parts: Mapping[str, Floats], capital: float
) -> dict[str, Interval]:
    """Return the interval of each headline figure of daily ``profits`` (days,), in USDT.

    ``net`` and each of ``parts`` (days,) are sums in USDT; ``annualized`` is the compound return a
    year on ``capital``, ``drawdown_max`` the deepest fall of the sum as a positive fraction of the
    highest equity before it, by days; ``sharpe`` is annualised. Days are drawn in blocks of
    ``BLOCK_DAYS``, since funding that is high stays so. Empty with fewer than two blocks of days.
    """
    days = len(profits)
    if days < 2 * BLOCK_DAYS:
        return {}
    series = {"net": profits, **parts}
    found = {name: _interval(_total, values) for name, values in series.items()}

    def annualized(draws: Floats) -> Floats:
        ends = np.maximum(1.0 + draws.sum(axis=-1) / capital, 0.0)
        return np.asarray(ends ** (DAYS_PER_YEAR / days) - 1.0, np.float64)

    def deepest(draws: Floats) -> Floats:
        equity = capital + np.cumsum(draws, axis=-1)
        peak = np.maximum(np.maximum.accumulate(equity, axis=-1), capital)
        return np.asarray(np.max(1.0 - equity / peak, axis=-1), np.float64)

    found["annualized"] = _interval(annualized, profits)
    found["drawdown_max"] = _interval(deepest, profits)
    if float(np.std(profits)) > 0.0:
        found["sharpe"] = _interval(_sharpe, profits)
    return found


def loss_probability(profits: Floats) -> float | None:
    """Return the share of block resamples of ``profits`` (days,) that sum below zero, in [0, 1].

    None with fewer than two blocks of days.
    """
    if len(profits) < 2 * BLOCK_DAYS:
        return None
    draws = block_bootstrap(_total, profits, BLOCK_DAYS, DRAWS, np.random.default_rng(SEED))
    return float(np.mean(draws < 0.0))


def difference_interval(ours: Floats, theirs: Floats) -> Interval | None:
    """Return the interval of the sum of ``ours`` minus ``theirs``, both (days,), same days.

    The days are drawn in pairs: what both have in common drops out. None with too few days.
    """
    if len(ours) < 2 * BLOCK_DAYS:
        return None
    return _interval(_total, np.asarray(ours - theirs, np.float64))


def _interval(statistic: Statistic, values: Floats) -> Interval:
    return confidence_interval(statistic, values, BLOCK_DAYS, DRAWS, SEED, LEVEL)


def _total(draws: Floats) -> Floats:
    return np.asarray(draws.sum(axis=-1), np.float64)


def _sharpe(draws: Floats) -> Floats:
    spread = draws.std(axis=-1, ddof=1)
    mean = draws.mean(axis=-1)
    ratio = np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0.0)
    return np.asarray(ratio * np.sqrt(DAYS_PER_YEAR), np.float64)
