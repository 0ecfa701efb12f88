"""Resampling: what must hold of every draw, and that intervals cover what they say."""

import numpy as np
import pytest

from shared.analytics.bootstrap import (
    block_bootstrap,
    circular_blocks,
    confidence_interval,
)
from shared.analytics.series import Floats


def mean(values: Floats) -> Floats:
    return np.asarray(np.mean(values, axis=-1))


def test_a_circular_draw_is_whole_blocks_that_wrap_around() -> None:
    drawn = circular_blocks(10, 4, 50, np.random.default_rng(1))
    assert drawn.shape == (50, 10)
    for inside in (slice(0, 4), slice(4, 8), slice(8, 10)):
        steps = np.diff(drawn[:, inside], axis=1) % 10
        assert (steps == 1).all()


def test_every_place_is_drawn_about_equally_often() -> None:
    drawn = circular_blocks(25, 5, 4000, np.random.default_rng(3))
    counts = np.bincount(drawn.ravel(), minlength=25)
    assert counts / counts.mean() == pytest.approx(np.ones(25), abs=0.1)


def test_a_block_of_the_whole_series_only_turns_it() -> None:
    drawn = block_bootstrap(mean, [1.0, 2.0, 6.0], 3, 20, np.random.default_rng(0))
    assert drawn == pytest.approx(np.full(20, 3.0))


def test_the_same_seed_gives_the_same_interval_and_another_does_not() -> None:
    values = np.random.default_rng(0).normal(size=100)
    first = confidence_interval(mean, values, 5, 500, seed=1)
    assert first == confidence_interval(mean, values, 5, 500, seed=1)
    assert first != confidence_interval(mean, values, 5, 500, seed=2)
    assert first.low < first.estimate < first.high
    assert first.estimate == pytest.approx(values.mean())


def test_with_blocks_of_one_the_error_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    drawn = block_bootstrap(mean, values, 1, 4000, np.random.default_rng(1))
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_intervals_of_a_leaning_series_cover_its_mean_and_blocks_of_one_do_not() -> None:
    # AR(1) of 0.7: an independent bootstrap is too sure by the root of 1.7 / 0.3, 2.4 times.
    rng = np.random.default_rng(11)
    covered = {1: 0, 25: 0}
    for _ in range(200):
        steps = rng.normal(size=600)
        values = np.zeros(600)
        for i in range(1, 600):
            values[i] = 0.7 * values[i - 1] + steps[i]
        for block in covered:
            got = confidence_interval(mean, values[100:], block, 200, seed=5)
            covered[block] += got.low <= 0.0 <= got.high
    assert 0.86 <= covered[25] / 200 <= 0.98
    assert covered[1] / 200 < 0.70


@pytest.mark.parametrize("block", [0, 4])
def test_a_block_that_does_not_fit_is_refused(block: int) -> None:
    with pytest.raises(ValueError, match="does not fit 3 values"):
        circular_blocks(3, block, 1, np.random.default_rng(0))
