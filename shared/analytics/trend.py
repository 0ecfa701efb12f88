"""The straight line through a window of settlements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import linregress

from shared.analytics.series import Floats, is_constant, series

FEWEST: Final = 3  # two points fit any line, and leave nothing to tell its error by


@dataclass(frozen=True, slots=True)
class Trend:
    """``slope`` is the change per settlement, ``intercept`` the line's value at the oldest one.

    ``p_value`` is two-sided, of the hypothesis that the slope is zero; ``stderr`` is the slope's.
    Both hold for independent errors: rates that follow each other look surer than they are.
    """

    slope: float
    intercept: float
    p_value: float
    stderr: float
    settlements: int

    @property
    def newest(self) -> float:
        """The line's value at the newest settlement."""
        return self.intercept + self.slope * (self.settlements - 1)


def linear_trend(values: Sequence[float] | Floats) -> Trend | None:
    """Return the least-squares line through ``values``, (n,), oldest first, one a settlement apart.

    None with fewer than three. Values that are all the same have slope 0 with p-value 1.
    Source: ``scipy.stats.linregress`` over 0 .. n - 1.
    """
    known = series(values, "values")
    if len(known) < FEWEST:
        return None
    if is_constant(known):
        return Trend(0.0, float(known[0]), 1.0, 0.0, len(known))
    line = linregress(np.arange(len(known), dtype=np.float64), known)
    return Trend(
        slope=float(line.slope),
        intercept=float(line.intercept),
        p_value=float(line.pvalue),
        stderr=float(line.stderr),
        settlements=len(known),
    )


def rolling_slope(values: Sequence[float] | Floats, window: int) -> Floats:
    """Return the slope per settlement of each window, (n,), NaN until ``window`` are known.

    The same line as ``linear_trend``, for all windows at once.
    """
    known = series(values, "values")
    if window < FEWEST:
        raise ValueError(f"a window of {window} is too short: it needs {FEWEST} or more")
    result = np.full(len(known), np.nan)
    if len(known) >= window:
        x = np.arange(window, dtype=np.float64) - (window - 1) / 2.0
        windows = np.lib.stride_tricks.sliding_window_view(known, window)
        slopes = windows @ x / float(x @ x)
        result[window - 1 :] = np.where(is_constant(np.asarray(windows)), 0.0, slopes)
    return result
