"""Settlements of changing intervals brought to one, by hand."""

import numpy as np
import pytest

from shared.analytics.grid import HOUR_MS, FundingHistory, on_grid
from shared.domain.errors import Malformed


def history(
    *rows: tuple[int, float, int], basis: tuple[tuple[int, float], ...] = ()
) -> FundingHistory:
    return FundingHistory(
        at_ms=np.array([h for h, _, _ in rows], dtype=np.int64) * HOUR_MS,
        rates=np.array([rate for _, rate, _ in rows], dtype=np.float64),
        hours=np.array([hours for _, _, hours in rows], dtype=np.int64),
        basis_ms=np.array([h for h, _ in basis], dtype=np.int64) * HOUR_MS,
        basis=np.array([level for _, level in basis], dtype=np.float64),
    )


def test_short_intervals_add_up_to_the_longer_one_they_fall_into() -> None:
    given = history(
        (8, 0.01, 8), (10, 0.1, 2), (12, 0.2, 2), (14, 0.3, 2), (16, 0.4, 2), (24, 0.05, 8)
    )
    got = on_grid(given, 8)
    assert list(got.at_ms // HOUR_MS) == [8, 16, 24]
    assert got.rates == pytest.approx([0.01, 1.0, 0.05])


def test_a_long_interval_is_spread_evenly_over_shorter_ones() -> None:
    got = on_grid(history((8, 0.08, 8), (10, 0.1, 2)), 2)
    assert list(got.at_ms // HOUR_MS) == [2, 4, 6, 8, 10]
    assert got.rates == pytest.approx([0.02, 0.02, 0.02, 0.02, 0.1])


def test_ends_that_are_only_partly_known_are_left_out() -> None:
    got = on_grid(history((14, 0.1, 2), (16, 0.1, 2), (24, 0.3, 8), (26, 0.9, 2)), 8)
    assert list(got.at_ms // HOUR_MS) == [24]  # 8 to 16 is half known, 24 to 32 not over
    assert got.rates == pytest.approx([0.3])


def test_an_end_inside_that_lacks_a_settlement_is_left_out() -> None:
    given = history((8, 0.1, 2), (14, 0.2, 2), (16, 0.3, 2), (24, 0.4, 8), (32, 0.5, 8))
    got = on_grid(given, 8)  # of 8 to 16, what settled at 10 and 12 is lost
    assert list(got.at_ms // HOUR_MS) == [24, 32]
    assert got.rates == pytest.approx([0.4, 0.5])


def test_an_end_that_one_of_two_long_intervals_would_share_with_a_short_one_is_left_out() -> None:
    given = history((7, 0.1, 1), (8, 0.1, 1), (9, 0.1, 1), (24, 0.8, 8), (28, 0.4, 4))
    got = on_grid(given, 4)  # 9 is known of 8 to 12; what settled at 16 is lost
    assert list(got.at_ms // HOUR_MS) == [20, 24, 28]
    assert got.rates == pytest.approx([0.4, 0.4, 0.4])


def test_a_step_that_a_change_of_interval_explains_is_all_that_was_paid() -> None:
    got = on_grid(history((8, 0.1, 8), (14, 0.2, 2), (16, 0.3, 2), (24, 0.4, 8)), 8)
    assert list(got.at_ms // HOUR_MS) == [8, 16, 24]
    assert got.rates == pytest.approx([0.1, 0.5, 0.4])


def test_the_basis_is_the_newest_known_at_each_end() -> None:
    got = on_grid(
        history((8, 0.1, 8), (16, 0.1, 8), (24, 0.1, 8), basis=((9, 0.5), (16, 0.6), (23, 0.7))), 8
    )
    assert np.isnan(got.basis[0])
    assert got.basis[1:] == pytest.approx([0.6, 0.7])


def test_disorder_is_refused_by_its_row() -> None:
    with pytest.raises(Malformed, match=r"at_ms\[1\] is not later"):
        history((8, 0.1, 8), (8, 0.2, 8))
    with pytest.raises(Malformed, match=r"basis_ms\[1\]"):
        history((8, 0.1, 8), basis=((9, 0.1), (8, 0.1)))
    with pytest.raises(Malformed, match="longer than zero"):
        history((8, 0.1, 0))
    with pytest.raises(Malformed, match=r"rates\[0\]"):
        history((8, float("nan"), 8))


def test_no_settlement_gives_an_empty_grid() -> None:
    assert len(on_grid(history(), 8).rates) == 0
