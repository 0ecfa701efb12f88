"""Orders worked in parts: by hand, and against the Decimal oracle to the last unit."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, event, given, settings

from services.backtest.replay.events import events_of
from services.backtest.replay.run import replay
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.terms import ParameterSet, Terms
from shared.domain.errors import Misconfigured
from tests.services.backtest.replay.exact import ExactReplay
from tests.services.backtest.sweep.markets import (
    MARKETS,
    POLICIES,
    TERMS,
    fraction,
    random_market,
    steady,
)

ONE = ParameterSet(1, Decimal("0.0002"), Decimal(0), 9)


def assert_equal(
    market: SweepMarket, policy: ParameterSet, terms: Terms, depth: Decimal
) -> ExactReplay:
    events = events_of(market)
    exact = ExactReplay(policy, terms, depth).run(events)
    found = replay(market, events, policy, terms, depth, log=len(exact.log) + 1)
    assert found.log.tolist() == [
        [i, symbol, leg, *(int(amount.scaleb(8)) for amount in amounts)]
        for i, symbol, leg, *amounts in exact.log
    ]
    assert (found.orders, found.fills, found.parts) == (exact.orders, len(exact.log), exact.parts)
    assert (found.funding, found.fees, found.net) == (exact.funding, exact.fees, exact.net)
    assert found.drawdown == exact.drawdown
    return exact


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MARKETS, POLICIES, TERMS, fraction(1, 10**7, -2))
def test_every_fill_and_every_sum_is_the_same_to_the_last_unit(
    market: SweepMarket, policy: ParameterSet, terms: Terms, depth: Decimal
) -> None:
    exact = assert_equal(market, policy, terms, depth)
    event(f"fills: {min(len(exact.log), 5)}, in parts: {exact.parts > 0}")


def test_a_busy_market_with_parts_and_exits_was_among_what_is_compared() -> None:
    policy = ParameterSet(3, Decimal("0.00005"), Decimal("0.00002"), 9)
    exact = assert_equal(
        random_market(3, 6, 2_000, wild=False), policy, Terms(cap=2), Decimal(3_000)
    )
    assert exact.orders > 50
    assert exact.parts > 100


def test_an_order_is_worked_in_parts_as_the_calculator_says() -> None:
    # 3 bp, then -1 bp: in with the first settlement (hour 7), out with the second (hour 15).
    market = steady([[30_000, -10_000, 0]])
    market.perp[0, 8:] = 99 * 10**8
    terms = Terms(Decimal(1_000), 1, Decimal("0.001"), Decimal("0.0005"), Decimal("0.01"))
    found = replay(market, events_of(market), ONE, terms, Decimal(500), log=9)
    # 1000 / 101 = 9.90099010 are wanted; 500 buy 5 of spot at 100, 500 / 99 = 5.05050505 perpetual.
    # Hour 8: 5 at 101, sold 5 at 98.01. Hour 9: 4.9009901 each. Hours 16 and 17: back the same way.
    quantities = [row[3] for row in found.log.tolist()]
    assert quantities == [
        500000000, 500000000, 490099010, 490099010, -500000000, -500000000, -490099010, -490099010,
    ]  # fmt: skip
    assert (found.orders, found.fills, found.parts) == (2, 8, 2)
    # 9.9009901 x 99 = 980.19801990 at -1 bp.
    assert found.funding == Decimal("-0.09801980")
    # Spot 505 + 495.0000001, out at 99: 495 + 485.1980199; perpetual 490.05 + 480.34603970 (98.01),
    # back at 99.99: 499.95 + 490.04999... = 490.05000010.
    spot_fees = [Decimal(v) for v in ("0.505", "0.49500000", "0.495", "0.48519802")]
    perp_fees = [Decimal(v) for v in ("0.245025", "0.24017302", "0.249975", "0.24502500")]
    assert found.fees == sum(spot_fees + perp_fees)


def test_within_an_hour_spot_closes_come_first_and_what_settles_comes_last() -> None:
    market = steady([[10_000], [20_000]])
    market.interval[1, 0] = 4
    events = events_of(market)
    assert events.kind.tolist() == [0, 0, 1, 1] * 8 + [2 + 7, 2 + 3]
    assert events.symbol.tolist() == [0, 1] * 17
    assert events.value[-2:].tolist() == [10_000 * 10_000, 20_000 * 10_000]


@pytest.mark.parametrize("depth", [Decimal(0), Decimal(10) ** 15])
def test_a_depth_out_of_range_is_refused(depth: Decimal) -> None:
    market = steady([[10_000]])
    with pytest.raises(Misconfigured):
        replay(market, events_of(market), ONE, Terms(), depth)
