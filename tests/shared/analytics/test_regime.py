"""Percentiles by hand; SciPy's own example."""

import numpy as np
import pytest
from scipy.stats import percentileofscore

from shared.analytics.regime import Regime, regime_of, rolling_percentile, standing


def test_a_level_stands_above_what_is_below_and_half_of_its_equals() -> None:
    got = standing([1.0, 2.0, 3.0, 3.0, 4.0], 3.0)  # 2 below, 2 equal: (2 + 1) / 5
    assert got is not None
    assert got.percentile == pytest.approx(60.0)
    assert got.regime is Regime.NORMAL


def test_a_rate_that_never_moved_is_normal() -> None:
    got = standing([0.0001] * 90, 0.0001)
    assert got is not None
    assert got.percentile == pytest.approx(50.0)


def test_rolling_percentiles_are_those_of_each_window() -> None:
    values = np.random.default_rng(2).integers(0, 9, 30).astype(np.float64)
    got = rolling_percentile(values, 12)
    assert np.isnan(got[:11]).all()
    expected = [
        percentileofscore(values[i - 11 : i + 1], values[i], kind="mean") for i in range(11, 30)
    ]
    assert got[11:] == pytest.approx(expected)


def test_without_a_past_there_is_no_regime() -> None:
    assert standing([], 1.0) is None


@pytest.mark.parametrize(
    ("percentile", "regime"),
    [
        (0.0, Regime.VERY_LOW),
        (9.999, Regime.VERY_LOW),
        (10.0, Regime.LOW),
        (29.999, Regime.LOW),
        (30.0, Regime.NORMAL),
        (69.999, Regime.NORMAL),
        (70.0, Regime.HIGH),
        (89.999, Regime.HIGH),
        (90.0, Regime.VERY_HIGH),
        (100.0, Regime.VERY_HIGH),
    ],
)
def test_every_regime_begins_at_its_lower_bound(percentile: float, regime: Regime) -> None:
    assert regime_of(percentile) is regime
