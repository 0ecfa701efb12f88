"""The mean rate of the next h settlements, with a range, and what the forecast is worth (A6).

Five simple forecasts are combined, each weighted by how well it did: an average, a trend that
counts only where its p-value does, what followed in the same regime before, a return to the mean,
and a two-state chain of positive and other rates. Rates are fractions of notional per settlement of
one interval, (n,), oldest first; figures of settlement i are made of settlements 0 .. i alone.
Sources: Bates & Granger (1969), weights from inverse mean squared errors, correlations left out;
Stock & Watson (2004), their power. All constants were chosen on data before 2022-12-18.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter

from shared.analytics.forecast_score import Skills, skills
from shared.analytics.indicators import ema
from shared.analytics.regime import BELOW, rolling_percentile
from shared.analytics.series import Floats, is_constant, series
from shared.analytics.trend import rolling_trend

HORIZONS: Final = (1, 3, 9)  # settlements
WINDOW: Final = 90  # settlements each part looks back; a month of eight hours
EMA_SPAN: Final = 21
TREND_WINDOW: Final = 21
TREND_P_MAX: Final = 0.05
WEIGHTS_HALF_LIFE: Final = 540  # settlements
WEIGHTS_POWER: Final = 3  # of the inverse errors; 1 listens to the worst part too much
MATURED_LEAST: Final = 30  # errors known before parts are weighed
RANGE_WINDOW: Final = 180  # errors the range is read from
RANGE_TAIL: Final = 0.1  # chance to fall below the range, and as much to lie above
SCALE_SPAN: Final = 30
SCALE_LEAST: Final = 2e-5  # a rate that stood still for weeks may move all the same
PARTS: Final = ("average", "trend", "regime", "reversion", "persistence")
NOISE: Final = 1e-14  # squared rate: parts that never erred are weighed alike, not by rounding


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Every settlement's forecast of the mean rate over the next ``horizon``; all (n,), NaN early.

    ``low`` to ``high`` held eight of ten past outcomes. ``weights`` is (parts, n) in the order of
    PARTS. ``skills`` scores the forecasts that were over by then against "next equals last".
    """

    horizon: int
    mean: Floats
    low: Floats
    high: Floats
    weights: Floats
    skills: Skills


def forecasts(rates: Floats, horizon: int) -> Forecasts:
    """Return all forecasts that could have been made along ``rates``, and their rolling skill."""
    known = series(rates, "rates")
    realised = mean_of_next(known, horizon)
    parts = components(known, horizon, realised)
    weights = _weights(parts, realised, horizon)
    mean = np.asarray(np.sum(weights * parts, axis=0), dtype=np.float64)
    low, high = _range(mean, realised, known, horizon)
    return Forecasts(horizon, mean, low, high, weights, skills(mean, realised, known, horizon))


def mean_of_next(rates: Floats, horizon: int) -> Floats:
    """Return the mean of the ``horizon`` rates after each, (n,), NaN where they are not known."""
    result = np.full(len(rates), np.nan)
    over = len(rates) - horizon
    if over > 0:
        windows = np.lib.stride_tricks.sliding_window_view(rates[1:], horizon)
        result[:over] = np.mean(windows, axis=1)
    return result


def components(rates: Floats, horizon: int, realised: Floats) -> Floats:
    """Return each part's forecast, (parts, n) in the order of PARTS, NaN before WINDOW rates."""
    result = np.full((len(PARTS), len(rates)), np.nan)
    if len(rates) < WINDOW:
        return result
    windows = np.asarray(np.lib.stride_tricks.sliding_window_view(rates, WINDOW))
    average = ema(rates, EMA_SPAN)
    result[0] = average
    result[1] = _trend(rates, horizon)
    result[2] = _regime(rates, realised, horizon, average)
    result[3, WINDOW - 1 :] = _reversion(windows, horizon)
    result[4, WINDOW - 1 :] = _persistence(windows, horizon)
    result[:3, : WINDOW - 1] = np.nan
    return result


def _trend(rates: Floats, horizon: int) -> Floats:
    """Return the line's mean over the next ``horizon`` where its slope is sure, else its middle."""
    lines = rolling_trend(rates, TREND_WINDOW)
    ahead = (TREND_WINDOW - 1) / 2.0 + (horizon + 1) / 2.0
    sure = lines.p_value < TREND_P_MAX
    return np.asarray(lines.middle + np.where(sure, lines.slope * ahead, 0.0), dtype=np.float64)


def _regime(rates: Floats, realised: Floats, horizon: int, otherwise: Floats) -> Floats:
    """Return the mean of what followed, where it was over, whenever the regime was the same."""
    percentile = rolling_percentile(rates, WINDOW)
    label = np.searchsorted([bound for bound, _ in BELOW], percentile, side="right")
    result = otherwise.copy()
    for regime in range(len(BELOW) + 1):
        same = (label == regime) & np.isfinite(percentile)
        counted = same & np.isfinite(realised)
        count = _lagged(np.cumsum(counted), horizon)
        total = _lagged(np.cumsum(np.where(counted, realised, 0.0)), horizon)
        seen = same & (count >= MATURED_LEAST)
        result[seen] = total[seen] / count[seen]
    return result


def _reversion(windows: Floats, horizon: int) -> Floats:
    """Return the mean plus what is left of the deviation (z times sigma) as it decays."""
    mean = np.mean(windows, axis=1, keepdims=True)
    apart = windows - mean
    power = np.sum(apart**2, axis=1)
    still = is_constant(windows)
    lagged = np.sum(apart[:, 1:] * apart[:, :-1], axis=1) / np.where(still, 1.0, power)
    kept = np.where(still, 0.0, np.clip(lagged, 0.0, 0.99))
    left = np.mean(kept[:, np.newaxis] ** np.arange(1, horizon + 1), axis=1)
    return np.asarray(mean[:, 0] + apart[:, -1] * left, dtype=np.float64)


def _persistence(windows: Floats, horizon: int) -> Floats:
    """Return the mean of a chain that steps between the mean positive and the mean other rate.

    Each transition is counted once more than seen (Laplace), so that none is impossible.
    """
    up = windows > 0.0
    before, after = up[:, :-1], up[:, 1:]
    stay = (np.sum(before & after, axis=1) + 1.0) / (np.sum(before, axis=1) + 2.0)
    rise = (np.sum(~before & after, axis=1) + 1.0) / (np.sum(~before, axis=1) + 2.0)
    positives = np.sum(up, axis=1)
    gain = np.sum(np.where(up, windows, 0.0), axis=1) / np.maximum(positives, 1)
    other = np.sum(np.where(up, 0.0, windows), axis=1) / np.maximum(WINDOW - positives, 1)
    chance = up[:, -1].astype(np.float64)
    total = np.zeros(len(windows))
    for _ in range(horizon):
        chance = chance * stay + (1.0 - chance) * rise
        total += chance * gain + (1.0 - chance) * other
    return np.asarray(total / horizon, dtype=np.float64)


def _weights(parts: Floats, realised: Floats, horizon: int) -> Floats:
    """Return inverse mean squared errors of what is over, fading, (parts, n); NaN until enough."""
    errors = np.where(np.isfinite(realised), (parts - realised) ** 2, np.nan)
    counted = np.isfinite(errors)
    fade = [1.0, -(0.5 ** (1.0 / WEIGHTS_HALF_LIFE))]
    count = lfilter([1.0], fade, counted.astype(np.float64), axis=1)
    total = lfilter([1.0], fade, np.where(counted, errors, 0.0), axis=1)
    enough = _lagged(np.cumsum(counted[0]), horizon) >= MATURED_LEAST
    count, total = _lagged(count, horizon), _lagged(total, horizon)
    inverse = (total / np.where(enough, count, 1.0) + NOISE) ** -float(WEIGHTS_POWER)
    share = inverse / np.sum(inverse, axis=0)
    return np.asarray(np.where(enough, share, np.nan), dtype=np.float64)


def _range(mean: Floats, realised: Floats, rates: Floats, horizon: int) -> tuple[Floats, Floats]:
    """Return the bounds that held eight of ten past errors, in units of the rates' own movement.

    Errors overlap: of so few that do not, the tails are read a little further out (as in loss.py).
    """
    scale = ema(np.abs(rates - ema(rates, SCALE_SPAN)), SCALE_SPAN) + SCALE_LEAST
    errors = (realised - mean) / scale
    first = int(np.argmax(np.isfinite(errors))) if np.any(np.isfinite(errors)) else len(rates)
    over = errors[first : len(rates) - horizon]
    low, high = np.full(len(rates), np.nan), np.full(len(rates), np.nan)
    if len(over) >= RANGE_WINDOW:
        windows = np.lib.stride_tricks.sliding_window_view(over, RANGE_WINDOW)
        independent = RANGE_WINDOW / horizon
        tail = max((RANGE_TAIL * (independent + 1.0) - 0.5) / independent, 0.0)
        bounds = np.quantile(windows, (tail, 1.0 - tail), axis=1)
        at = slice(first + RANGE_WINDOW - 1 + horizon, len(rates))
        low[at], high[at] = mean[at] + bounds * scale[at]
    return low, high


def _lagged(values: Floats, steps: int) -> Floats:
    """Return ``values`` as they were ``steps`` ago, zero before; the last axis is time."""
    result = np.zeros(values.shape, dtype=np.float64)
    result[..., steps:] = values[..., : values.shape[-1] - steps]
    return result
