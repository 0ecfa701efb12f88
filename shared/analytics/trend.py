"""The straight line through a window of settlements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtr
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


@dataclass(frozen=True, slots=True)
class Trends:
    """The lines through the last values at each settlement, all (n,), NaN until there are enough.

    ``middle`` is each line's value in the middle of its window, which is the window's mean.
    """

    slope: Floats
    p_value: Floats
    middle: Floats


def rolling_trend(values: Sequence[float] | Floats, window: int) -> Trends:
    """Return the lines through each ``window`` of values: as ``linear_trend``, all at once."""
    known = series(values, "values")
    if window < FEWEST:
        raise ValueError(f"a window of {window} is too short: it needs {FEWEST} or more")
    slope, p_value, middle = (np.full(len(known), np.nan) for _ in range(3))
    if len(known) >= window:
        at = slice(window - 1, None)
        windows = np.asarray(np.lib.stride_tricks.sliding_window_view(known, window))
        x = np.arange(window, dtype=np.float64) - (window - 1) / 2.0
        still = is_constant(windows)
        middle[at] = np.where(still, windows[:, 0], np.mean(windows, axis=1))
        slope[at] = np.where(still, 0.0, windows @ x / float(x @ x))
        rest = windows - middle[at, np.newaxis] - slope[at, np.newaxis] * x
        error = np.sqrt(np.sum(rest**2, axis=1) / (window - 2) / float(x @ x))
        exact = error == 0.0
        t = np.abs(slope[at]) / np.where(exact, 1.0, error)
        sure = np.where(exact, 0.0, 2.0 * stdtr(window - 2, -t))
        p_value[at] = np.where(still, 1.0, sure)
    return Trends(slope, p_value, middle)
