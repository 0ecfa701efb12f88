"""What a forecast is worth: its squared errors beside those of "the next equals the last" (A6).

Only outcomes that were known count, so the score is out of sample. Squared errors, because sizing
needs the expectation: absolute ones are won by the commonest rate, which is no expectation.
Sources: Diebold & Mariano (1995) for the test, with the long-run variance of Newey & West (1987);
Harvey, Leybourne & Newbold (1997) for its correction and its Student distribution.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from shared.analytics.series import Floats

GRID_HOURS: Final = 8
"""Forecasts are made and scored by ends of eight hours, whatever the venue's interval."""
SCORE_WINDOW: Final = 180  # settlements; two months of eight hours
P_MAX: Final = 0.05


@dataclass(frozen=True, slots=True)
class Score:
    """``skill`` is 1 - (squared error / the naive one): above 0 is better, 1 perfect.

    ``rmse`` and ``rmse_naive`` are rates; ``p_value`` is one-sided, of no better than naive. Both
    it and ``skill`` are None when the naive never erred. A forecast without skill is shown as such
    and is not used for sizing.
    """

    settlements: int
    rmse: float
    rmse_naive: float
    skill: float | None
    p_value: float | None

    @property
    def has_skill(self) -> bool:
        """Whether it was better than naive, and surely so."""
        return (
            self.skill is not None
            and self.p_value is not None
            and self.skill > 0.0
            and self.p_value < P_MAX
        )


@dataclass(frozen=True, slots=True)
class Skills:
    """Rolling scores over the last SCORE_WINDOW forecasts that were over, (n,), NaN early."""

    skill: Floats
    p_value: Floats

    @property
    def has_skill(self) -> NDArray[np.bool_]:
        """Whether the forecast of each settlement may be used for sizing, (n,)."""
        return np.asarray((self.skill > 0.0) & (self.p_value < P_MAX))


def score(mean: Floats, realised: Floats, naive: Floats, horizon: int) -> Score | None:
    """Return the score of stored forecasts, all (n,), oldest first, one settlement apart.

    ``realised`` is the mean rate over the ``horizon`` that followed, ``naive`` the rate that was
    the last. Rows with a NaN are left out. None when no row is left.
    """
    kept = np.isfinite(mean) & np.isfinite(realised) & np.isfinite(naive)
    count = int(np.sum(kept))
    if count == 0:
        return None
    ours = (mean[kept] - realised[kept]) ** 2
    theirs = (naive[kept] - realised[kept]) ** 2
    rmse, rmse_naive = float(np.sqrt(np.mean(ours))), float(np.sqrt(np.mean(theirs)))
    if rmse_naive == 0.0:
        return Score(count, rmse, rmse_naive, None, None)
    skill = 1.0 - float(np.mean(ours) / np.mean(theirs))
    p_value = _p_value((theirs - ours)[np.newaxis], horizon)[0]
    return Score(count, rmse, rmse_naive, skill, float(p_value))


def skills(mean: Floats, realised: Floats, naive: Floats, horizon: int) -> Skills:
    """Return at each settlement the score of the newest SCORE_WINDOW forecasts that were over.

    The same figures as ``score`` of those; NaN until there are so many.
    """
    n = len(mean)
    skill, p_value = np.full(n, np.nan), np.full(n, np.nan)
    known = np.flatnonzero(np.isfinite(mean) & np.isfinite(realised))
    if len(known) >= SCORE_WINDOW:
        rolled = np.lib.stride_tricks.sliding_window_view
        ours = rolled((mean[known] - realised[known]) ** 2, SCORE_WINDOW)
        theirs = rolled((naive[known] - realised[known]) ** 2, SCORE_WINDOW)
        erred = np.mean(theirs, axis=1) > 0.0
        quotient = np.mean(ours, axis=1) / np.where(erred, np.mean(theirs, axis=1), 1.0)
        over = known[SCORE_WINDOW - 1 :] + horizon  # when a window's last forecast is over
        skill[over] = np.where(erred, 1.0 - quotient, np.nan)
        p_value[over] = np.where(erred, _p_value(np.asarray(theirs - ours), horizon), np.nan)
    return Skills(skill, p_value)


def _p_value(gains: Floats, horizon: int) -> Floats:
    """Return P(such mean gains or greater | none is better), one-sided; (k, n) to (k,)."""
    n = gains.shape[1]
    mean = np.mean(gains, axis=1)
    apart = gains - mean[:, np.newaxis]
    lags = np.arange(1, min(horizon, n - 1) + 1)
    bartlett = 1.0 - lags / (horizon + 1.0)
    variance = np.mean(apart**2, axis=1) + 2.0 / n * (_together(apart, len(lags)) @ bartlett)
    shrunk = max((n + 1.0 - 2.0 * horizon + horizon * (horizon - 1.0) / n) / n, 0.0)
    still = variance <= 0.0
    t = mean * np.sqrt(shrunk * n / np.where(still, 1.0, variance))
    return np.asarray(np.where(still, 1.0, stdtr(n - 1, -t)), dtype=np.float64)


def _together(apart: Floats, lags: int) -> Floats:
    """Return the sums of products a lag apart, for lags from one on; (k, n) to (k, lags)."""
    n = apart.shape[1]
    if len(apart) == 1:  # at once: the newest alone is scored at every settlement
        return np.correlate(apart[0], apart[0], "full")[np.newaxis, n : n + lags]
    products = [
        np.einsum("ij,ij->i", apart[:, lag:], apart[:, :-lag]) for lag in range(1, lags + 1)
    ]
    return np.stack(products, axis=1) if products else np.empty((len(apart), 0))
