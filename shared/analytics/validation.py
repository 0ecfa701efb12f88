"""The verdict on a searched strategy: robust, or fragile and why. The limits stand here, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.analytics.bootstrap import Interval, confidence_interval
from shared.analytics.folds import Fold
from shared.analytics.overfitting import backtest_overfitting
from shared.analytics.sharpe import deflated_sharpe, has_traded, shape_of, sharpe_ratios

Floats = NDArray[np.float64]


class Verdict(StrEnum):
    """What a search is good for: to be used, to be looked at, or not known yet."""

    ROBUST = "robust"
    FRAGILE = "fragile"
    NOT_JUDGED = "not_judged"


class Check(StrEnum):
    """What a robust strategy passes, every one."""

    PROFIT_OUT_OF_SAMPLE = "profit_out_of_sample"
    FOLDS_PROFITABLE = "folds_profitable"
    ONE_FOLD_SHARE = "one_fold_share"
    COSTS_RAISED = "costs_raised"
    NEIGHBOURS = "neighbours"
    DEFLATED_SHARPE = "deflated_sharpe"
    OVERFITTING = "overfitting"
    ROUND_TRIPS = "round_trips"


LIMITS: Final = {
    Check.PROFIT_OUT_OF_SAMPLE: 0.0,
    Check.FOLDS_PROFITABLE: 0.6,
    Check.ONE_FOLD_SHARE: 0.7,
    Check.COSTS_RAISED: 0.0,
    Check.NEIGHBOURS: 0.0,
    Check.DEFLATED_SHARPE: 0.95,
    Check.OVERFITTING: 0.2,
    Check.ROUND_TRIPS: 10.0,
}
"""USDT must be above its limit; shares and counts may be at it."""
AT_MOST: Final = frozenset({Check.ONE_FOLD_SHARE, Check.OVERFITTING})
IN_MONEY: Final = frozenset({Check.PROFIT_OUT_OF_SAMPLE, Check.COSTS_RAISED, Check.NEIGHBOURS})
LEVEL: Final = 0.90
FOLDS_MIN: Final = 4
BLOCKS: Final = 8
BLOCK_PERIODS: Final = 4
DRAWS: Final = 1_000
SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Search:
    """What n settings came to in t periods (weeks, say), oldest first.

    ``profits`` and ``raised`` (t, n): USDT, as costs are and with costs raised by half. ``trades``
    (n,): round trips. ``places`` (n, axes): where each setting lies on the grid, in steps.
    """

    profits: Floats
    raised: Floats
    trades: NDArray[np.int64]
    places: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tried:
    """How many settings were ever tried on the same data, and the variance of their ratios.

    Idle settings, those that never trade, count: they were looked at, and more trials only deflate
    more. Their ratios do not vary by luck and are left out of ``variance``: each 0 would narrow it
    by more than the count makes up for, and a grid padded with thresholds that nothing reaches
    would pass. None when fewer than two traded: nothing is known of what luck does.
    Source: Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014), whose trials all have a
    ratio; that idle ones count but do not vary is our choice.
    """

    count: int
    variance: float | None


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What was chosen in training and what it came to: the setting's index, USDT out of sample."""

    fold: Fold
    chosen: int
    trained: float
    profit: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its ``value`` against its ``limit``; None where it could not be computed."""

    check: Check
    value: float | None
    limit: float
    holds: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict with every finding, and what it rests on.

    ``best`` is the setting with the highest Sharpe ratio over all periods among those that traded,
    ``sharpe`` that ratio a period. ``profit`` is the interval of the profit out of sample, USDT.
    ``overfitting`` is the probability of overfitting itself; its check counts only splits in which
    the choice also lost. It and ``loss_probability`` are None when fewer than two traded.
    ``trials`` is what the ratio was deflated by: all ever made (``counted_ever``), or this
    search's, idle ones among them.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    folds: tuple[FoldResult, ...]
    best: int
    sharpe: float
    profit: Interval | None
    overfitting: float | None
    loss_probability: float | None
    trials: int
    counted_ever: bool

    @property
    def reasons(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(f.check for f in self.findings if not f.holds)


def judge(search: Search, folds: Sequence[Fold], tried: Tried | None = None) -> Judgement:
    """Return the verdict on choosing, fold by fold, the setting with the best Sharpe ratio.

    ``tried`` are all trials ever made, this search's among them; without it only this search's are
    known. Robust means every check holds. Fewer than ``FOLDS_MIN`` folds are not judged. Settings
    that never trade neither raise the deflated Sharpe ratio nor change the overfitting.
    """
    walked = tuple(_walk(search.profits, fold) for fold in folds)
    ratios, traded = sharpe_ratios(search.profits), has_traded(search.profits)
    best = int(np.argmax(np.where(traded, ratios, -np.inf)))
    outside = _stitched(search.profits, walked)
    profit = _profit_interval(outside)
    overfit = backtest_overfitting(search.profits, BLOCKS)
    counted = _own(ratios, traded) if tried is None else tried
    values: dict[Check, float | None] = {
        Check.PROFIT_OUT_OF_SAMPLE: None if profit is None else profit.low,
        Check.FOLDS_PROFITABLE: float(np.mean([f.profit > 0.0 for f in walked])),
        Check.ONE_FOLD_SHARE: _largest_share([f.profit for f in walked]),
        Check.COSTS_RAISED: float(_stitched(search.raised, walked).sum()),
        Check.NEIGHBOURS: _worst_neighbour(search, best),
        Check.DEFLATED_SHARPE: _deflated(search.profits[:, best], counted),
        Check.OVERFITTING: None if overfit is None else overfit.costly,
        Check.ROUND_TRIPS: float(search.trades[best]),
    }
    findings = tuple(_finding(check, value) for check, value in values.items())
    return Judgement(
        _verdict(findings, len(folds)),
        findings,
        walked,
        best,
        float(ratios[best]),
        profit,
        None if overfit is None else overfit.probability,
        None if overfit is None else overfit.loss_probability,
        counted.count,
        tried is not None,
    )


def _walk(profits: Floats, fold: Fold) -> FoldResult:
    trained = sharpe_ratios(profits[slice(*fold.train)])
    chosen = int(np.argmax(trained))
    return FoldResult(
        fold, chosen, float(trained[chosen]), float(profits[slice(*fold.test), chosen].sum())
    )


def _stitched(profits: Floats, walked: Sequence[FoldResult]) -> Floats:
    """Return what the choices came to period by period, all tests in a row, (t,)."""
    parts = [profits[slice(*f.fold.test), f.chosen] for f in walked]
    return np.concatenate(parts) if parts else np.zeros(0)


def _profit_interval(outside: Floats) -> Interval | None:
    if len(outside) < 2 * BLOCK_PERIODS:
        return None
    return confidence_interval(
        lambda draws: np.asarray(draws.sum(axis=-1), np.float64),
        outside,
        BLOCK_PERIODS,
        DRAWS,
        SEED,
        LEVEL,
    )


def _largest_share(profits: Sequence[float]) -> float | None:
    """Return the best fold's share of the profit of all; None when they earned nothing."""
    total = sum(profits)
    return max(profits) / total if total > 0.0 else None


def _worst_neighbour(search: Search, best: int) -> float | None:
    """Return the least USDT over all periods among settings one step along one axis away."""
    apart = np.abs(search.places - search.places[best]).sum(axis=1)
    near = np.flatnonzero(apart == 1)
    return float(search.profits[:, near].sum(axis=0).min()) if len(near) else None


def _own(ratios: Floats, traded: NDArray[np.bool_]) -> Tried:
    varying = ratios[traded]
    return Tried(len(ratios), float(np.var(varying, ddof=1)) if len(varying) > 1 else None)


def _deflated(returns: Floats, tried: Tried) -> float | None:
    """Return the deflated ratio; None without a ratio, or when its luck cannot be told.

    Copies of one setting differ by less than luck does. The ratio of what has no skill varies by
    1 / (t - 1) from sample to sample (``probabilistic_sharpe`` at 0): less is not believed.
    """
    shape = shape_of(returns)
    if shape is None or (tried.variance is None and tried.count > 1):
        return None
    variance = max(tried.variance or 0.0, 1.0 / (shape.count - 1))
    return deflated_sharpe(shape, tried.count, variance)


def _finding(check: Check, value: float | None) -> Finding:
    limit = LIMITS[check]
    if value is None:
        holds = False
    elif check in AT_MOST:
        holds = value <= limit
    else:
        holds = value > limit if check in IN_MONEY else value >= limit
    return Finding(check, value, limit, holds)


def _verdict(findings: Sequence[Finding], folds: int) -> Verdict:
    if folds < FOLDS_MIN:
        return Verdict.NOT_JUDGED
    return Verdict.ROBUST if all(f.holds for f in findings) else Verdict.FRAGILE
