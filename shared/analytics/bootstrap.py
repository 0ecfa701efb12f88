"""Block bootstrap: uncertainty of a statistic whose observations lean on each other.

Source: Politis & Romano (1992), circular blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.analytics.series import Floats, series

Statistic = Callable[[Floats], Floats]  # reduces the last axis: (draws, n) to (draws,)


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic's ``estimate`` and its bounds, in its unit; ``level`` is the stated coverage."""

    estimate: float
    low: float
    high: float
    level: float


def circular_blocks(n: int, block: int, draws: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return indices of ``draws`` resamples, (draws, n): whole blocks, begun anywhere, wrapped.

    Each place of the series is drawn equally often; neighbours stay together inside a block.
    """
    _require_block(n, block)
    count = -(-n // block)
    starts = rng.integers(0, n, size=(draws, count, 1))
    return np.asarray((starts + np.arange(block)).reshape(draws, -1)[:, :n] % n, dtype=np.intp)


def block_bootstrap(
    statistic: Statistic,
    values: Sequence[float] | Floats,
    block: int,
    n: int,
    rng: np.random.Generator,
) -> Floats:
    """Return the ``statistic`` of ``n`` circular-block resamples of ``values``, (n,).

    ``block`` is in values: at least as long as observations lean on each other.
    """
    known = series(values, "values")
    return np.asarray(statistic(known[circular_blocks(len(known), block, n, rng)]), np.float64)


def confidence_interval(
    statistic: Statistic,
    values: Sequence[float] | Floats,
    block: int,
    n: int,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Return the percentile interval of ``statistic`` over ``values``, oldest first.

    ``statistic`` reduces the last axis, as in ``lambda x: np.mean(x, axis=-1)``. The same seed
    gives the same interval.
    """
    known = series(values, "values")
    draws = block_bootstrap(statistic, known, block, n, np.random.default_rng(seed))
    low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(statistic(known[np.newaxis])[0]), float(low), float(high), level)


def _require_block(n: int, block: int) -> None:
    if not 1 <= block <= n:
        raise ValueError(f"a block of {block} does not fit {n} values: take 1 to {n}")
