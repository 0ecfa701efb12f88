"""Persistence of known series, counted by hand (F:A3)."""

from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.analytics.persistence import persistence, run_lengths, share_of_best_month

EIGHT_HOURS = 28_800_000


def every_eight_hours(count: int) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) * EIGHT_HOURS


def test_a_known_series_has_known_persistence() -> None:
    rates = np.array([1.0, 2.0, -1.0, 3.0, 3.0, 3.0, -2.0, 0.0])
    got = persistence(rates, every_eight_hours(8), break_even_rate=1.5)
    # positive at 0 1 3 4 5: followed by a positive at 0, 3, 4 -> 3 of 5
    assert got.positive_next == pytest.approx(0.6)
    assert got.run == -2  # zero is not positive
    assert got.run_mean == pytest.approx(2.5)
    assert got.run_longest == 3
    assert got.above == pytest.approx(4 / 8)
    assert got.best_month == pytest.approx(1.0)  # all in one month


def test_runs_keep_their_order_and_sign() -> None:
    positive = np.array([False, True, True, False, False, False, True])
    assert list(run_lengths(positive)) == [-1, 2, -3, 1]


def test_the_best_month_may_have_earned_more_than_the_whole() -> None:
    at = np.array(
        [datetime(2024, m, 5, tzinfo=UTC).timestamp() * 1000 for m in (1, 2, 3)], dtype=np.int64
    )
    assert share_of_best_month(np.array([0.03, -0.01, 0.02]), at) == pytest.approx(0.75)
    assert share_of_best_month(np.array([0.03, -0.02, 0.01]), at) == pytest.approx(1.5)
    assert share_of_best_month(np.array([0.01, -0.02, 0.01]), at) is None


def test_a_month_ends_at_midnight_utc() -> None:
    last = datetime(2024, 1, 31, 23, tzinfo=UTC).timestamp() * 1000
    at = np.array([last, last + 3_600_000], dtype=np.int64)
    assert share_of_best_month(np.array([0.01, 0.03]), at) == pytest.approx(0.75)


def test_what_never_happened_has_no_share() -> None:
    got = persistence(np.array([-1.0]), every_eight_hours(1), 0.0)
    assert (got.positive_next, got.run_mean, got.run_longest) == (None, None, 0)
    nothing = persistence(np.zeros(0), every_eight_hours(0), 0.0)
    assert (nothing.run, nothing.above, nothing.best_month) == (0, None, None)
