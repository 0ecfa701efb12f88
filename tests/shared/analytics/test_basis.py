"""The basis by hand (F:A5)."""

import numpy as np
import pytest

from shared.analytics.basis import basis_rates, basis_standing
from shared.analytics.regime import Regime
from shared.domain.errors import Malformed


def test_a_dearer_perpetual_has_a_positive_basis() -> None:
    assert basis_rates([101.0, 99.5], [100.0, 100.0]) == pytest.approx([0.01, -0.005])


def test_the_newest_level_stands_among_the_history() -> None:
    got = basis_standing([-0.0004, -0.0002, 0.0, 0.0002, 0.0004])
    assert got is not None
    assert got.level == 0.0004
    assert got.percentile == pytest.approx(90.0)  # four below, itself half: 4.5 of 5
    assert got.regime is Regime.VERY_HIGH
    assert got.z == pytest.approx(4 / 10**0.5)  # squares of twos: 40 over 4


def test_a_basis_that_never_moved_stands_at_its_mean() -> None:
    got = basis_standing([-0.0003] * 50)
    assert got is not None
    assert (got.z, got.percentile) == (0.0, 50.0)


def test_one_level_alone_stands_nowhere() -> None:
    assert basis_standing([0.1]) is None


def test_prices_that_do_not_match_or_are_no_prices_are_refused() -> None:
    with pytest.raises(Malformed, match="2 perp prices with 1"):
        basis_rates([1.0, 2.0], [1.0])
    with pytest.raises(Malformed, match=r"spot\[1\] is 0.0"):
        basis_rates([1.0, 2.0], [1.0, 0.0])
    with pytest.raises(Malformed, match=r"perp\[0\]"):
        basis_rates(np.array([np.nan]), [1.0])
