"""Moving averages, deviations and z-scores. Arrays are (n,), oldest first, in the input's unit.

Rolling figures look back only: element i is made of the ``window`` values that end at i, and is
NaN where fewer are known.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy.signal import lfilter

from shared.analytics.series import Floats, is_constant, series

SAMPLE: Final = 1  # delta degrees of freedom: a sample's deviation, as pandas has it


def ema(values: Sequence[float] | Floats, span: int) -> Floats:
    """Return the exponential moving average, (n,): the first value seeds it, nothing is NaN.

    ``span`` is in values, the weight of the newest is 2 / (span + 1).
    Source: ``pandas.Series.ewm(span=span, adjust=False).mean()``.
    """
    _require_window(span, 1)
    known = series(values, "values")
    if len(known) == 0:
        return known
    alpha = 2.0 / (span + 1.0)
    rest = 1.0 - alpha
    smoothed, _ = lfilter([alpha], [1.0, -rest], known, zi=[rest * known[0]])
    return np.asarray(smoothed, dtype=np.float64)


def rolling_mean(values: Sequence[float] | Floats, window: int) -> Floats:
    """Return the mean of the last ``window`` values, (n,), NaN until so many are known."""
    _require_window(window, 1)
    return _rolled(series(values, "values"), window, lambda w: np.mean(w, axis=1))


sma = rolling_mean  # the simple moving average is what the rolling mean is called on a chart


def rolling_std(values: Sequence[float] | Floats, window: int, ddof: int = SAMPLE) -> Floats:
    """Return the standard deviation of the last ``window`` values, (n,), divisor window - ddof.

    Exactly zero where all values of a window are the same, NaN until ``window`` are known.
    """
    _require_window(window, ddof + 1)

    def deviation(windows: Floats) -> Floats:
        return np.where(is_constant(windows), 0.0, np.std(windows, axis=1, ddof=ddof))

    return _rolled(series(values, "values"), window, deviation)


def zscore(values: Sequence[float] | Floats, window: int) -> Floats:
    """Return how many sample deviations each value lies above its window's mean, (n,).

    The window includes the value itself. NaN until ``window`` are known, and zero where nothing in
    the window varies: such a value is its mean. (Bybit pays the same 0.01 % for weeks.)
    """
    known = series(values, "values")
    mean, deviation = rolling_mean(known, window), rolling_std(known, window)
    still = deviation == 0.0
    return np.where(still, 0.0, (known - mean) / np.where(still, 1.0, deviation))


def _rolled(known: Floats, window: int, statistic: Callable[[Floats], Floats]) -> Floats:
    result = np.full(len(known), np.nan)
    if len(known) >= window:
        windows = np.lib.stride_tricks.sliding_window_view(known, window)
        result[window - 1 :] = statistic(np.asarray(windows))
    return result


def _require_window(window: int, least: int) -> None:
    if window < least:
        raise ValueError(f"a window of {window} is too short: it needs {least} or more")
