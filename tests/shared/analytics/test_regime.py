"""Percentiles by hand; SciPy's own example."""

import pytest

from shared.analytics.regime import Regime, regime_of, standing


def test_a_level_stands_above_what_is_below_and_half_of_its_equals() -> None:
    got = standing([1.0, 2.0, 3.0, 3.0, 4.0], 3.0)  # 2 below, 2 equal: (2 + 1) / 5
    assert got is not None
    assert got.percentile == pytest.approx(60.0)
    assert got.regime is Regime.NORMAL


def test_a_rate_that_never_moved_is_normal() -> None:
    got = standing([0.0001] * 90, 0.0001)
    assert got is not None
    assert got.percentile == pytest.approx(50.0)


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
