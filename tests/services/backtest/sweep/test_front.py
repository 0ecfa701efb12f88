"""SciPy's brute force as front of the compiled sweep."""

from decimal import Decimal

import numpy as np

from services.backtest.sweep.front import brute
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import ParameterSet
from tests.services.backtest.sweep.markets import random_market

MARKET = random_market(31, 4, 800, wild=False)


def test_brute_finds_the_best_of_the_whole_grid_in_one_batch() -> None:
    ranges = (slice(2, 8, 3), slice(0, 3e-4, 1e-4), slice(-1e-4, 1e-4, 1e-4), slice(3, 33, 15))
    batches = []

    def evaluate(market, sets, terms):  # type: ignore[no-untyped-def]
        batches.append(list(sets))
        return sweep(market, sets, terms)

    found = brute(MARKET, ranges, evaluate=evaluate)
    assert len(batches) == 1
    assert found.values.shape == (2, 3, 2, 2)
    one_by_one = {one: sweep(MARKET, [one]).money_at(0, "net") for one in batches[0]}
    assert len(one_by_one) == 24
    assert one_by_one[found.best] == max(one_by_one.values())
    assert found.value == -float(max(one_by_one.values()).scaleb(8))
    assert found.values[1, 2, 1, 0] == -float(
        one_by_one[ParameterSet(5, Decimal("0.0002"), Decimal(0), 3)].scaleb(8)
    )


def test_any_objective_over_the_daily_returns_may_be_given() -> None:
    ranges = (slice(2, 8, 1), slice(0, 1e-4, 1e-4), slice(0, 1e-4, 1e-4), slice(9, 10, 1))
    found = brute(MARKET, ranges, objective=lambda result: result.daily_returns.std(axis=1))
    assert found.value == np.min(found.swept.daily_returns.std(axis=1))
