"""What an equity curve came to. Floats: these are for people, never for money."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAYS_PER_YEAR = 365.0
MILLISECONDS_PER_DAY = 86_400_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Returns:
    """``total``, ``annualized`` and ``drawdown_max`` are fractions; drawdown is positive.

    ``sharpe`` is annualised from ``days`` daily returns; None with fewer than two, or no variation.
    """

    total: float
    annualized: float
    drawdown_max: float
    sharpe: float | None
    days: int


def drawdown(equity: Floats) -> Floats:
    """Return how far each point lies under the highest before it, as a positive fraction, (n,)."""
    peak = np.maximum.accumulate(equity)
    return np.asarray(1.0 - equity / peak, dtype=np.float64)


def returns_of(at_ms: NDArray[np.int64], equity: Floats) -> Returns:
    """Return the statistics of a curve: instants in UTC ms and equity, both (n,), oldest first.

    Annualised return is (last / first) ** (365 / days) - 1; Sharpe is the mean over the sample
    standard deviation of daily returns, times the root of 365, without a risk-free rate.
    """
    days = (at_ms[-1] - at_ms[0]) / MILLISECONDS_PER_DAY
    total = float(equity[-1] / equity[0] - 1.0)
    daily = _daily_returns(at_ms, equity)
    spread = float(np.std(daily, ddof=1)) if len(daily) > 1 else 0.0
    sharpe = None
    if spread > 0.0:
        sharpe = float(np.mean(daily)) / spread * float(np.sqrt(DAYS_PER_YEAR))
    annualized = float((1.0 + total) ** (DAYS_PER_YEAR / days) - 1.0) if days > 0 else 0.0
    return Returns(total, annualized, float(np.max(drawdown(equity))), sharpe, len(daily))


def _daily_returns(at_ms: NDArray[np.int64], equity: Floats) -> Floats:
    """Return the changes between the last points of consecutive UTC days, (days - 1,)."""
    day = at_ms // MILLISECONDS_PER_DAY
    last = np.append(day[1:] != day[:-1], True)
    closes = equity[last]
    return np.asarray(closes[1:] / closes[:-1] - 1.0, dtype=np.float64)
