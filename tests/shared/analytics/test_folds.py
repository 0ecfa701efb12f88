"""Folds: the past chooses, the future judges, and nothing that spans both counts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.analytics.folds import Fold, walk_forward
from shared.domain.errors import InvariantViolation


def test_three_folds_of_twelve_days_leave_two_out_before_each_test() -> None:
    assert walk_forward(12, 3, purge=1, embargo=1) == [
        Fold((0, 1), (3, 6)),
        Fold((0, 4), (6, 9)),
        Fold((0, 7), (9, 12)),
    ]


def test_a_window_forgets_what_is_older() -> None:
    assert walk_forward(12, 3, purge=1, window=2) == [
        Fold((0, 2), (3, 6)),
        Fold((3, 5), (6, 9)),
        Fold((6, 8), (9, 12)),
    ]


@given(st.integers(40, 500), st.integers(1, 5), st.integers(0, 2), st.integers(0, 2))
def test_tests_follow_each_other_to_the_end_and_no_training_reaches_one(
    count: int, folds: int, purge: int, embargo: int
) -> None:
    cut = walk_forward(count, folds, purge=purge, embargo=embargo)
    assert len(cut) == folds
    assert cut[-1].test[1] == count
    assert all(a.test[1] == b.test[0] for a, b in pairwise(cut))
    assert all(f.train[0] == 0 and f.train[1] + purge + embargo == f.test[0] for f in cut)


def test_a_purge_that_eats_the_training_is_refused() -> None:
    assert walk_forward(12, 3, purge=2)[0].train == (0, 1)
    with pytest.raises(InvariantViolation, match="too few for 3 folds with 3 left out"):
        walk_forward(12, 3, purge=3)
