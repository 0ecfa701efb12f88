"""Two published back-tests, reproduced; the figures are theirs (tests/data/published).

The default figures of the threshold rule, without its look-ahead, are quoted from the data paper,
which recomputed them from the same file.
"""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from services.backtest.published import PublishedRun, run_rule
from shared.history.records import Settlement
from shared.venue.rules import Rule

DATA = Path(__file__).parents[2] / "data" / "published"
ENTRY, EXIT = Decimal("0.0005"), Decimal("0.00025")
HUGE = Decimal(10**12)


def rule(*, step: str, fee: str) -> Rule:
    tiny = Decimal(step)
    return Rule(
        category="linear",
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        tick=Decimal("0.00001"),
        step=tiny,
        min_qty=tiny,
        max_qty=HUGE,
        min_notional=Decimal(0),
        taker_fee=Decimal(fee),
        maker_fee=Decimal(fee),
    )


def settlements(file: str, symbol: str) -> list[Settlement]:
    rows = pq.read_table(DATA / file).to_pylist()
    return [
        Settlement(r["funding_time"], Decimal(r["rate_str"]), r["interval_hours"])
        for r in rows
        if (r["exchange"], r["symbol"]) == ("binance", symbol)
    ]


def threshold(settled: Settlement, held: Decimal, capital: Decimal) -> Decimal:
    """Receive when the rate is large, with 2.7 times the capital; leave when it is small."""
    if held == 0 and abs(settled.rate) > ENTRY:
        return (capital * Decimal("0.9") * 3).copy_sign(-settled.rate)
    if held != 0 and abs(settled.rate) < EXIT:
        return Decimal(0)
    return held


def hfchiu(*, look_ahead: bool) -> PublishedRun:
    history = settlements("hfchiu_funding.parquet", "BTCUSDT")
    assert len(history) == 6325
    flat = {s.at_ms: Decimal(1) for s in history}  # the published run has no price gains
    return run_rule(
        history,
        flat,
        threshold,
        rule(step="1e-8", fee="0.001"),
        Decimal(10_000),
        look_ahead=look_ahead,
    )


def test_the_threshold_rule_gives_the_published_figures_only_when_told_to_look_ahead() -> None:
    run = hfchiu(look_ahead=True)
    assert round(run.final, 6) == Decimal("18154.127911")
    assert round(run.funding, 6) == Decimal("13047.602509")
    assert round(run.costs, 6) == Decimal("4893.474598")
    assert (run.executions, len(run.trades)) == (134, 67)
    payments = [p for t in run.trades for p in t.funding]
    assert len(payments) - len(run.trades) == 485  # as published: without each entry's own
    assert sum(p > 0 for p in payments) == 550
    assert sum(t.net > 0 for t in run.trades) == 33


def test_the_rates_have_the_published_mean_spread_and_extremes() -> None:
    rates = [float(s.rate) for s in settlements("hfchiu_funding.parquet", "BTCUSDT")]
    assert round(float(np.mean(rates)) * 100, 4) == 0.0121
    assert round(float(np.std(rates, ddof=1)) * 100, 4) == 0.0224
    assert round(100 * sum(r > 0 for r in rates) / len(rates), 1) == 86.9
    assert sum(r > 0.0005 for r in rates) == 333
    assert sum(r < -0.0005 for r in rates) == 13


def test_the_published_annual_growth_follows_from_the_final_capital() -> None:
    run = hfchiu(look_ahead=True)
    days = 2108  # 2019-09-10 to 2025-06-18
    assert round((float(run.final / 10_000) ** (365 / days) - 1) * 100, 2) == 10.88


def test_by_default_the_threshold_rule_is_paid_from_the_next_settlement_on() -> None:
    run = hfchiu(look_ahead=False)
    assert round(run.final, 2) == Decimal("15968.81")
    assert round(run.funding, 2) == Decimal("10523.36")
    assert round(run.costs, 2) == Decimal("4554.55")


@pytest.mark.parametrize(
    ("symbol", "funding"), [("BTCUSDT", "1193228.611131"), ("ETHUSDT", "483968.218600")]
)
def test_a_held_short_collects_the_published_funding_to_the_last_digit(
    symbol: str, funding: str
) -> None:
    history = settlements("aha_funding.parquet", symbol)
    opens = {
        r["open_time"]: Decimal(repr(r["open"]))
        for r in pq.read_table(DATA / "aha_perp_open.parquet").to_pylist()
        if (r["exchange"], r["symbol"]) == ("binance", symbol)
    }
    (trade,) = [
        r
        for r in pq.read_table(DATA / "aha_hold_trades.parquet").to_pylist()
        if (r["exchange"], r["symbol"], r["market"]) == ("binance", symbol, "linear")
    ]
    quantity = Decimal(repr(trade["quantity"]))
    opened = trade["open_time"]

    def hold(settled: Settlement, held: Decimal, capital: Decimal) -> Decimal:
        return -quantity if settled.at_ms >= opened else held

    run = run_rule(history, opens, hold, rule(step="1e-16", fee="0.0005"), HUGE)
    (life,) = run.trades
    assert len(life.funding) == 1641
    assert round(run.funding, 6) == Decimal(funding)
