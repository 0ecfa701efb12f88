"""What every statistic here takes: finite floats in one dimension, oldest first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.domain.errors import Malformed

Floats = NDArray[np.float64]
Hours = NDArray[np.int64]


def series(values: Sequence[float] | Floats, name: str) -> Floats:
    """Return ``values`` as float64, (n,), oldest first.

    Raises:
        Malformed: there is more than one dimension, or a value is not finite; names the place.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise Malformed(f"{name} has {array.ndim} dimensions: pass one symbol's row, oldest first.")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise Malformed(
            f"{name}[{bad[0]}] is {array[bad[0]]}: leave missing values out, never fill them in."
        )
    return array


def per_newest_interval(rates: Floats, hours: Hours) -> Floats:
    """Return rates rescaled to the newest interval, hour for hour, (n,), fractions of notional.

    ``rates`` and ``hours`` (length of the interval that each rate paid for) are (n,), oldest first.
    A rate of 2 h counts four times when the newest interval has 8 h.

    Raises:
        Malformed: the lengths differ or an interval is not positive.
    """
    if len(rates) != len(hours):
        raise Malformed(f"{len(rates)} rates with {len(hours)} intervals: pass one for each.")
    if len(rates) == 0:
        return rates
    if np.min(hours) <= 0:
        raise Malformed(f"interval {int(np.min(hours))} h: an interval is longer than zero.")
    return np.asarray(rates * (hours[-1] / hours), dtype=np.float64)


def is_constant(windows: Floats) -> NDArray[np.bool_]:
    """Return per row whether all its values are the same; rounding cannot make it untrue."""
    return np.asarray(np.max(windows, axis=-1) == np.min(windows, axis=-1))
