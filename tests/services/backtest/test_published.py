"""The engine against figures that others published, from the inputs they were computed from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from services.backtest.account import frictionless_books
from services.backtest.result import RunResult
from services.backtest.rule import Notional, Seen, Units, run_rule
from shared.history.records import Bar, History, Settlement, SymbolHistory
from shared.history.rules import ProductRules

PUBLISHED = Path(__file__).parents[2] / "data" / "published"
EIGHT_HOURS_MS = 8 * 3_600_000


def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(PUBLISHED / name).to_pylist()
    return found


def settled(row: Mapping[str, Any]) -> Settlement:
    return Settlement(row["funding_time"], Decimal(row["rate_str"]), row["interval_hours"])


def perp(symbol: str, *, taker_fee: str, step: str) -> ProductRules:
    return ProductRules(
        category="linear",
        symbol=symbol,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        tick=Decimal("0.01"),
        step=Decimal(step),
        min_qty=Decimal(step),
        max_qty=Decimal("1e15"),
        min_notional=Decimal(1),
        taker_fee=Decimal(taker_fee),
        maker_fee=Decimal(taker_fee),
        max_leverage=Decimal(10),
        maintenance_rate=Decimal("0.01"),
        half_spread_bps=Decimal(1),
        level_notional=Decimal(1),
        launch_ms=0,
        funding_cap=Decimal("0.03"),
    )


@dataclass(frozen=True, slots=True)
class Threshold:
    """hfchiu: flat and |rate| over 0.05 %: receive with 2.7 times the capital; out under 0.025 %."""

    symbol: str = "BTCUSDT"

    def targets(self, seen: Seen) -> Mapping[str, Units | Notional]:
        rate = seen.settlements[self.symbol][-1].rate
        if seen.positions[self.symbol]:
            close = abs(rate) < Decimal("0.00025")
            return {self.symbol: Units(Decimal(0))} if close else {}
        if abs(rate) <= Decimal("0.0005"):
            return {}
        size = seen.equity * Decimal("0.9") * 3
        return {self.symbol: Notional(-size if rate > 0 else size)}


def run_hfchiu(*, look_ahead: bool) -> RunResult:
    paid = tuple(map(settled, rows("hfchiu_funding.parquet")))
    one = Decimal(1)  # the published run knows no price
    bars = tuple(Bar(s.at_ms, one, one, one) for s in paid)
    return run_rule(
        Threshold(),
        History({"BTCUSDT": SymbolHistory("BTCUSDT", bars, paid)}),
        [perp("BTCUSDT", taker_fee="0.001", step="1e-12")],
        Decimal(10_000),
        datetime(2019, 9, 10, 8, tzinfo=UTC),
        datetime(2025, 6, 18, 9, tzinfo=UTC),
        look_ahead=look_ahead,
        books=frictionless_books,
        step_ms=EIGHT_HOURS_MS,
    )


@pytest.fixture(scope="module")
def cheating() -> RunResult:
    return run_hfchiu(look_ahead=True)


@pytest.fixture(scope="module")
def honest() -> RunResult:
    return run_hfchiu(look_ahead=False)


def micro(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.000001"))


def profitable(result: RunResult) -> int:
    return sum(trip.parts.net > 0 for trip in result.round_trips)


def test_hfchiu_with_look_ahead_gives_the_published_money(cheating: RunResult) -> None:
    assert micro(cheating.equity_end) == Decimal("18154.127911")
    assert micro(cheating.parts.funding) == Decimal("13047.602509")
    assert micro(cheating.parts.fees) == Decimal("-4893.474598")
    assert cheating.parts.basis == cheating.parts.slippage == 0


def test_hfchiu_with_look_ahead_gives_the_published_counts(cheating: RunResult) -> None:
    said = json.loads((PUBLISHED / "figures.json").read_text())
    said = said["hfchiu_btcusdt_funding_threshold"]["published"]
    own = sum(trip.own for trip in cheating.round_trips)
    assert cheating.instants == said["records"] == 6325
    assert len(cheating.fills) == said["trade_executions"] == 134
    assert len(cheating.round_trips) == said["completed_trades"] == 67
    assert profitable(cheating) == said["profitable_trades"] == 33
    assert len(cheating.settlements) == 552
    assert len(cheating.settlements) - own == said["periods_in_position"] == 485
    paying = sum(row.amount > 0 for row in cheating.settlements)
    assert paying == said["profitable_funding_periods"] == 550


def test_hfchiu_by_default_is_paid_from_the_next_settlement_on(honest: RunResult) -> None:
    assert micro(honest.equity_end) == Decimal("15968.805077")
    assert micro(honest.parts.funding) == Decimal("10523.357834")
    assert micro(honest.parts.fees) == Decimal("-4554.552757")
    assert not any(trip.own for trip in honest.round_trips)


def test_hfchiu_by_default_pays_less_often_and_wins_less_often(honest: RunResult) -> None:
    assert len(honest.fills) == 134
    assert len(honest.settlements) == 485
    assert sum(row.amount > 0 for row in honest.settlements) == 483
    assert profitable(honest) == 27


@dataclass(frozen=True, slots=True)
class Hold:
    """AHA "hold": these shorts, from the first instant to the last."""

    quantities: Mapping[str, Decimal]

    def targets(self, seen: Seen) -> Mapping[str, Units | Notional]:
        return {name: Units(-quantity) for name, quantity in self.quantities.items()}


@pytest.fixture(scope="module")
def held() -> RunResult:
    """The mark at a settlement is the perpetual's open of the bar that begins there: their rule."""
    opens = {(r["symbol"], r["open_time"]): r["open"] for r in rows("aha_perp_open.parquet")}
    paid: dict[str, list[Settlement]] = {}
    for row in rows("aha_funding.parquet"):
        paid.setdefault(row["symbol"], []).append(settled(row))
    symbols = {}
    for name, settlements in paid.items():
        prices = [Decimal(repr(opens[name, s.at_ms])) for s in settlements]
        bars = [Bar(s.at_ms, p, p, p) for s, p in zip(settlements, prices, strict=True)]
        symbols[name] = SymbolHistory(name, tuple(bars), tuple(settlements))
    quantities = {
        r["symbol"]: Decimal(repr(r["quantity"])) for r in rows("aha_hold_trades.parquet")
    }
    start = datetime(2023, 1, 1, tzinfo=UTC)
    return run_rule(
        Hold(quantities),
        History(symbols),
        [perp(name, taker_fee="0.0005", step="1e-17") for name in symbols],
        Decimal(10_000_000),
        start,
        start + timedelta(days=547, hours=1),
        books=frictionless_books,
        step_ms=EIGHT_HOURS_MS,
    )


@pytest.mark.parametrize(
    ("symbol", "funding"), [("BTCUSDT", "1193228.611131"), ("ETHUSDT", "483968.218600")]
)
def test_aha_hold_collects_the_published_funding(
    held: RunResult, symbol: str, funding: str
) -> None:
    said = json.loads((PUBLISHED / "figures.json").read_text())["aha_hold"]["funding_by_leg"]
    leg = said[f"binance:{symbol}:linear"]
    assert micro(held.by_pair[symbol].funding) == Decimal(funding)
    assert abs(held.by_pair[symbol].funding - Decimal(str(leg["funding_usd"]))) < Decimal("0.01")
    paid = [row for row in held.settlements if row.pair == symbol]
    assert len(paid) == leg["settlements"] == 1641


def test_aha_hold_is_marked_and_not_closed(held: RunResult) -> None:
    assert [(h.pair, h.perp_quantity < 0) for h in held.holdings] == [
        ("BTCUSDT", True),
        ("ETHUSDT", True),
    ]
    assert held.net == held.parts.net
