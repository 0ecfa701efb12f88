"""Indicators against pandas, and by hand where pandas says otherwise."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.analytics.indicators import ema, rolling_mean, rolling_std, sma, zscore
from shared.analytics.series import series
from shared.domain.errors import Malformed

RATES = np.array([0.0001, 0.0003, -0.0002, 0.0001, 0.0004, 0.0004, 0.0001])


def test_an_ema_of_span_three_halves_the_way_to_each_new_value() -> None:
    assert ema([1.0, 3.0, 5.0, 1.0], 3) == pytest.approx([1.0, 2.0, 3.5, 2.25])


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50), st.integers(1, 30))
def test_an_ema_is_that_of_pandas_unadjusted(values: list[float], span: int) -> None:
    expected = pd.Series(values).ewm(span=span, adjust=False).mean()
    assert ema(values, span) == pytest.approx(expected.to_numpy(), abs=1e-12)


@pytest.mark.parametrize("window", [2, 3, 7])
def test_rolling_figures_are_those_of_pandas(window: int) -> None:
    rolled = pd.Series(RATES).rolling(window)
    assert rolling_mean(RATES, window) == pytest.approx(rolled.mean().to_numpy(), nan_ok=True)
    assert rolling_std(RATES, window) == pytest.approx(
        rolled.std().to_numpy(), nan_ok=True, rel=1e-9
    )
    population = rolled.std(ddof=0).to_numpy()
    assert rolling_std(RATES, window, ddof=0) == pytest.approx(population, nan_ok=True, rel=1e-9)


def test_the_simple_moving_average_is_missing_until_its_window_is_full() -> None:
    got = sma([1.0, 2.0, 6.0], 2)
    assert np.isnan(got[0])
    assert got[1:] == pytest.approx([1.5, 4.0])


def test_a_zscore_counts_sample_deviations_from_the_mean_of_its_window() -> None:
    # 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, deviation root of 7
    assert zscore([1.0, 2.0, 6.0], 3)[-1] == pytest.approx(3.0 / 7.0**0.5)


def test_a_rate_that_never_moves_has_no_deviation_and_stands_at_its_mean() -> None:
    still = np.full(90, 0.0001)
    assert rolling_std(still, 30)[-1] == 0.0
    assert zscore(still, 30)[-1] == 0.0
    assert np.isnan(zscore(still, 30)[28])


def test_a_series_shorter_than_its_window_is_missing_throughout() -> None:
    assert np.isnan(rolling_mean([1.0, 2.0], 3)).all()
    assert len(ema([], 3)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_refused_by_its_place(bad: float) -> None:
    with pytest.raises(Malformed, match=r"values\[1\]"):
        ema([1.0, bad], 3)


def test_a_table_is_no_series() -> None:
    with pytest.raises(Malformed, match="2 dimensions"):
        series(np.zeros((2, 2)), "rates")


@pytest.mark.parametrize(("window", "ddof"), [(0, 0), (1, 1)])
def test_a_window_without_freedom_is_refused(window: int, ddof: int) -> None:
    with pytest.raises(ValueError, match="too short"):
        rolling_std(RATES, window, ddof)
