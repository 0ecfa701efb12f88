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


def is_constant(windows: Floats) -> NDArray[np.bool_]:
    """Return per row whether all its values are the same; rounding cannot make it untrue."""
    return np.asarray(np.max(windows, axis=-1) == np.min(windows, axis=-1))
