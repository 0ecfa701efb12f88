"""Probability of overfitting, worked by hand on matrices small enough to read."""

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.analytics.overfitting import Overfitting, backtest_overfitting
from shared.domain.errors import InvariantViolation


def around(*means: float) -> list[float]:
    """Return two observations a block, one under and one over its mean."""
    return [value for mean in means for value in (mean - 1.0, mean + 1.0)]


def table(*settings: list[float]) -> NDArray[np.float64]:
    return np.array(settings).T


def overfitting(profits: NDArray[np.float64], blocks: int) -> Overfitting:
    found = backtest_overfitting(profits, blocks)
    assert found is not None
    return found


IDLE = [0.0] * 4


def test_what_turns_round_is_overfitted_in_every_split() -> None:
    found = overfitting(table(around(2, -2), around(-2, 2)), 2)
    # The best of either half is last of two in the other: 1 / 3 against 2 / 3.
    assert found.logits == pytest.approx([np.log(0.5)] * 2)
    assert (found.probability, found.loss_probability, found.costly) == (1.0, 1.0, 1.0)


def test_what_stays_best_is_not_overfitted() -> None:
    found = overfitting(table(around(2, 2), around(1, 1)), 2)
    assert found.logits == pytest.approx([np.log(2.0)] * 2)
    assert (found.probability, found.loss_probability, found.costly) == (0.0, 0.0, 0.0)


def test_falling_behind_others_that_earn_as_well_costs_nothing() -> None:
    found = overfitting(table(around(3, 2), around(2, 3)), 2)
    assert (found.probability, found.loss_probability, found.costly) == (1.0, 0.0, 0.0)


def test_four_blocks_and_three_settings_by_hand() -> None:
    found = overfitting(table(around(3, 3, 0, 0), around(1, 1, 1, 1), around(0, 0, 0, 0)), 4)
    # Blocks 0 and 1 choose the first setting, which shares the last place in 2 and 3: rank 1.5 of
    # 3, 0.375. Blocks 2 and 3 choose the second, the middle of 0 and 1: 2 of 3, 0.5. Each other
    # half has the first at 1.5 / sqrt(13 / 3) = 0.72 under the second at 1 / sqrt(4 / 3) = 0.87,
    # and so has the half that judges: 3 of 3, 0.75.
    best = np.log(3.0)
    assert found.logits == pytest.approx([np.log(0.6), best, best, best, best, 0.0])
    assert found.probability == pytest.approx(2 / 6)
    assert found.loss_probability == 0.0


def test_a_choice_that_falls_behind_is_not_lifted_by_settings_that_never_trade() -> None:
    # 2 of the first against 1.9 of the second, then 0.9 against 1: last of two in one split, rank
    # 1 / 3, and in the other as well. Among two idle ones it would be third of four, 3 / 5.
    turned = around(2, 0.9), around(1.9, 1)
    found = overfitting(table(*turned, IDLE, IDLE), 2)
    assert found.logits == pytest.approx([np.log(0.5)] * 2)
    assert found.probability == 1.0


def test_a_setting_that_traded_only_in_the_rest_left_out_is_idle() -> None:
    early = [5.0, 0.0, 0.0, 0.0, 0.0]
    turned = [0.0, *around(2, -2)], [0.0, *around(-2, 2)]
    assert overfitting(table(*turned, early), 2).logits == pytest.approx([np.log(0.5)] * 2)


@pytest.mark.parametrize(
    "settings",
    [(IDLE,), (IDLE, IDLE, IDLE), (around(1, 2),), (IDLE, around(1, 2), IDLE)],
    ids=["one idle", "all idle", "one alone", "one among idle"],
)
def test_fewer_than_two_that_traded_cannot_be_ranked(settings: tuple[list[float], ...]) -> None:
    assert backtest_overfitting(table(*settings), 2) is None


def test_settings_without_skill_land_anywhere() -> None:
    rng = np.random.default_rng(5)
    share = [overfitting(rng.standard_normal((160, 20)), 8).probability for _ in range(40)]
    assert np.mean(share) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("shape", "blocks", "said"),
    [
        ((8, 2), 3, "cannot be halved"),
        ((7, 2), 4, "too few for 4 blocks"),
    ],
)
def test_a_matrix_that_cannot_be_judged_is_refused(
    shape: tuple[int, int], blocks: int, said: str
) -> None:
    with pytest.raises(InvariantViolation, match=said):
        backtest_overfitting(np.zeros(shape), blocks)
