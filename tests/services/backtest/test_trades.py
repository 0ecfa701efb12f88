"""Trades told from fills: every part by hand, and together the run's own profit."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.backtest.engine import RunResult, run_carry
from services.backtest.trades import Breakdown, break_down
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.history.files import read_history
from shared.history.records import HOUR_MS, Bar, History, Settlement, SymbolHistory
from shared.history.rules import sample_rules

START = datetime(2023, 11, 11, tzinfo=UTC)
DAY = timedelta(days=1)


def run(history: History, days: int, policy: CarryPolicy | None = None) -> RunResult:
    return run_carry(
        history,
        sample_rules(),
        policy or CarryPolicy(),
        RiskLimits(),
        ExecutionPolicy(),
        deposit=Decimal(100_000),
        start=START,
        end=START + days * DAY,
    )


def told(history: History, days: int, policy: CarryPolicy | None = None) -> Breakdown:
    return break_down(run(history, days, policy), history, sample_rules())


def history_at(price: str, later: str | None = None, flip: int = 99) -> History:
    """BTC at one price on spot, perpetual and mark (``later`` after the first day).

    It settles +0.0005 every eight hours, and -0.01 from day ``flip`` on.
    """
    first = int((START - 65 * DAY).timestamp()) * 1000
    cut, flipped = (int((START + n * DAY).timestamp()) * 1000 for n in (1, flip))
    bars = []
    for hour in range(1, 70 * 24 + 1):
        at = first + hour * HOUR_MS
        bars.append(Bar(at, *[Decimal(later if later and at >= cut else price)] * 3))
    paid = tuple(
        Settlement(b.at_ms, Decimal("-0.01" if b.at_ms >= flipped else "0.0005"), 8)
        for b in bars
        if b.at_ms % (8 * HOUR_MS) == 0
    )
    return History({"BTCUSDT": SymbolHistory("BTCUSDT", tuple(bars), paid)})


def test_an_open_trade_at_one_price_has_no_basis_and_loses_the_half_spreads() -> None:
    history = history_at("30000")
    result = run(history, 4)
    (trade,) = break_down(result, history, sample_rules()).trades
    spot, perp = (b.fill for b in result.fills)
    assert (trade.pair, trade.opened_at) == ("BTCUSDT", START + timedelta(minutes=1))
    assert trade.closed_at is None
    assert (trade.spot_in, trade.spot_out) == (spot.price, None)
    # Eleven settlements of 0.0005 on 0.333 BTC at 30,000; see the engine's own test.
    assert trade.settlements == 11
    assert trade.parts.funding == 11 * Decimal("0.0005") * 30000 * Decimal("0.333")
    assert trade.parts.basis == 0
    kept = spot.quantity - spot.fee
    assert trade.parts.slippage == (30000 - spot.price) * kept + (perp.price - 30000) * Decimal(
        "0.333"
    )
    assert trade.parts.fees == -(spot.fee * spot.price + perp.fee)


def test_a_price_that_both_legs_follow_is_basis_of_the_coin_that_was_not_hedged() -> None:
    history = history_at("30000", later="33000")
    result = run(history, 4)
    (trade,) = break_down(result, history, sample_rules()).trades
    spot, perp = (b.fill for b in result.fills)
    net_delta = spot.quantity - spot.fee - perp.quantity
    assert trade.parts.basis == net_delta * 3000
    assert abs(net_delta) < Decimal("0.001")


def test_a_trade_that_was_left_is_closed_and_its_dust_is_followed_apart() -> None:
    history = history_at("30000", flip=1)
    found = told(history, 4)
    (trade,) = found.trades
    assert trade.closed_at is not None
    assert trade.closed_at < START + 4 * DAY
    assert trade.spot_out is not None
    assert trade.spot_out < 30000 < (trade.perp_out or 0)
    assert found.exit_costs == 0
    assert found.dust == found.unexplained == 0


def test_what_leaving_would_cost_is_both_fees_and_both_half_spreads() -> None:
    found = told(history_at("30000"), 2)
    btc = {p.category: p for p in sample_rules() if p.symbol == "BTCUSDT"}
    per_unit = sum(p.taker_fee + p.half_spread_bps / 10_000 for p in btc.values())
    assert found.exit_costs == pytest.approx(
        per_unit * 30000 * Decimal("0.333"), rel=Decimal("1e-3")
    )


def test_all_parts_of_a_month_of_five_pairs_add_up_to_the_runs_profit() -> None:
    history = read_history()
    restless = replace(CarryPolicy(), exit_margin=Decimal("0.012"))
    result = run(history, 20, restless)
    found = break_down(result, history, sample_rules())
    assert len(found.trades) > 5
    assert found.unexplained == 0
    last = result.curve[-1]
    assert found.parts.funding == last.funding
    assert found.parts.fees == -last.fees
    assert found.parts.basis + found.parts.slippage == last.basis
    assert found.parts.slippage < 0
    by_pair = found.by_pair()
    assert {n: p.funding for n, p in by_pair.items() if p.funding} == {
        n: f for n, f in result.funding_by_pair.items() if f
    }
