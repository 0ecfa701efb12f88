"""Every answer has the keys and JSON types of the venue's own examples; more may be there."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.services.simulator.builders import Client, serving, settings

EXAMPLES = Path(__file__).parents[2] / "data" / "fixtures"

OTHERWISE = {
    # What an example has that its own reference page calls absent, dead, or of another product.
    "ocoTriggerBy", "preSettlement", "smpOrderId",
}  # fmt: skip

READS = [
    ("bybit-docs/account/account-info", "account/info", ""),
    ("bybit-docs/account/collateral-info", "account/collateral-info", "currency=BTC"),
    ("bybit-docs/account/wallet-balance", "account/wallet-balance", "accountType=UNIFIED"),
    ("bybit-docs/account/transaction-log", "account/transaction-log", "category=linear"),
    ("bybit-docs/market/history-fund-rate", "market/funding/history", "category=linear&symbol=BTCUSDT"),
    ("bybit-docs/market/index-kline", "market/index-price-kline", "symbol=BTCUSDT&interval=60"),
    ("bybit-docs/market/kline", "market/kline", "category=linear&symbol=BTCUSDT&interval=60"),
    ("bybit-docs/market/premium-index-kline", "market/premium-index-price-kline", "symbol=BTCUSDT&interval=60"),
    ("bybit-docs/market/instrument.linear.official-usdt-perpetual-instrument-structure",
     "market/instruments-info", "category=linear"),
    ("bybit-docs/market/order-price-limit", "market/price-limit", "symbol=BTCUSDT"),
    ("bybit-docs/market/orderbook", "market/orderbook", "category=linear&symbol=BTCUSDT"),
    ("bybit-docs/market/time", "market/time", ""),
    ("bybit-docs/spot-margin/tier-collateral-ratio", "spot-margin-trade/collateral", "currency=BTC"),
    ("bybit-docs/account/instrument.spot", "account/instruments-info", "category=spot"),
    ("bybit-docs/order/execution", "execution/list", "category=linear"),
    ("bybit-docs/order/open-order", "order/realtime", "category=linear&symbol=BTCUSDT"),
    ("bybit-nautilus/order/http_get_orders_history.json", "order/history", "category=linear"),
    ("bybit-docs/position/position", "position/list", "category=linear&symbol=BTCUSDT"),
    ("bybit-docs/user/apikey-info", "user/query-api", ""),
]  # fmt: skip


def example(name: str) -> Any:
    file = name if name.endswith(".json") else f"{name}.response.json"
    return json.loads((EXAMPLES / file).read_text())


def lacking(theirs: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Yield every key of ``theirs`` that ``ours`` lacks or has with another JSON type."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            yield f"{where}: no object"
            return
        for key, value in theirs.items():
            if key not in OTHERWISE:
                if key not in ours:
                    yield f"{where}.{key}"
                else:
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


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
