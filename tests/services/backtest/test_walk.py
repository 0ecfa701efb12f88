"""Walk-forward through the real sweep: the right verdict on made worlds, and no look ahead."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from services.backtest.page_walk import as_table, walk_page
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.terms import Grid, Terms
from services.backtest.walk import PERIOD_DAYS, Walk, dearer, folds_of, grid_sets, places_of, walk
from services.backtest.walk_record import walk_record
from shared.analytics.validation import Check, Verdict
from tests.support.worlds import DAYS, INTERVAL, noise, planted

GRID = Grid(
    spans=(6, 12, 24),
    entries=(Decimal("0.0001"), Decimal("0.0002"), Decimal("0.0004")),
    exits=(Decimal("-0.0002"), Decimal(0), Decimal("0.0001")),
    holds=(90,),
)
TERMS = Terms(cap=3)
FREE = Terms(cap=3, spot_fee=Decimal(0), perp_fee=Decimal(0), slippage=Decimal(0))
FOLDS = 5
SEEDS = range(100)


def verdicts(world: Callable[[int], SweepMarket], terms: Terms) -> Counter[Verdict]:
    return Counter(walk(world(s), GRID, terms, FOLDS).judgement.verdict for s in SEEDS)


def test_a_planted_signal_is_robust_in_each_of_a_hundred_worlds() -> None:
    assert verdicts(planted, TERMS) == {Verdict.ROBUST: 100}


def test_pure_noise_is_fragile_in_each_of_a_hundred_worlds() -> None:
    assert verdicts(noise, TERMS) == {Verdict.FRAGILE: 100}


def test_noise_that_costs_nothing_to_trade_is_fragile_too() -> None:
    # The harder half: without costs about half of all settings end above zero by luck alone, and a
    # search always finds one that looks good.
    looked_good = 0
    for seed in range(25):
        done = walk(noise(seed), GRID, FREE, FOLDS)
        assert done.judgement.verdict is Verdict.FRAGILE, seed
        looked_good += bool(done.profits.sum(axis=0).max() > 0)
    assert looked_good >= 20


@pytest.fixture(scope="module")
def market() -> SweepMarket:
    return planted(7)


@pytest.fixture(scope="module")
def done(market: SweepMarket) -> Walk:
    return walk(market, GRID, TERMS, FOLDS)


def test_what_comes_later_changes_no_earlier_choice(market: SweepMarket, done: Walk) -> None:
    third = done.judgement.folds[2].fold.test[0]
    first_day = DAYS - len(done.profits) * PERIOD_DAYS + third * PERIOD_DAYS
    later = market.at >= first_day * 24
    bent = walk(
        replace(market, rate=np.where(later, -market.rate, market.rate)), GRID, TERMS, FOLDS
    )
    told, told_bent = done.judgement.folds, bent.judgement.folds
    assert [f.chosen for f in told[:3]] == [f.chosen for f in told_bent[:3]]
    assert told[:2] == told_bent[:2]
    assert told[3].profit != told_bent[3].profit


def test_weeks_add_up_to_the_sweeps_own_profit(done: Walk) -> None:
    skipped = DAYS % PERIOD_DAYS
    before = done.result.daily_returns[:, :skipped].sum(axis=1) * float(TERMS.all_capital)
    total = done.result.net / 1e8
    assert done.profits.sum(axis=0) + before == pytest.approx(total, abs=1e-6)
    assert len(done.profits) == len(done.starts_ms) == DAYS // PERIOD_DAYS
    assert done.starts_ms[0] == done.result.days[skipped]


def test_the_longest_hold_and_a_week_are_left_out_before_each_test() -> None:
    # 90 settlements of eight hours are 30 days, which five weeks cover.
    assert 90 * INTERVAL / 24 == 30
    for fold in folds_of(104, GRID, FOLDS):
        assert fold.test[0] - fold.train[1] == 5 + 1


def test_a_setting_that_leaves_above_where_it_enters_is_no_trial() -> None:
    grid = replace(GRID, exits=(Decimal(0), Decimal("0.0002")))
    sets = grid_sets(grid)
    assert len(sets) == 3 * 3 * 2 - 3
    assert all(one.exit <= one.entry for one in sets)
    assert places_of(grid, sets)[:3].tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]]


def test_raised_costs_are_half_as_much_again_on_the_same_capital() -> None:
    raised = dearer(Terms(cap=2))
    assert (raised.spot_fee, raised.perp_fee) == (Decimal("0.0015"), Decimal("0.000825"))
    assert raised.slippage == Decimal("0.0003")
    assert raised.all_capital == 20_000


def test_costs_raised_make_the_same_choices_earn_less(done: Walk) -> None:
    (raised,) = [f.value for f in done.judgement.findings if f.check is Check.COSTS_RAISED]
    assert raised is not None
    assert 0 < raised < sum(f.profit for f in done.judgement.folds)


@pytest.mark.parametrize(
    ("entries", "traded"), [(("0.02", "0.03"), 0), (("0.0002", "0.03"), 1)], ids=["none", "one"]
)
def test_a_search_of_which_fewer_than_two_traded_is_told_on_every_page_and_without_a_nan(
    market: SweepMarket, entries: tuple[str, ...], traded: int
) -> None:
    grid = Grid((12,), tuple(map(Decimal, entries)), (Decimal(0),), (90,))
    done = walk(market, grid, TERMS, FOLDS)
    assert np.count_nonzero(done.result.trades) == traded
    record = walk_record(done, market, grid, {}, 1.0)
    judged = json.loads(json.dumps(record, allow_nan=False))["judgement"]
    assert judged["verdict"] == "fragile"
    assert (judged["overfitting"], judged["loss_probability"]) == (None, None)
    values = {f["check"]: f["value"] for f in judged["findings"]}
    assert (values["deflated_sharpe"], values["overfitting"]) == (None, None)
    assert "fewer than two settings traded" in str(walk_page(record)["strip"])
    assert as_table(record)
