"""The chance of a loss: by hand on short histories, and that nothing of the future is in it."""

import numpy as np
import pytest

from shared.analytics.holds import Holds, holds
from shared.analytics.loss import BURN_IN, HALF_LIFE, hold_distribution, loss_probability
from shared.domain.errors import Malformed


def begun(errors: list[float], *, expected: float = 0.002, scale: float = 2.0) -> Holds:
    """Holds of one settlement whose errors are given, and one more that begins now."""
    n = BURN_IN + len(errors)
    realised = np.append(np.append(np.zeros(BURN_IN), errors), np.nan)
    level = np.append(np.zeros(n), expected)
    return Holds(1, level, realised, np.append(np.ones(n), scale))


def test_a_hold_receives_the_rates_after_it_and_what_the_basis_falls() -> None:
    got = holds(np.array([0.9, 0.1, 0.2, 0.4]), np.array([0.05, 0.01, 0.02, 0.0]), 2)
    assert got.realised[:2] == pytest.approx([0.1 + 0.2 + 0.05 - 0.02, 0.2 + 0.4 + 0.01 - 0.0])
    assert np.isnan(got.realised[2:]).all()


def test_a_steady_rate_is_expected_to_go_on_and_the_basis_to_stay() -> None:
    got = holds(np.full(50, 0.0001), np.full(50, -0.0004), 9)
    assert got.expected == pytest.approx(np.full(50, 0.0009))
    assert got.scale == pytest.approx(np.full(50, 9 * 3e-5))


def test_the_probability_is_the_share_of_past_errors_that_would_lose() -> None:
    # Errors of -2, -1, 1, 2 thousandths, doubled by today's scale: -0.002, 0, 0.004, 0.006.
    # Below 0.001 lie the first two: weights w^3 + w^2 of 1 + w + w^2 + w^3, w = 2^(-1/540).
    stated = hold_distribution(begun([-0.002, -0.001, 0.001, 0.002]))
    assert stated is not None
    assert stated.totals == pytest.approx([-0.002, 0.0, 0.004, 0.006])
    w = 0.5 ** (1 / HALF_LIFE)
    weights = [w**3, w**2, w, 1.0]
    independent = sum(weights) ** 2 / sum(x * x for x in weights)
    assert stated.independent == pytest.approx(independent)
    raw = (w**3 + w**2) / sum(weights)
    assert stated.loss_probability(0.001) == pytest.approx(
        (raw * independent + 0.5) / (independent + 1)
    )


def test_to_earn_exactly_the_cost_is_half_a_loss() -> None:
    stated = hold_distribution(begun([0.0], expected=0.002))
    assert stated is not None
    assert stated.loss_probability(0.002) == pytest.approx(0.5)
    # one hold that would certainly lose, drawn to one half by one: (1 * 1 + 0.5) / 2
    assert stated.loss_probability(0.0021) == pytest.approx(0.75)


def test_a_quantile_is_met_with_its_probability() -> None:
    rng = np.random.default_rng(7)
    stated = hold_distribution(begun(list(rng.normal(size=400))))
    assert stated is not None
    for level, total in zip(
        [0.1, 0.5, 0.9], stated.quantiles(np.array([0.1, 0.5, 0.9])), strict=True
    ):
        assert stated.loss_probability(float(total)) == pytest.approx(level, abs=0.003)


def test_the_probability_rises_with_the_cost() -> None:
    rng = np.random.default_rng(3)
    rates, basis = rng.normal(1e-4, 1e-4, 400), rng.normal(0, 1e-4, 400)
    chances = [loss_probability(rates, basis, cost, 21) for cost in (-1.0, 0.0, 0.002, 0.004, 1.0)]
    assert None not in chances
    assert chances == sorted(chances)  # type: ignore[type-var]
    assert chances[0] < chances[-1]  # type: ignore[operator]


def test_what_comes_after_the_instant_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    rates, basis = rng.normal(1e-4, 1e-4, 300), rng.normal(0, 1e-4, 300)
    whole = hold_distribution(holds(rates, basis, 9), 199)
    known = hold_distribution(holds(rates[:200], basis[:200], 9))
    assert whole is not None
    assert known is not None
    assert whole.totals == pytest.approx(known.totals, abs=1e-15)
    assert whole.loss_probability(0.001) == known.loss_probability(0.001)


def test_what_lies_further_back_than_asked_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    rates, basis = rng.normal(1e-4, 1e-4, 900), rng.normal(0, 1e-4, 900)
    cut = hold_distribution(holds(rates, basis, 9), most=500)
    short = hold_distribution(holds(rates[-500:], basis[-500:], 9))
    whole = hold_distribution(holds(rates, basis, 9))
    assert cut is not None
    assert short is not None
    assert whole is not None
    # The averages of a shorter past still lean on its first value; the blocks are the same.
    assert len(cut.totals) == len(short.totals) == 500 - 9 - BURN_IN
    assert cut.totals == pytest.approx(short.totals, abs=2e-4)
    assert cut.loss_probability(0.001) == pytest.approx(short.loss_probability(0.001), abs=0.01)
    assert len(whole.totals) == 900 - 9 - BURN_IN


@pytest.mark.parametrize(("extra", "stated"), [(0, False), (1, True)])
def test_less_than_one_hold_without_overlap_states_nothing(extra: int, stated: bool) -> None:
    # Holds of one: the first that is over is at index BURN_IN.
    n = BURN_IN + 1 + extra
    got = loss_probability(np.full(n, 1e-4), np.zeros(n), 0.001, 1)
    assert (got is not None) is stated


def test_a_hold_of_nine_needs_nine_overlapping_ones_and_a_little_for_their_age() -> None:
    short, enough = BURN_IN + 9 + 9, BURN_IN + 9 + 10
    assert loss_probability(np.full(short, 1e-4), np.zeros(short), 0.001, 9) is None
    assert loss_probability(np.full(enough, 1e-4), np.zeros(enough), 0.001, 9) is not None


def test_histories_that_do_not_match_are_refused() -> None:
    with pytest.raises(Malformed, match="3 rates with 2"):
        holds(np.zeros(3), np.zeros(2), 1)
    with pytest.raises(ValueError, match="hold of 0"):
        holds(np.zeros(3), np.zeros(3), 0)
    assert loss_probability(np.zeros(0), np.zeros(0), 0.001, 1) is None
