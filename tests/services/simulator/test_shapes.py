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


def test_what_is_lacking_is_told() -> None:
    assert list(lacking({"a": "1", "b": [{"c": 1}]}, {"a": 1, "b": [{}]})) == [
        ".a: int, not str",
        ".b[0].c",
    ]
