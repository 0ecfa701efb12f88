"""Walk-forward on the sweep's grid: every setting once over all days, then judged by weeks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.market import DAY_MS, SweepMarket
from services.backtest.sweep.result import SweepResult
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import Grid, ParameterSet, Terms
from shared.analytics.folds import Fold, walk_forward
from shared.analytics.validation import BLOCKS, Judgement, Search, Tried, judge
from shared.domain.errors import Misconfigured

PERIOD_DAYS: Final = 7
"""Judged by weeks: days of one spell of funding resemble each other too much to count apart."""
COSTS_RAISED: Final = Decimal("1.5")
EMBARGO_PERIODS: Final = 1
HOURS_A_SETTLEMENT: Final = 8

CHUNK: Final = 256
"""Settings swept between two words on how far it is."""

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]


class Trials(Protocol):
    """Keeps every setting that was tried, and knows how many ever were."""

    def keep(self, numbers: Sequence[int], part: SweepResult) -> None:
        """Store the results of the settings ``numbers``."""

    def tried(self) -> Tried | None:
        """Return what was ever tried on the same data, these included; None is not known."""


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


def walk(
    market: SweepMarket,
    grid: Grid,
    terms: Terms,
    folds: int,
    progress: Progress | None = None,
    trials: Trials | None = None,
) -> Walk:
    """Return every setting's weeks, the choices fold by fold, and the verdict.

    ``progress`` is told how many of the settings' runs are done, each at both levels of cost.
    ``trials`` gets each setting's result as it is done; raised costs are a check, not a trial.
    Raises: Misconfigured when a set or a price is out of range, or when the history is too short
        for that many folds with the longest hold purged.
    """
    sets = grid_sets(grid)
    if len(sets) < 2:
        raise Misconfigured(
            "The grid has fewer than two settings that leave below where they enter."
        )
    cut = folds_of(len(market.days) // PERIOD_DAYS, grid, folds)
    say = progress or (lambda done, total: None)
    result = _swept(market, sets, terms, lambda done: say(done, 2 * len(sets)), trials)
    raised = _swept(market, sets, dearer(terms), lambda done: say(len(sets) + done, 2 * len(sets)))
    profits = by_period(result, terms)
    search = Search(
        profits=profits,
        raised=by_period(raised, terms),
        trades=result.trades,
        places=places_of(grid, sets),
    )
    first = len(result.days) % PERIOD_DAYS
    judged = judge(search, cut, None if trials is None else trials.tried())
    return Walk(tuple(sets), terms, result, profits, result.days[first::PERIOD_DAYS], judged)


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
    if folds < 1 or periods // (folds + 1) <= purge + EMBARGO_PERIODS or periods < 2 * BLOCKS:
        raise Misconfigured(
            f"{periods} weeks are too few for {folds} folds with {purge + EMBARGO_PERIODS} weeks "
            "left out before each: take fewer folds, a shorter longest hold or a longer span."
        )
    return walk_forward(periods, folds, purge=purge, embargo=EMBARGO_PERIODS)


def _swept(
    market: SweepMarket,
    sets: Sequence[ParameterSet],
    terms: Terms,
    say: Callable[[int], None],
    trials: Trials | None = None,
) -> SweepResult:
    """Return the sweep of all sets, chunk by chunk."""
    parts = []
    for begin in range(0, len(sets), CHUNK):
        parts.append(sweep(market, sets[begin : begin + CHUNK], terms))
        if trials is not None:
            trials.keep(range(begin, begin + len(parts[-1])), parts[-1])
        say(min(begin + CHUNK, len(sets)))
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(SweepResult)
        if field.name != "days"
    }
    return SweepResult(**columns, days=parts[0].days)


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
