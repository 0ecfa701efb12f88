"""Intervals of headline figures: they bracket what they estimate, and cover as often as stated."""

import numpy as np
import pytest

from shared.analytics.headline import (
    BLOCK_DAYS,
    LEVEL,
    difference_interval,
    headline_intervals,
    loss_probability,
)

CAPITAL = 1_000.0


def test_each_figure_is_estimated_as_defined() -> None:
    # A year of days in which +2 and -1 take turns: 365 days, 183 gains and 182 losses.
    profits = np.where(np.arange(365) % 2 == 0, 2.0, -1.0)
    fees = np.full(365, -0.1)
    found = headline_intervals(profits, {"fees": fees}, CAPITAL)
    assert found["net"].estimate == 183 * 2 - 182
    assert found["annualized"].estimate == pytest.approx(0.184)
    assert found["fees"].estimate == pytest.approx(-36.5)
    assert found["fees"].low == pytest.approx(found["fees"].high)
    # The first loss comes after the first gain: 1 under a peak of 1,002.
    assert found["drawdown_max"].estimate == pytest.approx(1 / 1002)
    mean, spread = 184 / 365, np.std(profits, ddof=1)
    assert found["sharpe"].estimate == pytest.approx(mean / spread * np.sqrt(365))
    for interval in found.values():
        assert interval.low <= interval.high
        assert interval.level == LEVEL


def test_the_interval_of_the_net_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(60):
        days = rng.standard_normal(182) + 0.05
        interval = difference_interval(days, np.zeros(182))
        assert interval is not None
        hits += interval.low <= 0.05 * 182 <= interval.high
    # 90 % of 60 is 54; three deviations are 7, and percentile intervals are a little short.
    assert 44 <= hits <= 59


def test_the_chance_of_loss_is_that_of_a_normal_sum() -> None:
    rng = np.random.default_rng(4)
    days = rng.standard_normal(400)
    days += 1.0 / np.sqrt(400) - days.mean()  # the sum lies one deviation above zero
    assert loss_probability(days) == pytest.approx(0.159, abs=0.06)
    assert loss_probability(np.full(60, 1.0)) == 0.0
    assert loss_probability(np.full(60, -1.0)) == 1.0


def test_what_two_runs_share_drops_out_of_their_difference() -> None:
    rng = np.random.default_rng(7)
    shared = 100.0 * rng.standard_normal(200)
    found = difference_interval(shared + 1.0, shared)
    assert found is not None
    assert [found.low, found.high] == pytest.approx([200.0, 200.0])


def test_too_few_days_have_no_interval() -> None:
    short = np.ones(2 * BLOCK_DAYS - 1)
    assert headline_intervals(short, {}, CAPITAL) == {}
    assert loss_probability(short) is None
    assert difference_interval(short, short) is None
    flat = headline_intervals(np.ones(2 * BLOCK_DAYS), {}, CAPITAL)
    assert "sharpe" not in flat
    assert flat["net"].estimate == 2 * BLOCK_DAYS
