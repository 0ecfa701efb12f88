"""Whether a stated loss probability comes true: holds decided in a span, and how they ended (R14).

Every probability is made of what was known at its instant; the outcome is looked up afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from shared.analytics.bootstrap import Interval, circular_blocks
from shared.analytics.grid import FundingHistory, on_grid
from shared.analytics.holds import holds
from shared.analytics.loss import hold_distribution
from shared.analytics.series import Floats

INTERVAL_HOURS: Final = 8
TRIALS: Final[Mapping[int, Sequence[float]]] = {
    3: (0.0001, 0.0005, 0.001),
    9: (0.0003, 0.0008, 0.002),
    21: (0.0008, 0.002, 0.004),
    63: (0.0015, 0.0035, 0.007),
}
"""Settlements held, and costs as fractions of notional: so chosen on data before 2022-12-18 that
stated probabilities spread over 0 to 1. Three weeks for 35 bp is the policy's hold."""

BINS: Final = (0.0, 0.05, 0.15, 0.25, 0.35, 0.5, 0.65, 0.75, 0.85, 0.95, 1.0)
FIFTH: Final = (0.15, 0.25)  # stated around 20 %
DRAWS: Final = 1000
SEED: Final = 14


@dataclass(frozen=True, slots=True)
class Calibration:
    """``brier`` is the mean squared error of the probabilities, ``brier_constant`` that of always
    stating each trial's share of losses: knowing the year, but not the day.

    ``fifth`` is the share of losses where about 20 % were stated, ``stated_fifth`` their mean.
    ``below_fifth`` is the share of holds that ended below the 20 % quantile stated for them,
    whatever the cost. Bounds are 95 %, from blocks of the calendar as long as the longest hold.
    """

    trials: int
    brier: float
    brier_constant: float
    stated_fifth: float
    fifth: Interval
    below_fifth: Interval


def trials(
    symbol: str,
    history: FundingHistory,
    start_ms: int,
    end_ms: int,
    every: int = 1,
    most: int | None = None,
) -> pd.DataFrame:
    """Return one row per hold begun in [start, end) and over by its end, and cost, oldest first.

    Columns: ``symbol``, ``at_ms``, ``hold``, ``cost``, ``stated`` (the loss probability), ``lost``
    (what became of it) and ``rank`` (the stated probability of ending below what it did). ``every``
    is the number of settlements from one decision to the next, ``most`` how many of the newest are
    looked at for it.
    """
    grid = on_grid(history, INTERVAL_HOURS)
    first = int(np.sum(~np.isfinite(grid.basis)))
    at_ms, rates, basis = grid.at_ms[first:], grid.rates[first:], grid.basis[first:]
    rows = []
    for hold, costs in TRIALS.items():
        begun = holds(rates, basis, hold)
        inside = np.flatnonzero((at_ms >= start_ms) & (at_ms < end_ms))
        for at in inside[::every]:
            if at + hold >= len(at_ms) or at_ms[at + hold] >= end_ms:
                break
            stated = hold_distribution(begun, int(at), most)
            if stated is None:
                continue
            earned = float(begun.realised[at])
            rank = stated.loss_probability(earned)
            rows += [
                (symbol, int(at_ms[at]), hold, c, stated.loss_probability(c), earned < c, rank)
                for c in costs
            ]
    names = ["symbol", "at_ms", "hold", "cost", "stated", "lost", "rank"]
    return pd.DataFrame(rows, columns=names)


def calibration(held: pd.DataFrame) -> Calibration:
    """Return how ``held``, made by ``trials`` and not empty, came true."""
    stated, lost = held["stated"].to_numpy(np.float64), held["lost"].to_numpy(np.float64)
    usual = held.groupby(["symbol", "hold", "cost"])["lost"].transform("mean").to_numpy(np.float64)
    near = held[(held["stated"] >= FIFTH[0]) & (held["stated"] < FIFTH[1])]
    ends = held.drop_duplicates(["symbol", "at_ms", "hold"])
    return Calibration(
        trials=len(held),
        brier=float(np.mean((stated - lost) ** 2)),
        brier_constant=float(np.mean((usual - lost) ** 2)),
        stated_fifth=float(near["stated"].mean()),
        fifth=share_of(near.assign(hit=near["lost"]), held),
        below_fifth=share_of(ends.assign(hit=ends["rank"] < 0.2), held),
    )


def reliability(held: pd.DataFrame) -> pd.DataFrame:
    """Return one row per bin of stated probability: ``count``, mean ``stated``, share ``lost``."""
    bins = pd.cut(held["stated"], list(BINS), right=False)
    grouped = held.groupby(bins, observed=True)
    return pd.DataFrame(
        {
            "count": grouped.size(),
            "stated": grouped["stated"].mean(),
            "lost": grouped["lost"].mean(),
        }
    )


def share_of(hits: pd.DataFrame, held: pd.DataFrame) -> Interval:
    """Return the share of ``hit`` among ``hits``, bounds from blocks of ``held``'s calendar.

    All symbols of one instant stay together, and so do the instants of one longest hold: what
    overlaps or moves together is no independent evidence. NaN when there are none.
    """
    calendar = np.sort(held["at_ms"].unique())
    if len(hits) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0.95)
    place = np.searchsorted(calendar, hits["at_ms"].to_numpy())
    count = np.bincount(place, minlength=len(calendar)).astype(np.float64)
    won = np.bincount(place, hits["hit"].to_numpy(np.float64), len(calendar))
    step = int(np.median(np.diff(calendar))) if len(calendar) > 1 else 1
    longest = max(TRIALS) * INTERVAL_HOURS * 3_600_000
    block = min(max(longest // step, 1), len(calendar))
    drawn = circular_blocks(len(calendar), block, DRAWS, np.random.default_rng(SEED))
    low, high = _bounds(won[drawn].sum(axis=1), count[drawn].sum(axis=1))
    return Interval(float(won.sum() / count.sum()), low, high, 0.95)


def _bounds(won: Floats, count: Floats) -> tuple[float, float]:
    shares = won[count > 0] / count[count > 0]
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
