"""Every answer has the keys and JSON types of the venue's own examples; more may be there."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.services.simulator.builders import Client, serving, settings

EXAMPLES = Path(__file__).parents[2] / "data" / "fixtures"

BY_COIN = {"cumFeeDetail"}
"""Objects whose keys are data."""

DOCS = "bybit-docs"
BTC = "symbol=BTCUSDT"
HOURLY = f"{BTC}&interval=60"

READS = [
    (f"{DOCS}/account/account-info", "account/info", ""),
    (f"{DOCS}/account/collateral-info", "account/collateral-info", "currency=BTC"),
    (f"{DOCS}/account/wallet-balance", "account/wallet-balance", "accountType=UNIFIED"),
    (f"{DOCS}/account/transaction-log", "account/transaction-log", "category=linear"),
    (f"{DOCS}/account/instrument.spot", "account/instruments-info", "category=spot"),
    (f"{DOCS}/market/history-fund-rate", "market/funding/history", f"category=linear&{BTC}"),
    (f"{DOCS}/market/index-kline", "market/index-price-kline", HOURLY),
    (f"{DOCS}/market/kline", "market/kline", HOURLY),
    (f"{DOCS}/market/premium-index-kline", "market/premium-index-price-kline", HOURLY),
    (f"{DOCS}/market/instrument.linear.official-usdt-perpetual-instrument-structure",
     "market/instruments-info", "category=linear"),
    (f"{DOCS}/market/order-price-limit", "market/price-limit", BTC),
    (f"{DOCS}/market/orderbook", "market/orderbook", f"category=linear&{BTC}"),
    (f"{DOCS}/market/time", "market/time", ""),
    (f"{DOCS}/spot-margin/tier-collateral-ratio", "spot-margin-trade/collateral", "currency=BTC"),
    (f"{DOCS}/order/execution", "execution/list", "category=linear"),
    (f"{DOCS}/order/open-order", "order/realtime", f"category=linear&{BTC}"),
    (f"{DOCS}/order/open-order", "order/history", "category=linear"),
    (f"{DOCS}/position/position", "position/list", f"category=linear&{BTC}"),
    (f"{DOCS}/user/apikey-info", "user/query-api", ""),
    (f"{DOCS}/position/batch-lvg", "position/symbol-info", f"category=linear&{BTC}"),
    (f"{DOCS}/market/adl-alert", "market/adlAlert", ""),
    (f"{DOCS}/market/rpi-orderbook", "market/rpi_orderbook", f"{BTC}&limit=5"),
    (f"{DOCS}/asset/coin-info", "asset/coin/query-info", "coin=BTC"),
    (f"{DOCS}/spot-margin/currency-data", "spot-margin-trade/currency-data", "currency=BTC"),
    (f"{DOCS}/spot-margin/liability", "spot-margin-trade/liability", "currency=BTC"),
    (f"{DOCS}/spot-margin/max-borrowable", "spot-margin-trade/max-borrowable", "currency=BTC"),
    (f"{DOCS}/spot-margin/flexible-available-inventory",
     "spot-margin-trade/flexible-available-inventory", "currency=BTC"),
    (f"{DOCS}/spot-margin/repayment-available-amount",
     "spot-margin-trade/repayment-available-amount", "currency=BTC"),
]  # fmt: skip


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.response.json").read_text())


def lacking(theirs: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Yield every key of ``theirs`` that ``ours`` lacks or has with another JSON type."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            yield f"{where}: no object"
            return
        for key, value in theirs.items():
            if key not in ours:
                yield f"{where}.{key}"
            elif key not in BY_COIN:
                yield from lacking(value, ours[key], f"{where}.{key}")
    elif isinstance(theirs, list):
        if not isinstance(ours, list):
            yield f"{where}: no list"
        elif theirs and ours:
            yield from lacking(theirs[0], ours[0], f"{where}[0]")
    elif theirs is not None and ours is not None and type(theirs) is not type(ours):
        yield f"{where}: {type(ours).__name__}, not {type(theirs).__name__}"


@asynccontextmanager
async def busy(folder: Path) -> AsyncIterator[Client]:
    """A venue with a pair, an order that rests, and one that was cancelled."""
    async with serving(settings(folder)) as simulator, Client(simulator) as client:
        await client.order("spot", "Buy", "0.1", "38000")
        await client.order("linear", "Sell", "0.1", "36500")
        await client.order("linear", "Buy", "0.1", "20000", timeInForce="GTC")
        await client.order("linear", "Buy", "0.1", "20000")
        yield client


@pytest.mark.parametrize(("name", "path", "query"), READS)
async def test_an_answer_lacks_nothing_of_the_venues_example(
    tmp_path: Path, name: str, path: str, query: str
) -> None:
    async with busy(tmp_path) as client:
        ours = await client.get(path, query)
    assert ours["retCode"] == 0
    theirs = example(name)["result"]
    assert list(lacking(theirs, ours["result"])) == []
    rows = ours["result"].get("list")
    assert rows is None or rows, "there is nothing to compare with"


EMPTY = [
    ("market/long-short-ratio", "market/account-ratio", f"category=linear&{BTC}&period=1h"),
    ("market/delivery-price", "market/delivery-price", "category=linear"),
    ("market/insurance", "market/insurance", ""),
    ("spread/instrument", "spread/instrument", ""),
    ("spread/open-order", "spread/order/realtime", ""),
    ("spread/order-history", "spread/order/history", ""),
    ("spot-margin/historical-interest", "spot-margin-trade/interest-rate-history", "currency=BTC"),
]


@pytest.mark.parametrize(("name", "path", "query"), EMPTY)
async def test_what_is_not_recorded_is_an_empty_list_in_the_venues_shape(
    tmp_path: Path, name: str, path: str, query: str
) -> None:
    async with serving(settings(tmp_path)) as simulator, Client(simulator) as client:
        ours = await client.get(path, query)
    assert (ours["retCode"], ours["result"]["list"]) == (0, [])
    assert list(lacking(example(f"{DOCS}/{name}")["result"], ours["result"])) == []


def test_what_is_lacking_is_told() -> None:
    assert list(lacking({"a": "1", "b": [{"c": 1}]}, {"a": 1, "b": [{}]})) == [
        ".a: int, not str",
        ".b[0].c",
    ]
