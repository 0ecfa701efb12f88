"""What flatters a walk-forward, each assumption with its price on the same choices, in USDT."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

import numpy as np

from services.backtest.honesty import SPREADS, Assumption
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import Terms
from services.backtest.walk import COSTS_RAISED, Walk, by_period
from shared.domain.money import ZERO

CENT: Final = Decimal("0.01")
NOT_PRICED: Final = (
    ("no_faults", "No outage, reject or partial fill", "not priced: a run with faults is needed"),
    ("survivors", "These symbols survived", "not priced: the history holds none that was delisted"),
    (
        "no_margin",
        "Margin is always there",
        "not priced: run the choice on the exact engine",
    ),
)


def flattering(done: Walk, market: SweepMarket) -> tuple[Assumption, ...]:
    """Return what flatters the profit out of sample; the choices stay as they were made."""
    terms = done.terms
    wider = replace(terms, slippage=SPREADS * terms.slippage, capital=terms.all_capital)
    return (
        Assumption(
            "fixed_slippage",
            "Every fill slips by the stated share",
            f"{SPREADS} times as much at every fill",
            _change(done, market, wider),
        ),
        Assumption(
            "fees_as_stated",
            "Fees are today's for every year",
            "half as much again",
            _change(done, market, _dearer_fees(terms)),
        ),
        _trials(done),
        *(Assumption(key, says, instead, None) for key, says, instead in NOT_PRICED),
    )


def not_assumed(done: Walk, market: SweepMarket) -> tuple[Assumption, ...]:
    """Return what is not left out, each with what leaving it out would have added, USDT."""
    terms = replace(done.terms, capital=done.terms.all_capital)
    free = replace(terms, spot_fee=ZERO, perp_fee=ZERO)
    return (
        Assumption("fees", "Fees left out", "", _change(done, market, free)),
        Assumption(
            "slippage",
            "Filled at the close",
            "",
            _change(done, market, replace(terms, slippage=ZERO)),
        ),
        Assumption("hindsight", "Chosen with hindsight", "", _hindsight(done)),
    )


def _trials(done: Walk) -> Assumption:
    """Return among how many the best was picked, and who knows of them."""
    judged = done.judgement
    if judged.counted_ever:
        return Assumption(
            "trials_ever",
            f"The best of {judged.trials} trials ever made on this span",
            "not priced: the deflated Sharpe counts them all",
            None,
        )
    return Assumption(
        "trials_of_this_search",
        f"The best of {judged.trials} trials of this search",
        "not priced: no database knows of earlier ones",
        None,
    )


def _dearer_fees(terms: Terms) -> Terms:
    return replace(
        terms,
        spot_fee=COSTS_RAISED * terms.spot_fee,
        perp_fee=COSTS_RAISED * terms.perp_fee,
        capital=terms.all_capital,
    )


def _change(done: Walk, market: SweepMarket, terms: Terms) -> Decimal:
    """Return by how much the choices would have earned more (+) or less out of sample."""
    chosen = sorted({fold.chosen for fold in done.judgement.folds})
    result = sweep(market, [done.sets[i] for i in chosen], terms)
    place: Mapping[int, int] = {one: i for i, one in enumerate(chosen)}
    profits = by_period(result, terms)
    then = sum(
        float(profits[slice(*f.fold.test), place[f.chosen]].sum()) for f in done.judgement.folds
    )
    return _cents(then - sum(f.profit for f in done.judgement.folds))


def _hindsight(done: Walk) -> Decimal:
    """Return how much the setting that earned most in the tests beat the choices by."""
    tests = np.concatenate([done.profits[slice(*f.fold.test)] for f in done.judgement.folds])
    return _cents(float(tests.sum(axis=0).max()) - sum(f.profit for f in done.judgement.folds))


def _cents(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(CENT)
