"""The verdict: each check on both sides of its limit, from figures small enough to add up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.analytics.folds import walk_forward
from shared.analytics.validation import (
    AT_MOST,
    IN_MONEY,
    LIMITS,
    Check,
    Judgement,
    Search,
    Tried,
    Verdict,
    judge,
)

PERIODS = 60
FOLDS = walk_forward(PERIODS, 5)


def weeks(mean: float, swing: float = 1.0) -> NDArray[np.float64]:
    """Return sixty weeks that swing round ``mean`` in a fixed order without drift."""
    pattern = np.array([1.0, -1.0, -1.0, 1.0, 0.0, 0.0])
    return mean + swing * np.tile(pattern, PERIODS // len(pattern))


def search(*settings: NDArray[np.float64], trades: int = 40) -> Search:
    """Return a search in which setting i lies i steps along the only axis, costs 0.1 a week."""
    profits = np.array(settings).T
    return Search(
        profits=profits,
        raised=profits - 0.05,
        trades=np.full(len(settings), trades, dtype=np.int64),
        places=np.arange(len(settings), dtype=np.int64)[:, np.newaxis],
    )


STEADY = search(weeks(0.5), weeks(1.0), weeks(0.4))


def value(judgement: Judgement, check: Check) -> float | None:
    (found,) = [f.value for f in judgement.findings if f.check is check]
    return found


def test_a_steady_gain_is_robust_and_every_fold_chooses_it() -> None:
    judged = judge(STEADY, FOLDS)
    assert judged.verdict is Verdict.ROBUST
    assert judged.reasons == ()
    assert judged.best == 1
    assert [f.chosen for f in judged.folds] == [1] * 5
    # Ten weeks a fold at 1.0; the pattern sums to zero over six of them, and to at most 1 over ten.
    assert sum(f.profit for f in judged.folds) == pytest.approx(50.0, abs=2.0)
    assert judged.loss_probability == 0.0


def test_every_finding_states_the_one_limit_of_its_check() -> None:
    judged = judge(STEADY, FOLDS)
    assert [f.check for f in judged.findings] == list(Check)
    assert {f.check: f.limit for f in judged.findings} == LIMITS
    assert AT_MOST.isdisjoint(IN_MONEY)


def test_three_folds_are_not_judged_however_well_they_look() -> None:
    assert judge(STEADY, walk_forward(PERIODS, 3)).verdict is Verdict.NOT_JUDGED
    assert judge(STEADY, walk_forward(PERIODS, 4)).verdict is Verdict.ROBUST


def test_costs_raised_by_half_that_eat_the_profit_are_the_one_reason() -> None:
    eaten = replace(STEADY, raised=STEADY.profits - 1.1)
    judged = judge(eaten, FOLDS)
    assert (judged.verdict, judged.reasons) == (Verdict.FRAGILE, (Check.COSTS_RAISED,))
    # The choice is made at the costs as they are: the chosen setting's raised weeks count.
    tests = slice(FOLDS[0].test[0], FOLDS[-1].test[1])
    assert value(judged, Check.COSTS_RAISED) == pytest.approx(eaten.raised[tests, 1].sum())


@pytest.mark.parametrize(("trades", "fails"), [(10, False), (9, True)])
def test_ten_round_trips_are_the_least(trades: int, fails: bool) -> None:
    judged = judge(replace(STEADY, trades=np.full(3, trades)), FOLDS)
    assert (Check.ROUND_TRIPS in judged.reasons) is fails


def test_a_peak_between_losing_neighbours_is_a_reason() -> None:
    judged = judge(search(weeks(-0.01), weeks(1.0), weeks(0.4)), FOLDS)
    assert judged.reasons == (Check.NEIGHBOURS,)
    assert value(judged, Check.NEIGHBOURS) == pytest.approx(-0.01 * PERIODS)


def test_only_settings_one_step_away_are_neighbours() -> None:
    far = search(weeks(0.4), weeks(1.0), weeks(0.4), weeks(-1.0))
    assert Check.NEIGHBOURS not in judge(far, FOLDS).reasons


def test_profit_that_comes_from_one_fold_is_a_reason() -> None:
    once = weeks(0.1)
    once[30:40] += 2.0  # the third of five folds
    judged = judge(search(weeks(0.01), once, weeks(0.01)), FOLDS)
    assert Check.ONE_FOLD_SHARE in judged.reasons
    share = value(judged, Check.ONE_FOLD_SHARE)
    assert share is not None
    # 21 of 25 in the fold, the swings aside.
    assert share == pytest.approx(21 / 25, abs=0.1)


def test_what_turns_round_loses_out_of_sample_and_is_overfitted() -> None:
    swing = np.where(np.arange(PERIODS) // 10 % 2 == 0, 1.0, -1.0)
    judged = judge(search(weeks(0.0) + swing, weeks(0.0) - swing), FOLDS)
    assert judged.verdict is Verdict.FRAGILE
    assert set(judged.reasons) >= {
        Check.PROFIT_OUT_OF_SAMPLE, Check.FOLDS_PROFITABLE, Check.ONE_FOLD_SHARE,
        Check.COSTS_RAISED, Check.DEFLATED_SHARPE, Check.OVERFITTING,
    }  # fmt: skip
    assert value(judged, Check.ONE_FOLD_SHARE) is None


def test_a_search_that_never_traded_is_fragile_not_an_error() -> None:
    idle = np.zeros(PERIODS)
    judged = judge(search(idle, idle, trades=0), FOLDS)
    assert judged.verdict is Verdict.FRAGILE
    assert value(judged, Check.DEFLATED_SHARPE) is None
    assert judged.profit is not None
    assert (judged.profit.low, judged.profit.high) == (0.0, 0.0)


def test_the_best_of_many_lucky_ones_does_not_beat_the_luck_of_so_many() -> None:
    rng = np.random.default_rng(3)
    lucky = [rng.standard_normal(PERIODS) for _ in range(200)]
    judged = judge(search(*lucky), FOLDS)
    assert Check.DEFLATED_SHARPE in judged.reasons
    deflated = value(judged, Check.DEFLATED_SHARPE)
    assert deflated is not None
    assert deflated < 0.9
    # Its plain t-value would have convinced: the best of 200 is about 2.7 deviations out.
    assert judged.sharpe * np.sqrt(PERIODS) > 2.3


IDLE = np.zeros(PERIODS)


def padded(traded: NDArray[np.float64], places: list[int]) -> Search:
    """Return the search of ``traded`` (t, n) with an idle setting put in before each of places."""
    return search(*np.insert(traded, places, 0.0, axis=1).T)


def test_idle_settings_count_as_trials_but_not_towards_their_spread() -> None:
    # Squares of the swings add up to 40, so that a mean m has the ratio m * sqrt(59 / 40): 0.0607
    # and 0.3036, which vary by (0.2 ** 2 * 59 / 40) / 2 = 0.0295. The best of two is expected at
    # 0.5198 deviations, of three at 0.8528, of 103 at 2.5410. Its error is
    # sqrt((1 + 0.5 / 4 * 0.3036 ** 2) / 59) = 0.1309.
    traded = weeks(0.05), weeks(0.25)
    found = {
        idle: value(judge(search(*traded, *[IDLE] * idle), FOLDS), Check.DEFLATED_SHARPE)
        for idle in (0, 1, 101)
    }
    assert found == pytest.approx({0: 0.9492, 1: 0.8850, 101: 0.1552}, abs=5e-5)
    assert judge(search(*traded, IDLE), FOLDS).trials == 3


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 12),
    drift=st.sampled_from([-0.5, 0.0, 0.2, 1.0]),
    places=st.lists(st.integers(0, 12), min_size=1, max_size=200),
)
@settings(max_examples=30, deadline=None)
def test_idle_settings_never_raise_the_deflated_sharpe_nor_change_the_overfitting(
    seed: int, count: int, drift: float, places: list[int]
) -> None:
    traded = drift + np.random.default_rng(seed).standard_normal((PERIODS, count))
    before = judge(search(*traded.T), FOLDS)
    deflated = value(before, Check.DEFLATED_SHARPE)
    assert deflated is not None
    for idle in sorted({1, len(places)}):
        after = judge(padded(traded, [min(p, count) for p in places[:idle]]), FOLDS)
        now = value(after, Check.DEFLATED_SHARPE)
        assert now is not None
        assert now <= deflated
        deflated = now
        assert (after.overfitting, after.loss_probability) == (
            before.overfitting, before.loss_probability,
        )  # fmt: skip
        assert value(after, Check.OVERFITTING) == value(before, Check.OVERFITTING)
        assert after.sharpe == before.sharpe


def test_a_strategy_of_luck_does_not_pass_however_much_it_is_padded() -> None:
    # Were the idle ones' zeros part of the spread, it would come to 0.94.
    rng = np.random.default_rng(3)
    lucky = [rng.standard_normal(PERIODS) for _ in range(72)]
    found = value(judge(search(*lucky, *[IDLE] * 1_215), FOLDS), Check.DEFLATED_SHARPE)
    assert found is not None
    assert found < 0.9


def test_a_strategy_of_luck_does_not_pass_among_near_copies_of_itself() -> None:
    rng = np.random.default_rng(3)
    lucky = [rng.standard_normal(PERIODS) for _ in range(72)]
    best = max(lucky, key=lambda profits: profits.mean() / profits.std())
    copies = [best + 1e-3 * rng.standard_normal(PERIODS) for _ in range(900)]
    alone, among = (
        value(judge(search(*lucky, *more), FOLDS), Check.DEFLATED_SHARPE) for more in ([], copies)
    )
    assert alone is not None
    assert among is not None
    assert among < alone < 0.95


def test_losers_among_idle_settings_are_judged_by_the_best_loser() -> None:
    judged = judge(search(IDLE, weeks(-0.5), weeks(-0.1), IDLE), FOLDS)
    assert judged.best == 2
    assert judged.sharpe < 0.0
    assert judged.verdict is Verdict.FRAGILE


@pytest.mark.parametrize("idle", [1, 2, 50])
def test_one_setting_that_traded_among_idle_ones_cannot_be_told_lucky_or_not(idle: int) -> None:
    judged = judge(search(*[IDLE] * idle, weeks(1.0)), FOLDS)
    assert judged.best == idle
    assert judged.verdict is Verdict.FRAGILE
    assert {Check.DEFLATED_SHARPE, Check.OVERFITTING} <= set(judged.reasons)
    assert value(judged, Check.DEFLATED_SHARPE) is None
    assert value(judged, Check.OVERFITTING) is None
    assert (judged.overfitting, judged.loss_probability) == (None, None)


def test_one_trial_alone_had_no_choice_and_is_not_deflated() -> None:
    judged = judge(search(weeks(1.0)), FOLDS)
    assert value(judged, Check.DEFLATED_SHARPE) == pytest.approx(1.0)
    assert value(judged, Check.OVERFITTING) is None
    assert judged.verdict is Verdict.FRAGILE


def test_trials_ever_made_of_which_fewer_than_two_traded_cannot_be_told() -> None:
    assert value(judge(STEADY, FOLDS, Tried(9, None)), Check.DEFLATED_SHARPE) is None
    assert value(judge(STEADY, FOLDS, Tried(9, 0.01)), Check.DEFLATED_SHARPE) is not None
