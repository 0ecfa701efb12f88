"""Lines against hand-worked values and SciPy."""

import numpy as np
import pytest
from scipy import stats

from shared.analytics.trend import linear_trend, rolling_trend


def test_a_line_through_four_points_is_worked_by_hand() -> None:
    # x 0..3, y 1 3 2 4: slope 4/5, intercept 2.5 - 0.8 * 1.5 = 1.3, residuals -.3 .9 -.9 .3
    # error: squares 1.8 over n - 2 = 0.9, over 5 = 0.18, root 0.424264; t 1.885618, df 2
    got = linear_trend([1.0, 3.0, 2.0, 4.0])
    assert got is not None
    assert (got.slope, got.intercept, got.stderr) == pytest.approx((0.8, 1.3, 0.18**0.5))
    assert got.p_value == pytest.approx(2 * stats.t.sf(0.8 / 0.18**0.5, 2))
    assert got.newest == pytest.approx(1.3 + 3 * 0.8)


def test_rates_that_never_move_have_no_trend() -> None:
    got = linear_trend(np.full(21, 0.0001))
    assert got is not None
    assert (got.slope, got.p_value, got.stderr, got.newest) == (0.0, 1.0, 0.0, 0.0001)
    rolled = rolling_trend(np.full(21, 0.0001), 9)
    assert (rolled.slope[-1], rolled.p_value[-1], rolled.middle[-1]) == (0.0, 1.0, 0.0001)


def test_two_settlements_are_too_few_for_a_line() -> None:
    assert linear_trend([1.0, 2.0]) is None
    with pytest.raises(ValueError, match="too short"):
        rolling_trend([1.0, 2.0], 2)


def test_rolling_lines_are_those_of_each_window() -> None:
    values = np.random.default_rng(1).normal(size=40)
    got = rolling_trend(values, 9)
    assert np.isnan(got.slope[:8]).all()
    expected = [stats.linregress(np.arange(9), values[i - 8 : i + 1]) for i in range(8, 40)]
    assert got.slope[8:] == pytest.approx([line.slope for line in expected])
    assert got.p_value[8:] == pytest.approx([line.pvalue for line in expected])
    assert got.middle[8:] == pytest.approx([values[i - 8 : i + 1].mean() for i in range(8, 40)])
