"""Walk-forward on the sweep's grid: every setting once over all days, then judged by weeks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.market import DAY_MS, SweepMarket
from services.backtest.sweep.result import SweepResult
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import Grid, ParameterSet, Terms
from shared.analytics.folds import Fold, walk_forward
from shared.analytics.validation import Judgement, Search, judge

PERIOD_DAYS: Final = 7
"""Judged by weeks: days of one spell of funding resemble each other too much to count apart."""
COSTS_RAISED: Final = Decimal("1.5")
EMBARGO_PERIODS: Final = 1
HOURS_A_SETTLEMENT: Final = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Walk:
    """A grid search with its verdict. ``profits`` (t, n): USDT a period, of ``sets`` (n,)."""

    sets: tuple[ParameterSet, ...]
    terms: Terms
    result: SweepResult
    profits: Floats
    starts_ms: tuple[int, ...]
    judgement: Judgement


def grid_sets(grid: Grid) -> list[ParameterSet]:
    """Return the grid's sets that enter above where they leave; others would turn at once."""
    return [one for one in grid.sets() if one.exit <= one.entry]


def walk(market: SweepMarket, grid: Grid, terms: Terms, folds: int) -> Walk:
    """Return every setting's weeks, the choices fold by fold, and the verdict.

    Raises: Misconfigured when a set or a price is out of range; InvariantViolation when the history
        is too short for that many folds with the longest hold purged.
    """
    sets = grid_sets(grid)
    result = sweep(market, sets, terms)
    raised = sweep(market, sets, dearer(terms))
    profits = by_period(result, terms)
    search = Search(
        profits=profits,
        raised=by_period(raised, terms),
        trades=result.trades,
        places=places_of(grid, sets),
    )
    cut = folds_of(len(profits), grid, folds)
    first = len(result.days) % PERIOD_DAYS
    return Walk(
        tuple(sets), terms, result, profits, result.days[first::PERIOD_DAYS], judge(search, cut)
    )


def dearer(terms: Terms) -> Terms:
    """Return the terms with fees and slippage raised by half."""
    return replace(
        terms,
        spot_fee=terms.spot_fee * COSTS_RAISED,
        perp_fee=terms.perp_fee * COSTS_RAISED,
        slippage=terms.slippage * COSTS_RAISED,
        capital=terms.all_capital,
    )


def folds_of(periods: int, grid: Grid, folds: int) -> list[Fold]:
    """Return the folds; what the longest hold could carry into a test is purged from training."""
    hold_ms = max(grid.holds) * HOURS_A_SETTLEMENT * 3_600_000
    purge = -(-hold_ms // (PERIOD_DAYS * DAY_MS))
    return walk_forward(periods, folds, purge=purge, embargo=EMBARGO_PERIODS)


def by_period(result: SweepResult, terms: Terms) -> Floats:
    """Return each setting's USDT a period, (t, n); the oldest days that fill none are left out."""
    days = result.daily_returns.T * float(terms.all_capital)
    count = len(days) // PERIOD_DAYS
    kept = days[len(days) - count * PERIOD_DAYS :]
    return np.ascontiguousarray(kept.reshape(count, PERIOD_DAYS, -1).sum(axis=1))


def places_of(grid: Grid, sets: Sequence[ParameterSet]) -> NDArray[np.int64]:
    """Return where each set lies on the grid, in steps along its four axes, (n, 4)."""
    axes = (grid.spans, grid.entries, grid.exits, grid.holds)
    steps = [{value: i for i, value in enumerate(axis)} for axis in axes]
    rows = [
        [steps[0][one.span], steps[1][one.entry], steps[2][one.exit], steps[3][one.hold]]
        for one in sets
    ]
    return np.array(rows, dtype=np.int64)
