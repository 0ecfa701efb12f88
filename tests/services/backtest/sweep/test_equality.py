"""The compiled sweep and the Decimal engine agree on everything, to the last unit."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings

from services.backtest.reference.carry import QuantisedCarry
from services.backtest.reference.desk import Pair
from services.backtest.reference.engine import ReferenceRun, run_strategy
from services.backtest.reference.tape import tape_of
from services.backtest.sweep.columns import columns_of
from services.backtest.sweep.kernel import GAIN, GROSS_MAX, PAID
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.result import SweepResult
from services.backtest.sweep.run import sweep
from services.backtest.sweep.signals import ema_signals
from services.backtest.sweep.terms import Grid, ParameterSet, Terms
from services.backtest.sweep.trace import Trace, trace
from shared.domain.errors import Misconfigured
from shared.domain.rounding import BOOKING
from tests.services.backtest.sweep.markets import MARKETS, POLICIES, TERMS, random_market

HALF = Decimal("0.00005")
NAMES = ("trades", "funding", "basis", "fees", "net", "drawdown", "daily_returns")


def in_units(values: tuple[int, ...]) -> tuple[Decimal, ...]:
    return tuple(Decimal(value).scaleb(-5) for value in values)


def whole(amount: Decimal) -> int:
    scaled = amount.scaleb(8)
    assert scaled == int(scaled)
    return int(scaled)


def exact_run(market: SweepMarket, policy: ParameterSet, terms: Terms) -> ReferenceRun:
    signals = ema_signals(columns_of(market).signal_rate, policy.span)
    return run_strategy(tape_of(market), QuantisedCarry(policy, signals), terms, BOOKING)


def fields(pair: Pair) -> list[int]:
    assert pair.left is not None
    money = (
        pair.quantity, pair.spot_in, pair.perp_in, pair.spot_out, pair.perp_out, pair.paid,
        pair.gain, pair.cost,
    )  # fmt: skip
    return [pair.symbol, pair.entered, pair.left, *map(whole, money)]


def assert_equal(market: SweepMarket, found: Trace, exact: ReferenceRun) -> None:
    assert found.pairs.tolist() == [fields(pair) for pair in exact.pairs]
    assert found.payments.tolist() == [
        [i, k, whole(amount)] for i, p in enumerate(exact.pairs) for k, amount in p.payments
    ]
    assert found.balances[market.at >= 0].tolist() == [whole(b) for b in exact.balances]
    assert found.equity.tolist() == [whole(e) for e in exact.equity]
    assert found.drawdown == whole(exact.drawdown)
    assert found.net == whole(exact.net)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MARKETS, POLICIES, TERMS)
def test_every_trade_booking_balance_and_drawdown_is_the_same_to_the_last_unit(
    market: SweepMarket, policy: ParameterSet, terms: Terms
) -> None:
    exact = exact_run(market, policy, terms)
    event(f"pairs: {min(len(exact.pairs), 5)}")
    assert_equal(market, trace(market, policy, terms), exact)
    neighbour = replace(policy, entry=policy.entry - HALF, exit=policy.exit + HALF)
    looser = replace(policy, entry=policy.entry - HALF)  # what it alone holds is taken off again
    for sets in ([policy], [policy, neighbour], [policy, looser]):  # alone, and by shared tables
        assert_same_sums(market, sweep(market, sets, terms), terms, exact)


def assert_same_sums(
    market: SweepMarket, result: SweepResult, terms: Terms, exact: ReferenceRun
) -> None:
    assert result.trades[0] == len(exact.pairs)
    assert result.money_at(0, "funding") == exact.funding
    assert result.money_at(0, "basis") == exact.basis
    assert result.money_at(0, "fees") == exact.fees
    assert result.money_at(0, "net") == exact.net == exact.funding + exact.basis - exact.fees
    assert result.money_at(0, "drawdown") == exact.drawdown
    gains = exact.daily_gains(market.day_ends.tolist())
    capital = int(terms.all_capital.scaleb(8))
    assert result.daily_returns[0].tolist() == [whole(g) / capital for g in gains]


def test_a_busy_market_was_among_what_is_compared() -> None:
    market = random_market(3, 6, 2_000, wild=False)
    policy = ParameterSet(3, Decimal("0.00005"), Decimal("0.00002"), 9)
    exact = exact_run(market, policy, Terms(cap=2))
    assert len(exact.pairs) > 100
    assert any(amount < 0 for p in exact.pairs for _, amount in p.payments)
    assert_equal(market, trace(market, policy, Terms(cap=2)), exact)


def test_large_amounts_take_the_long_way_and_agree_as_well() -> None:
    market = random_market(5, 3, 400, wild=False)
    policy = ParameterSet(3, Decimal("0.00001"), Decimal("0"), 20)
    terms = Terms(notional=Decimal(40_000_000), cap=2)
    found = trace(market, policy, terms)
    value = found.pairs[:, 3].astype(float) * found.pairs[:, 4] * 2e-8
    assert (value > 2.0**50).any()
    exact = exact_run(market, policy, terms)
    assert_equal(market, found, exact)
    looser = replace(policy, entry=policy.entry - HALF)
    both = sweep(market, [policy, looser], terms)
    assert both.trades[0] < both.trades[1]
    assert_same_sums(market, both, terms, exact)


def test_a_set_comes_to_the_same_beside_others_as_alone() -> None:
    market = random_market(7, 6, 3_000, wild=False)
    for cap, entries, exits, holds in (
        (2, (2, 4, 6, 8, 10), (-2, 2), (3, 30)),
        (6, (4,), (-9, -8), (30, 31, 32)),  # neighbours enter as the other does, and leave later
    ):
        sets = Grid((5,), in_units(entries), in_units(exits), holds).sets()
        beside = sweep(market, sets, Terms(cap=cap))
        assert len(set(beside.net.tolist())) > len(sets) / 2
        for i, one in enumerate(sets):
            alone = sweep(market, [one], Terms(cap=cap))
            for name in NAMES:
                assert np.array_equal(getattr(beside, name)[i], getattr(alone, name)[0]), one


def test_what_is_taken_off_again_does_not_count_towards_what_fixed_point_holds() -> None:
    market = random_market(13, 2, 3_000, wild=True)
    sets = Grid((5,), in_units(tuple(range(-8, 9))), (Decimal(0),), (9,)).sets()
    pairs = trace(market, sets[0], Terms(cap=1)).pairs
    paid, gain = pairs[:, PAID], pairs[:, GAIN]
    turned = float((abs(paid) + abs(gain)).sum()) / 10_000  # units a USDT of the notional
    for share, beyond in ((0.8, False), (1.2, True)):
        terms = Terms(notional=Decimal(int(GROSS_MAX * share / turned)), cap=1)
        if beyond:
            with pytest.raises(Misconfigured, match="more than fixed point holds"):
                sweep(market, sets, terms)
        else:
            sweep(market, sets, terms)


def test_no_number_of_threads_changes_a_bit() -> None:
    import numba

    market = random_market(11, 6, 3_000, wild=False)
    sets = [
        ParameterSet(span, Decimal(e).scaleb(-5), Decimal(x).scaleb(-5), hold)
        for span in (2, 5, 12, 30) for e in (3, 8) for x in (-2, 2) for hold in (3, 30)
    ]  # fmt: skip
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = sweep(market, sets)
    finally:
        numba.set_num_threads(threads)
    for _ in range(3):
        again = sweep(market, sets[::-1])
        for name in NAMES:
            assert np.array_equal(getattr(again, name)[::-1], getattr(one, name)), name
