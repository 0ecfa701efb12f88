"""The stated book model beside recorded books: walks by hand, bad rows by name."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from services.backtest.books_check import (
    FILE,
    RecordedBook,
    check_books,
    read_books,
    walk_cost_bps,
)
from services.carry.cli import app
from shared.domain.errors import Misconfigured
from shared.history.rules import sample_rules, venue_rule
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest

FULL = Path(__file__).parents[3] / ".." / "shared" / "data"
D = Decimal
BIDS = [(D(99), D(10)), (D(98), D(10))]
ASKS = [(D(101), D(10)), (D(102), D(10))]


def test_an_order_within_the_first_level_costs_half_the_spread() -> None:
    assert walk_cost_bps((BIDS, ASKS), D(100), 500) == 100


def test_an_order_that_walks_pays_the_mean_of_the_levels_it_takes() -> None:
    # 15 units: ten at 1, five at 2, either side: 20 / 15 of a unit on 100.
    assert walk_cost_bps((BIDS, ASKS), D(100), 1500) == pytest.approx(10_000 * 20 / 15 / 100)


def test_the_venue_of_the_back_test_walks_a_recorded_book_as_the_check_does() -> None:
    rule = venue_rule(next(r for r in sample_rules() if (r.category, r.base) == ("linear", "XRP")))
    venue = Exchange([rule], {"USDT": D(10**6)}, 0)
    bids, asks = ([(price / 100, size) for price, size in side] for side in (BIDS, ASKS))
    venue.set_mark("XRPUSDT", D(1), D(1))
    venue.set_book("linear", "XRPUSDT", bids, asks)
    venue.place(OrderRequest("linear", "XRPUSDT", "Buy", "Market", D(15)))
    assert [(e.price, e.qty) for e in venue.executions] == [(D("1.01"), D(10)), (D("1.02"), D(5))]


def test_a_size_that_the_levels_do_not_hold_has_no_cost() -> None:
    assert walk_cost_bps((BIDS, ASKS), D(100), 2100) is None


def test_a_size_that_most_books_lack_is_said_to_be_unknown() -> None:
    deep = RecordedBook("XRPUSDT", 1, [(D("0.4999"), D(10**6))], [(D("0.5000"), D(10**6))])
    thin = RecordedBook("XRPUSDT", 2, [(D("0.4999"), D(10))], [(D("0.5000"), D(10))])
    (found,) = check_books([deep, thin], sample_rules(), sizes=[10_000])
    assert (found.sizes[0].filled, found.sizes[0].books) == (1, 2)
    assert found.sizes[0].recorded_bps is None
    (found,) = check_books([deep, deep, thin], sample_rules(), sizes=[10_000])
    # Half a tick of 0.0001 on 0.49995.
    assert found.sizes[0].recorded_bps == pytest.approx(1.0001, abs=1e-4)


def rows() -> list[dict[str, Any]]:
    return [
        {
            "exchange": "bybit", "category": "linear", "symbol": "XRPUSDT", "ts": 1, "level": n,
            "bid_price": 0.5 - n / 100, "bid_size": 5.0,
            "ask_price": 0.5 + n / 100, "ask_size": 5.0,
        }
        for n in (1, 2)
    ]  # fmt: skip


def worst_first(found: list[dict[str, Any]]) -> None:
    found[0]["ask_price"], found[1]["ask_price"] = found[1]["ask_price"], found[0]["ask_price"]


def crossed(found: list[dict[str, Any]]) -> None:
    found[0]["bid_price"] = 0.6


def empty(found: list[dict[str, Any]]) -> None:
    found[1]["bid_size"] = None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (worst_first, r"orderbook_l5_bybit\.parquet: XRPUSDT at 1: the levels are out of order"),
        (crossed, r"XRPUSDT at 1: .* cross"),
        (empty, r"XRPUSDT, row 2: a price or a size is not above zero"),
    ],
)
def test_bad_books_are_refused_by_file_symbol_and_row(
    change: Callable[[list[dict[str, Any]]], None], said: str, tmp_path: Path
) -> None:
    found = rows()
    change(found)
    pq.write_table(pa.Table.from_pylist(found), tmp_path / FILE)
    done = CliRunner().invoke(app, ["data", "books", "--data", str(tmp_path)])
    assert isinstance(done.exception, Misconfigured)
    with pytest.raises(Misconfigured, match=said):
        raise done.exception


@pytest.mark.skipif(not FULL.exists(), reason="the full recorded history is not on this machine")
def test_an_order_of_a_pairs_size_costs_no_less_in_the_model_than_it_did() -> None:
    found = {one.symbol: one for one in check_books(read_books(FULL / FILE), sample_rules())}
    assert len(found) == 5
    # Quoted from the data paper: full spreads BTC 0.016, ETH 0.029, SOL 0.68, BNB 0.86, XRP 2.09.
    halves = {"BTC": 0.008, "ETH": 0.0145, "SOL": 0.34, "BNB": 0.43, "XRP": 1.045}
    for symbol, half in ((f"{coin}USDT", half) for coin, half in halves.items()):
        assert found[symbol].recorded_half_spread_bps == pytest.approx(half, rel=0.02)
        small = found[symbol].sizes[0]  # 10,000 USDT, what the policy holds of a pair
        assert small.recorded_bps is not None
        assert small.model_bps >= small.recorded_bps
