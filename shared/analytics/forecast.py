"""The mean rate of the next h settlements, with a range, and what the forecast is worth (A6).

Five simple forecasts are combined, each weighted by how well it did: an average, a trend that
counts only where its p-value does, what followed in the same regime before, a return to the mean,
and a two-state chain of positive and other rates. Rates are fractions of notional per settlement of
one interval, (n,), oldest first; figures of settlement i are made of settlements 0 .. i alone.
Sources: Bates & Granger (1969), weights from inverse mean squared errors, correlations left out;
Stock & Watson (2004), their power. All constants were chosen on data before 2022-12-18.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from shared.analytics.forecast_score import SCORE_WINDOW, Skills, score, skills
from shared.analytics.indicators import ema
from shared.analytics.regime import BELOW, rolling_percentile
from shared.analytics.series import Floats, is_constant, series
from shared.analytics.trend import Trends, rolling_trend

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
LOOK_BACK: Final = 450  # settlements the newest is made of: 426 prove skill for three weeks
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


@dataclass(frozen=True, slots=True)
class Forecast:
    """The newest mean of ``forecasts``, NaN while too little is known; whether to size by it."""

    mean: float
    has_skill: bool


def newest(rates: Floats, horizons: Sequence[int]) -> list[Forecast]:
    """Return what ``forecasts`` ends with for each horizon, of the last LOOK_BACK rates alone.

    For deciding, over and over: neither ranges nor past scores are made.
    """
    known = series(rates, "rates")[-LOOK_BACK:]
    if len(known) < WINDOW:
        return [Forecast(float("nan"), False) for _ in horizons]
    past = _past_of(known)
    return [_newest(known, horizon, past) for horizon in horizons]


def _newest(known: Floats, horizon: int, past: "_Past") -> Forecast:
    realised = mean_of_next(known, horizon)
    parts = _components(past, horizon, realised)
    mean, _ = _combined(parts, realised, horizon)
    over = np.flatnonzero(np.isfinite(mean) & np.isfinite(realised))[-SCORE_WINDOW:]
    told = score(mean[over], realised[over], known[over], horizon)
    proven = len(over) == SCORE_WINDOW and told is not None and told.has_skill
    return Forecast(float(mean[-1]), proven)


def forecasts(rates: Floats, horizon: int) -> Forecasts:
    """Return all forecasts that could have been made along ``rates``, and their rolling skill."""
    known = series(rates, "rates")
    realised = mean_of_next(known, horizon)
    mean, weights = _combined(components(known, horizon, realised), realised, horizon)
    low, high = _range(mean, realised, known, horizon)
    return Forecasts(horizon, mean, low, high, weights, skills(mean, realised, known, horizon))


def _combined(parts: Floats, realised: Floats, horizon: int) -> tuple[Floats, Floats]:
    """Return the weighted mean of all parts, (n,), and their weights, (parts, n)."""
    weights = _weights(parts, realised, horizon)
    return np.asarray(np.sum(weights * parts, axis=0), dtype=np.float64), weights


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
    if len(rates) < WINDOW:
        return np.full((len(PARTS), len(rates)), np.nan)
    return _components(_past_of(rates), horizon, realised)


@dataclass(frozen=True, slots=True)
class _Past:
    """What the parts of all horizons have in common: along the rates, (n,), the first three.

    The others are of each window, (n - WINDOW + 1,): its mean, the newest rate's distance from
    that, the correlation of neighbours, whether the newest is positive, the chances that a positive
    rate is followed by one and that any other is, and the means of both kinds.
    """

    average: Floats
    lines: Trends
    label: NDArray[np.int64]
    mean: Floats
    apart: Floats
    kept: Floats
    is_up: NDArray[np.bool_]
    stay: Floats
    rise: Floats
    gain: Floats
    other: Floats


def _past_of(rates: Floats) -> _Past:
    """Return it; transitions are counted once more than seen (Laplace): none is impossible."""
    windows = np.asarray(np.lib.stride_tricks.sliding_window_view(rates, WINDOW))
    percentile = rolling_percentile(rates, WINDOW)
    label = np.searchsorted([bound for bound, _ in BELOW], percentile, side="right")
    mean = np.mean(windows, axis=1, keepdims=True)
    apart = windows - mean
    power = np.einsum("ij,ij->i", apart, apart)
    still = is_constant(windows)
    together = np.einsum("ij,ij->i", apart[:, 1:], apart[:, :-1])
    up = rates > 0.0
    before, after = up[:-1], up[1:]
    positives = _counts(up, WINDOW)
    seen = _counts(before, WINDOW - 1)  # positive rates that another followed within the window
    gained = np.lib.stride_tricks.sliding_window_view(np.where(up, rates, 0.0), WINDOW)
    lost = np.lib.stride_tricks.sliding_window_view(np.where(up, 0.0, rates), WINDOW)
    return _Past(
        average=ema(rates, EMA_SPAN),
        lines=rolling_trend(rates, TREND_WINDOW),
        label=np.where(np.isfinite(percentile), label, -1),
        mean=mean[:, 0],
        apart=apart[:, -1],
        kept=np.where(still, 0.0, np.clip(together / np.where(still, 1.0, power), 0.0, 0.99)),
        is_up=up[WINDOW - 1 :],
        stay=(_counts(before & after, WINDOW - 1) + 1.0) / (seen + 2.0),
        rise=(_counts(~before & after, WINDOW - 1) + 1.0) / (WINDOW - 1 - seen + 2.0),
        gain=np.sum(gained, axis=1) / np.maximum(positives, 1),
        other=np.sum(lost, axis=1) / np.maximum(WINDOW - positives, 1),
    )


def _counts(flags: NDArray[np.bool_], window: int) -> NDArray[np.int64]:
    """Return how many of each ``window`` of ``flags`` are set, (n - window + 1,)."""
    total = np.append(0, np.cumsum(flags))
    return np.asarray(total[window:] - total[:-window], dtype=np.int64)


def _components(past: _Past, horizon: int, realised: Floats) -> Floats:
    result = np.full((len(PARTS), len(realised)), np.nan)
    known = slice(WINDOW - 1, None)
    result[0, known] = past.average[known]
    result[1, known] = _trend(past.lines, horizon)[known]
    result[2, known] = _regime(past, realised, horizon)[known]
    result[3, known] = _reversion(past, horizon)
    result[4, known] = _persistence(past, horizon)
    return result


def _trend(lines: Trends, horizon: int) -> Floats:
    """Return the line's mean over the next ``horizon`` where its slope is sure, else its middle."""
    ahead = (TREND_WINDOW - 1) / 2.0 + (horizon + 1) / 2.0
    sure = lines.p_value < TREND_P_MAX
    return np.asarray(lines.middle + np.where(sure, lines.slope * ahead, 0.0), dtype=np.float64)


def _regime(past: _Past, realised: Floats, horizon: int) -> Floats:
    """Return the mean of what followed, where it was over, whenever the regime was the same."""
    result = past.average.copy()
    for regime in range(len(BELOW) + 1):
        same = past.label == regime
        counted = same & np.isfinite(realised)
        count = _lagged(np.cumsum(counted), horizon)
        total = _lagged(np.cumsum(np.where(counted, realised, 0.0)), horizon)
        seen = same & (count >= MATURED_LEAST)
        result[seen] = total[seen] / count[seen]
    return result


def _reversion(past: _Past, horizon: int) -> Floats:
    """Return the mean plus what is left of the deviation (z times sigma) as it decays."""
    # The mean of the first powers of what is kept.
    left = past.kept * (1.0 - past.kept**horizon) / (horizon * (1.0 - past.kept))
    return np.asarray(past.mean + past.apart * left, dtype=np.float64)


def _persistence(past: _Past, horizon: int) -> Floats:
    """Return the mean of a chain that steps between the mean positive and the mean other rate.

    Each step brings the chance of a positive rate nearer to the one it settles at.
    """
    nearer = past.stay - past.rise
    settled = past.rise / (1.0 - nearer)
    apart = (past.is_up - settled) * nearer * (1.0 - nearer**horizon) / (1.0 - nearer)
    chance = settled + apart / horizon
    return np.asarray(chance * past.gain + (1.0 - chance) * past.other, dtype=np.float64)


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
    result[..., steps:] = values[..., : max(values.shape[-1] - steps, 0)]
    return result
