"""Equity statistics, worked by hand."""

import numpy as np
import pytest

from shared.analytics.returns import drawdown, returns_of

DAY = 86_400_000


def test_drawdown_is_measured_from_the_highest_point_before() -> None:
    assert drawdown(np.array([100.0, 120.0, 90.0, 130.0])) == pytest.approx([0, 0, 0.25, 0])


def test_a_curve_over_two_years_annualises_by_its_days() -> None:
    at = np.array([0, 730 * DAY], dtype=np.int64)
    assert returns_of(at, np.array([100.0, 121.0])).annualized == pytest.approx(0.10)


def test_sharpe_is_the_daily_mean_over_the_sample_deviation_times_root_365() -> None:
    at = np.array([0, DAY, 2 * DAY], dtype=np.int64)
    got = returns_of(at, np.array([100.0, 101.0, 104.03]))  # +1 % and +3 %
    # mean 0.02, sample deviation 0.0141421, ratio 1.4142136, times 19.104973
    assert got.sharpe == pytest.approx(27.018512)
    assert got.days == 2


def test_without_variation_there_is_no_sharpe() -> None:
    at = np.array([0, DAY, 2 * DAY], dtype=np.int64)
    assert returns_of(at, np.array([100.0, 100.0, 100.0])).sharpe is None
