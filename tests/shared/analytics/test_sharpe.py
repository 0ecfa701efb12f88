"""Sharpe ratios against the figures their authors published."""

import numpy as np
import pytest

from shared.analytics.sharpe import (
    Shape,
    deflated_sharpe,
    expected_maximum,
    has_traded,
    probabilistic_sharpe,
    shape_of,
    sharpe_ratios,
)

YEAR = 250
DSR_EXAMPLE = Shape(2.5 / np.sqrt(YEAR), 1250, -3.0, 10.0)


def test_the_hedge_fund_of_bailey_and_lopez_de_prado_2012() -> None:
    # Monthly for two years: ratio 0.458, skewness -2.448, kurtosis 10.164. Believed normal it would
    # pass at 95 %; with its own shape it does not.
    assert probabilistic_sharpe(Shape(0.458, 24)) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(Shape(0.458, 24, -2.448, 10.164)) == pytest.approx(0.913, abs=5e-4)


def test_the_example_of_bailey_and_lopez_de_prado_2014() -> None:
    # An annual ratio of 2.5 over five years of days, the best of 100 trials whose annual ratios
    # vary by 1/2: the luck to beat is 0.1132 a day, and 90.04 % is left of the confidence.
    assert expected_maximum(100, 0.5 / YEAR) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(DSR_EXAMPLE, 100, 0.5 / YEAR) == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize(
    ("shape", "trials"), [(DSR_EXAMPLE, 46), (Shape(2.5 / np.sqrt(YEAR), 1250), 88)]
)
def test_95_percent_stand_46_trials_or_88_if_returns_were_normal(shape: Shape, trials: int) -> None:
    assert deflated_sharpe(shape, trials, 0.5 / YEAR) == pytest.approx(0.9505, abs=5e-5)


def test_one_trial_alone_has_no_luck_to_beat() -> None:
    assert expected_maximum(1, 0.5) == 0.0
    assert deflated_sharpe(DSR_EXAMPLE, 1, 0.5) == probabilistic_sharpe(DSR_EXAMPLE)


def test_luck_grows_with_the_trials_as_the_largest_of_normal_draws_does() -> None:
    draws = np.random.default_rng(1).standard_normal((20_000, 50)).max(axis=1)
    assert expected_maximum(50, 1.0) == pytest.approx(float(draws.mean()), abs=0.04)


def test_a_shape_is_read_off_the_returns() -> None:
    # Mean 1, squares of deviations 1, 1, 4, 4 and 0: variance 10 / 4.
    shape = shape_of(np.array([0.0, 2.0, -1.0, 3.0, 1.0]))
    assert shape is not None
    assert shape.sharpe == pytest.approx(1 / np.sqrt(2.5))
    assert (shape.count, shape.skewness) == (5, 0.0)
    # Fourth powers 1 + 1 + 16 + 16 over 5, by the square of 10 / 5.
    assert shape.kurtosis == pytest.approx(34 / 5 / 4)


@pytest.mark.parametrize("returns", [[0.1, 0.1, 0.1, 0.1], [0.0, 0.0, 0.0], [1.0, 2.0]])
def test_what_does_not_vary_has_no_ratio(returns: list[float]) -> None:
    assert shape_of(np.array(returns)) is None


def test_ratios_of_many_settings_are_those_of_each_and_idle_ones_have_none() -> None:
    table = np.array([[1.0, 0.0, -1.0], [3.0, 0.0, -5.0]])
    assert sharpe_ratios(table) == pytest.approx([2 / np.sqrt(2), 0.0, -3 / np.sqrt(8)])
    assert has_traded(table).tolist() == [True, False, True]


def test_what_gains_as_much_as_it_loses_has_traded_though_its_ratio_is_zero() -> None:
    assert has_traded(np.array([[1.0], [-1.0]])).tolist() == [True]
