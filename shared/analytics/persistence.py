"""How long a positive rate stays positive, and where the money came from (A3)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.analytics.series import Floats, series


@dataclass(frozen=True, slots=True)
class Persistence:
    """Shares are 0 to 1, runs are in settlements; None where the past holds no such case.

    ``positive_next`` is P(next rate > 0 given this one > 0). ``run`` is the run the newest rate is
    in, negative when it is not positive. ``run_mean`` and ``run_longest`` are of positive runs, the
    one still going included. ``above`` is the share of settlements above the break-even rate.
    ``best_month`` is the best UTC month's part of all funding, None when the whole is no gain; it
    is above 1 when the other months together lost.
    """

    positive_next: float | None
    run: int
    run_mean: float | None
    run_longest: int
    above: float | None
    best_month: float | None


def persistence(rates: Floats, at_ms: NDArray[np.int64], break_even_rate: float) -> Persistence:
    """Return the persistence of settled ``rates`` at ``at_ms`` (UTC ms), both (n,), oldest first.

    ``break_even_rate`` is the rate per settlement at which the hold just earns its costs.
    """
    known = series(rates, "rates")
    runs = run_lengths(known > 0.0)
    positive = runs[runs > 0]
    return Persistence(
        positive_next=positive_after_positive(known),
        run=int(runs[-1]) if len(runs) else 0,
        run_mean=float(np.mean(positive)) if len(positive) else None,
        run_longest=int(np.max(positive, initial=0)),
        above=float(np.mean(known > break_even_rate)) if len(known) else None,
        best_month=share_of_best_month(known, at_ms),
    )


def positive_after_positive(rates: Floats) -> float | None:
    """Return the share of positive rates that a positive one followed; None when none was."""
    now, following = rates[:-1] > 0.0, rates[1:] > 0.0
    return float(np.mean(following[now])) if np.any(now) else None


def run_lengths(positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the lengths of the runs, oldest first: above zero of True, below zero of False."""
    if len(positive) == 0:
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.append(True, positive[1:] != positive[:-1]))
    lengths = np.diff(np.append(starts, len(positive)))
    return np.asarray(np.where(positive[starts], lengths, -lengths), dtype=np.int64)


def share_of_best_month(rates: Floats, at_ms: NDArray[np.int64]) -> float | None:
    """Return the best UTC calendar month's sum over the sum of all; None when that is no gain."""
    if len(rates) == 0:
        return None
    months = pd.to_datetime(at_ms, unit="ms").strftime("%Y-%m")
    sums = pd.Series(rates).groupby(np.asarray(months)).sum()
    total = float(sums.sum())
    return float(sums.max()) / total if total > 0.0 else None
