"""Forecasts: the parts by hand, no look ahead, and scores on data whose answer is known (F:A6)."""

import numpy as np
import pytest
from scipy import stats

from shared.analytics.forecast import (
    LOOK_BACK,
    PARTS,
    WINDOW,
    Forecasts,
    components,
    forecasts,
    mean_of_next,
    newest,
)
from shared.analytics.forecast_score import SCORE_WINDOW, score
from shared.analytics.series import Floats

AVERAGE, TREND, REGIME, REVERSION, PERSISTENCE = range(len(PARTS))


def reverting(n: int, keep: float, seed: int) -> Floats:
    """Rates that keep ``keep`` of their deviation from 1 bp at each step."""
    noise = np.random.default_rng(seed).normal(0.0, 1e-4, n)
    rates = np.full(n, 1e-4)
    for i in range(1, n):
        rates[i] = 1e-4 + keep * (rates[i - 1] - 1e-4) + noise[i]
    return rates


def wandering(n: int, seed: int) -> Floats:
    return np.asarray(np.cumsum(np.random.default_rng(seed).normal(0.0, 1e-5, n)))


def parts_of(rates: Floats, horizon: int) -> Floats:
    return components(rates, horizon, mean_of_next(rates, horizon))[:, -1]


def test_the_mean_of_the_next_is_missing_where_it_is_not_over() -> None:
    got = mean_of_next(np.array([1.0, 2.0, 4.0, 9.0]), 2)
    assert got[:2] == pytest.approx([3.0, 6.5])
    assert np.isnan(got[2:]).all()


def test_a_sure_trend_is_drawn_on_and_one_that_is_not_sure_is_its_mean() -> None:
    rising = np.arange(WINDOW, dtype=np.float64) * 1e-6
    # last value 89e-6; the next three lie at 90, 91 and 92
    assert parts_of(rising, 3)[TREND] == pytest.approx(91e-6)
    zigzag = np.where(np.arange(WINDOW) % 2 == 0, 1e-4, 3e-4)
    assert parts_of(zigzag, 3)[TREND] == pytest.approx(zigzag[-21:].mean())


def test_a_deviation_decays_by_the_lag_one_correlation() -> None:
    rates = reverting(WINDOW, 0.6, seed=1)
    apart = rates - rates.mean()
    kept = np.sum(apart[1:] * apart[:-1]) / np.sum(apart**2)
    left = (kept + kept**2 + kept**3) / 3
    assert parts_of(rates, 3)[REVERSION] == pytest.approx(rates.mean() + apart[-1] * left)


def test_the_chain_steps_between_the_mean_positive_and_the_mean_other_rate() -> None:
    rates = np.where(np.arange(WINDOW) % 3 == 2, -3e-4, 1e-4)  # + + - and so on, ends on -
    # 60 positives: 30 followed by +, 30 by -: (30+1)/(60+2) = 0.5
    # 29 of the 30 others are followed, always by +: (29+1)/(29+2)
    rise = 30 / 31
    first = rise * 1e-4 + (1 - rise) * -3e-4
    up = rise * 0.5 + (1 - rise) * rise
    second = up * 1e-4 + (1 - up) * -3e-4
    assert parts_of(rates, 1)[PERSISTENCE] == pytest.approx(first)
    assert parts_of(rates, 2)[PERSISTENCE] == pytest.approx((first + second) / 2)


def test_a_regime_is_followed_by_what_followed_it_before() -> None:
    # Every tenth rate is very high and followed by -2 bp; all others are followed otherwise.
    beat = np.array([9.0, -2.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]) * 1e-4
    rates = np.append(np.tile(beat, 45), beat[0])
    assert parts_of(rates, 1)[REGIME] == pytest.approx(-2e-4)


@pytest.mark.parametrize("horizon", [1, 3, 9])
def test_no_forecast_looks_ahead(horizon: int) -> None:
    rates = reverting(600, 0.5, seed=3)
    whole, known = forecasts(rates, horizon), forecasts(rates[:450], horizon)
    for name in ("mean", "low", "high"):
        assert getattr(whole, name)[449] == pytest.approx(getattr(known, name)[449], rel=1e-9)
    assert whole.skills.skill[449] == pytest.approx(known.skills.skill[449], rel=1e-9)
    assert whole.skills.p_value[449] == pytest.approx(known.skills.p_value[449], rel=1e-9)


def test_what_settles_later_cannot_change_an_earlier_forecast() -> None:
    rates = reverting(600, 0.5, seed=3)
    other = rates.copy()
    other[450:] = 0.05
    first, second = forecasts(rates, 9), forecasts(other, 9)
    assert first.mean[:450] == pytest.approx(second.mean[:450], rel=1e-9, nan_ok=True)
    assert first.low[:450] == pytest.approx(second.low[:450], rel=1e-9, nan_ok=True)


def newest_skill(made: Forecasts) -> tuple[float, bool]:
    return float(made.skills.skill[-1]), bool(made.skills.has_skill[-1])


def test_reverting_rates_are_forecast_with_skill() -> None:
    for horizon in (1, 3, 9):
        skill, has_skill = newest_skill(forecasts(reverting(800, 0.3, seed=5), horizon))
        assert skill > 0.2
        assert has_skill


def test_a_random_walk_is_forecast_without_skill() -> None:
    made = [newest_skill(forecasts(wandering(800, seed), 1)) for seed in range(20)]
    assert sum(has_skill for _, has_skill in made) <= 2  # stated: five in a hundred


def test_rates_that_never_move_are_forecast_as_they_are_and_prove_no_skill() -> None:
    made = forecasts(np.full(400, 1e-4), 3)
    assert made.mean[-1] == pytest.approx(1e-4, rel=1e-6)
    assert made.low[-1] == pytest.approx(1e-4, rel=1e-6)
    assert not made.skills.has_skill.any()


def test_the_range_holds_eight_of_ten_outcomes() -> None:
    for horizon in (1, 3, 9):
        rates = reverting(6000, 0.6, seed=8)
        made, realised = forecasts(rates, horizon), mean_of_next(rates, horizon)
        known = np.isfinite(made.low) & np.isfinite(realised)
        inside = (made.low <= realised) & (realised <= made.high)
        assert inside[known].mean() == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("count", [700, LOOK_BACK, 300, 120, 60, 0])
def test_the_newest_alone_is_what_all_of_them_end_with(count: int) -> None:
    """A level that is left for good in between, so that skill comes and goes."""
    rates = reverting(700, 0.9, seed=3)
    rates[500:] += wandering(200, seed=4)
    known = rates[:count]
    found = newest(known, (1, 9, 63))
    for horizon, got in zip((1, 9, 63), found, strict=True):
        along = forecasts(known[-LOOK_BACK:], horizon)
        mean = along.mean[-1] if count else np.nan
        assert got.mean == pytest.approx(mean, abs=1e-18, nan_ok=True)
        assert got.has_skill is (bool(along.skills.has_skill[-1]) if count else False)
    assert [got.has_skill for got in newest(reverting(700, 0.3, seed=3), (1, 9))] == [True, True]


def test_weights_add_up_and_favour_the_part_that_errs_least() -> None:
    made = forecasts(reverting(800, 0.6, seed=2), 1)
    assert np.sum(made.weights[:, -1]) == pytest.approx(1.0)
    assert int(np.argmax(made.weights[:, -1])) == REVERSION


def test_too_short_a_history_has_no_forecast() -> None:
    for n in (0, 1, WINDOW - 1, WINDOW + 9):
        made = forecasts(np.full(n, 1e-4), 9)
        assert np.isnan(made.mean).all()
        assert not made.skills.has_skill.any()


def test_a_score_is_worked_by_hand() -> None:
    got = score(
        np.array([1.0, 2.0, np.nan]), np.array([2.0, 4.0, 0.0]), np.array([4.0, 0.0, 0.0]), 1
    )
    # squared errors 1, 4 against 4, 16: 1 - 5 / 20
    assert got is not None
    assert got.settlements == 2
    assert (got.rmse, got.rmse_naive, got.skill) == pytest.approx((2.5**0.5, 10**0.5, 0.75))


def test_the_tests_p_value_is_that_of_diebold_and_mariano_corrected() -> None:
    rng = np.random.default_rng(1)
    realised, mean, naive = (rng.normal(size=60) for _ in range(3))
    got = score(mean, realised, naive, 2)
    gains = (naive - realised) ** 2 - (mean - realised) ** 2
    n, apart = 60, gains - gains.mean()
    gamma = [np.sum(apart[k:] * apart[: n - k]) / n for k in range(3)]
    variance = gamma[0] + 2 * (2 / 3 * gamma[1] + 1 / 3 * gamma[2])
    corrected = (n + 1 - 2 * 2 + 2 * 1 / n) / n
    t = gains.mean() / np.sqrt(variance / n) * np.sqrt(corrected)
    assert got is not None
    assert got.p_value == pytest.approx(stats.t.sf(t, n - 1))


def test_a_rolling_score_is_the_score_of_the_stored_forecasts_of_its_window() -> None:
    rates = reverting(700, 0.5, seed=6)
    made, realised = forecasts(rates, 3), mean_of_next(rates, 3)
    window = slice(700 - 3 - SCORE_WINDOW, 700 - 3)
    got = score(made.mean[window], realised[window], rates[window], 3)
    assert got is not None
    assert made.skills.skill[-1] == pytest.approx(got.skill)
    assert made.skills.p_value[-1] == pytest.approx(got.p_value)
    assert bool(made.skills.has_skill[-1]) is got.has_skill


def test_nothing_to_score_has_no_score_and_a_naive_without_error_no_skill() -> None:
    assert score(np.zeros(0), np.zeros(0), np.zeros(0), 1) is None
    same = np.full(5, 1.0)
    got = score(same, same, same, 1)
    assert got is not None
    assert (got.skill, got.has_skill) == (None, False)
