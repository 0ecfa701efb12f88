"""Where today's level stands among those of the past."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy.stats import percentileofscore

from shared.analytics.series import Floats, series


class Regime(StrEnum):
    """Five bands of the past: its outer tenths, the fifths next to them, and the middle."""

    VERY_LOW = "very_low"
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    VERY_HIGH = "very_high"


BELOW: Final = (
    (10.0, Regime.VERY_LOW),
    (30.0, Regime.LOW),
    (70.0, Regime.NORMAL),
    (90.0, Regime.HIGH),
)


@dataclass(frozen=True, slots=True)
class Standing:
    """``percentile`` is 0 to 100: the share of the past below the level, and half of its equals."""

    percentile: float
    regime: Regime


def standing(history: Sequence[float] | Floats, level: float) -> Standing | None:
    """Return where ``level`` stands among ``history``, (n,); None when there is no past.

    Equals count half, so that a level that never changed is normal (50) and not high.
    Source: ``scipy.stats.percentileofscore(history, level, kind="mean")``.
    """
    known = series(history, "history")
    if len(known) == 0:
        return None
    percentile = float(percentileofscore(known, level, kind="mean"))
    return Standing(percentile, regime_of(percentile))


def rolling_percentile(values: Sequence[float] | Floats, window: int) -> Floats:
    """Return where each value stands among the last ``window``, itself included, (n,), 0 to 100.

    The same as ``standing`` of each window's newest, all at once; NaN until ``window`` are known.
    """
    known = series(values, "values")
    result = np.full(len(known), np.nan)
    if len(known) >= window:
        windows = np.lib.stride_tricks.sliding_window_view(known, window)
        newest = windows[:, -1:]
        below, equal = np.sum(windows < newest, axis=1), np.sum(windows == newest, axis=1)
        result[window - 1 :] = 100.0 * (below + 0.5 * equal) / window
    return result


def regime_of(percentile: float) -> Regime:
    """Return the label: below 10 very low, below 30 low, below 70 normal, below 90 high."""
    return next((regime for bound, regime in BELOW if percentile < bound), Regime.VERY_HIGH)
