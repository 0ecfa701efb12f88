"""How far a Sharpe ratio can be believed: its length, its shape, and how often one has tried.

All ratios here are per observation, not annualised. Source: Bailey and Lopez de Prado, The Sharpe
Ratio Efficient Frontier (2012) and The Deflated Sharpe Ratio (2014); their figures are the tests.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

EULER_MASCHERONI: Final = float(np.euler_gamma)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a Sharpe ratio's error depends on. ``kurtosis`` is 3 for a normal distribution."""

    sharpe: float
    count: int
    skewness: float = 0.0
    kurtosis: float = 3.0


def shape_of(returns: Floats) -> Shape | None:
    """Return the shape of ``returns`` (n,); None with fewer than three, or no variation."""
    if len(returns) < 3:
        return None
    spread = float(np.std(returns, ddof=1))
    if spread <= 1e-12 * float(np.max(np.abs(returns))):
        return None
    return Shape(
        sharpe=float(np.mean(returns)) / spread,
        count=len(returns),
        skewness=float(stats.skew(returns)),
        kurtosis=float(stats.kurtosis(returns, fisher=False)),
    )


def sharpe_ratios(returns: Floats) -> Floats:
    """Return the Sharpe ratio of each column of ``returns`` (t, n) as (n,); 0 where none varies."""
    spread = np.std(returns, axis=0, ddof=1)
    mean = np.mean(returns, axis=0)
    return np.asarray(
        np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0), dtype=np.float64
    )


def has_traded(returns: Floats) -> NDArray[np.bool_]:
    """Return which columns of ``returns`` (t, n) ever gain or lose, (n,): others are idle.

    An idle setting has no Sharpe ratio: the 0 that stands for it measures no luck.
    """
    return np.asarray(np.any(returns != 0.0, axis=0))


def probabilistic_sharpe(shape: Shape, benchmark: float = 0.0) -> float:
    """Return the probability, in [0, 1], that the true Sharpe ratio is above ``benchmark``."""
    ratio = shape.sharpe
    variance = 1.0 - shape.skewness * ratio + (shape.kurtosis - 1.0) / 4.0 * ratio**2
    error = np.sqrt(max(variance, np.finfo(float).tiny) / (shape.count - 1))
    return float(stats.norm.cdf((ratio - benchmark) / error))


def expected_maximum(trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of ``trials`` worthless ones is expected to show.

    ``variance`` is that of the trials' ratios, idle ones left out: their zeros would narrow what
    luck can do. One trial alone is expected to show nothing.
    """
    if trials < 2:
        return 0.0
    highest = stats.norm.ppf(1.0 - 1.0 / trials)
    next_highest = stats.norm.ppf(1.0 - 1.0 / (trials * np.e))
    weighed = (1.0 - EULER_MASCHERONI) * highest + EULER_MASCHERONI * next_highest
    return float(np.sqrt(variance) * weighed)


def deflated_sharpe(shape: Shape, trials: int, variance: float) -> float:
    """Return the probability that the ratio beats what luck alone would pick out of ``trials``."""
    return probabilistic_sharpe(shape, expected_maximum(trials, variance))
