"""REST as Bybit speaks it: envelopes, signatures, limits, paging, and never the future."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.simulator.main import Simulator
from tests.services.simulator.builders import (
    HOUR_MS,
    START_MS,
    Client,
    serving,
    settings,
    state,
    told,
)


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with serving(settings(tmp_path, speed=Decimal(100_000))) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    async with Client(simulator) as opened:
        yield opened


async def until_venue(simulator: Simulator, at_ms: int) -> dict[str, Any]:
    """Let venue time run to ``at_ms`` or a little later, stop it there, and return the state."""
    await told(simulator, "start")
    while (await state(simulator))["venue_ms"] < at_ms:  # noqa: ASYNC110 - time is what it waits for
        await asyncio.sleep(0.002)
    return await told(simulator, "freeze")


@pytest.mark.parametrize(
    ("signing", "code"),
    [
        ({}, 0),
        ({"key": "other"}, 10003),
        ({"secret": "other"}, 10004),
        ({"late_ms": 5_200}, 10002),
        ({"late_ms": 5_200, "window": 10_000}, 0),
        ({"late_ms": -1_200, "window": 60_000}, 10002),
        ({"late_ms": -700}, 0),
    ],
)
@pytest.mark.fact("RELIABILITY 1.3: server - window <= timestamp < server + 1000 ms, wall")
async def test_a_request_needs_the_key_its_signature_and_the_wall_clock(
    client: Client, signing: dict[str, Any], code: int
) -> None:
    answer = await client.get("account/info", **signing)
    assert answer["retCode"] == code
    assert abs(answer["time"] - time.time() * 1000) < 1_000


@pytest.mark.fact("bybit-v5 2.3: the signed string is what is on the wire")
async def test_the_signature_covers_the_raw_query_however_it_is_ordered_or_escaped(
    client: Client,
) -> None:
    for query in (
        "symbol=BTCUSDT&category=linear",
        "category=linear&symbol=BTC%55SDT",
        "category=linear&symbol=BTCUSDT&",
    ):
        assert (await client.get("position/list", query))["retCode"] == 0


@pytest.mark.fact("bybit-v5 16.1: an unknown path is 404, an unknown category 10001")
async def test_unknown_paths_and_methods_are_404_and_unknown_products_are_refused(
    client: Client,
) -> None:
    for method, path in (
        ("GET", "market/nothing"),
        ("POST", "market/time"),
        ("GET", "order/create"),
    ):
        assert (await client.http.request(method, f"/v5/{path}")).status_code == 404
    assert (await client.get("market/tickers", "category=guess"))["retCode"] == 10001
    assert (await client.get("market/tickers", "category=spot&symbol=X"))["retCode"] == 170121


@pytest.mark.fact("bybit-v5 12: 10006 and X-Bapi-Limit headers")
async def test_more_requests_than_the_limit_are_refused_and_the_headers_say_so(
    client: Client,
) -> None:
    answers = [await client.get("account/fee-rate", "category=linear") for _ in range(6)]
    assert [answer["retCode"] for answer in answers] == [0, 0, 0, 0, 0, 10006]
    assert client.headers["X-Bapi-Limit"] == "5"
    assert client.headers["X-Bapi-Limit-Status"] == "0"
    assert int(client.headers["X-Bapi-Limit-Reset-Timestamp"]) > answers[-1]["time"]
    assert (await client.get("account/info"))["retCode"] == 0


async def test_prices_and_rates_stand_still_until_released_and_never_tell_the_future(
    client: Client, simulator: Simulator
) -> None:
    book = await client.get("market/orderbook", "category=linear&symbol=BTCUSDT")
    assert book["result"]["ts"] == START_MS
    for end in ("", f"&endTime={START_MS + 100 * HOUR_MS}"):
        query = f"category=linear&symbol=BTCUSDT&limit=1{end}"
        rates = (await client.get("market/funding/history", query))["result"]["list"]
        assert rates[0]["fundingRateTimestamp"] == str(START_MS)
    query = f"category=linear&symbol=BTCUSDT&interval=60&end={START_MS + 100 * HOUR_MS}&limit=2"
    for path in ("market/kline", "market/mark-price-kline"):
        bars = (await client.get(path, query))["result"]["list"]
        assert [bar[0] for bar in bars] == [str(START_MS - HOUR_MS), str(START_MS - 2 * HOUR_MS)]
    shown = await until_venue(simulator, START_MS + 9 * HOUR_MS)
    rates = (await client.get("market/funding/history", "category=linear&symbol=BTCUSDT"))["result"]
    assert rates["list"][0]["fundingRateTimestamp"] == str(START_MS + 8 * HOUR_MS)
    assert len(rates["list"]) == 200
    assert shown["frozen"]
    await asyncio.sleep(0.1)
    assert (await state(simulator))["venue_ms"] == shown["venue_ms"]


@pytest.mark.fact("bybit-v5 3.4: startTime alone is an error")
async def test_funding_history_takes_an_end_alone_but_not_a_start_alone(client: Client) -> None:
    query = "category=linear&symbol=BTCUSDT"
    path = "market/funding/history"
    assert (await client.get(path, f"{query}&startTime={START_MS}"))["retCode"] == 10001
    both = f"{query}&startTime={START_MS - 8 * HOUR_MS}&endTime={START_MS - 1}"
    rows = (await client.get(path, both))["result"]["list"]
    assert [row["fundingRateTimestamp"] for row in rows] == [str(START_MS - 8 * HOUR_MS)]


@pytest.mark.fact("bybit-v5 3.1: spot ignores limit and cursor")
async def test_linear_instruments_page_by_cursor_and_spot_answers_whole(client: Client) -> None:
    first = (await client.get("market/instruments-info", "category=linear&limit=1"))["result"]
    query = f"category=linear&limit=1&cursor={first['nextPageCursor']}"
    second = (await client.get("market/instruments-info", query))["result"]
    assert [page["list"][0]["symbol"] for page in (first, second)] == ["BTCUSDT", "ETHUSDT"]
    assert second["nextPageCursor"] == ""
    assert first["list"][0]["fundingInterval"] == 480
    spot = (await client.get("market/instruments-info", "category=spot&limit=1"))["result"]
    assert len(spot["list"]) == 2
    assert spot["list"][0]["lotSizeFilter"]["minOrderAmt"] == "5"


async def test_an_order_is_found_by_either_id_and_its_fill_by_its_order(client: Client) -> None:
    made = (await client.order("spot", "Buy", "0.1", "45000", orderLinkId="mine"))["result"]
    for query in ("orderLinkId=mine", f"orderId={made['orderId']}"):
        for path in ("order/realtime", "order/history"):
            (row,) = (await client.get(path, f"category=spot&{query}"))["result"]["list"]
            assert (row["orderStatus"], row["cumExecQty"]) == ("Filled", "0.1")
            assert row["cumFeeDetail"] == {"BTC": "0.0001"}
        (fill,) = (await client.get("execution/list", f"category=spot&{query}"))["result"]["list"]
        assert fill["orderLinkId"] == "mine"
        assert fill["execTime"] == str(START_MS)
    none = await client.get("order/realtime", "category=linear&orderLinkId=mine")
    assert none["result"]["list"] == []
    closed = await client.get("order/realtime", "category=spot&openOnly=1")
    assert len(closed["result"]["list"]) == 1
    assert (await client.get("order/realtime", "category=spot"))["result"]["list"] == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"positionIdx": 1}, 10001),
        ({"isLeverage": 1}, 170344),
        ({"triggerPrice": "1"}, 10001),
        ({"orderLinkId": "no spaces"}, 10001),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"qty": "many"}, 10001),
        ({"qty": "0.0001", "price": "100"}, 170140),
        ({"qty": "3", "price": "40000"}, 170131),
    ],
)
async def test_what_is_not_offered_or_not_affordable_is_refused_and_books_nothing(
    client: Client, simulator: Simulator, more: dict[str, Any], code: int
) -> None:
    asked = {"qty": "0.1", "price": "45000"} | more
    assert (await client.order("spot", "Buy", **asked))["retCode"] == code
    assert (await state(simulator))["counts"]["orders"] == 0


async def test_a_market_buy_of_spot_is_in_quote_units_unless_told_otherwise(client: Client) -> None:
    market = {"orderType": "Market", "timeInForce": "GTC"}
    await client.order("spot", "Buy", "1000", "", **market, orderLinkId="by-value")
    await client.order("spot", "Buy", "0.01", "", **market, marketUnit="baseCoin", orderLinkId="q")
    rows = (await client.get("execution/list", "category=spot"))["result"]["list"]
    assert rows[0]["execQty"] == "0.01"
    assert Decimal(990) < Decimal(rows[1]["execValue"]) <= Decimal(1000)


async def test_resting_orders_are_listed_amended_and_cancelled(client: Client) -> None:
    for number in range(3):
        await client.order("spot", "Buy", "0.01", f"{20000 + number}", timeInForce="GTC")
    first = (await client.get("order/realtime", "category=spot&limit=2"))["result"]
    cursor = f"category=spot&limit=2&cursor={first['nextPageCursor']}"
    second = (await client.get("order/realtime", cursor))["result"]
    prices = [row["price"] for page in (first, second) for row in page["list"]]
    assert prices == ["20002", "20001", "20000"]
    assert second["nextPageCursor"] == ""
    chosen = {
        "category": "spot",
        "symbol": "BTCUSDT",
        "orderId": first["list"][0]["orderId"],
    }
    assert (await client.post("order/amend", {**chosen, "price": "20010"}))["retCode"] == 0
    assert (await client.post("order/cancel", chosen))["retCode"] == 0
    assert (await client.post("order/cancel", chosen))["retCode"] == 170213
    rest = await client.post("order/cancel-all", {"category": "spot"})
    assert (len(rest["result"]["list"]), rest["result"]["success"]) == (2, "1")
    balance = (await client.get("account/wallet-balance", "accountType=UNIFIED"))["result"]
    (coin,) = balance["list"][0]["coin"]
    assert (coin["walletBalance"], coin["locked"]) == ("100000", "0")


@pytest.mark.fact("bybit-v5 2.4: pages by cursor, newest first")
async def test_the_log_pages_newest_first_by_filters_and_each_balance_follows_the_last(
    client: Client,
) -> None:
    for number in range(4):
        await client.order("spot", "Buy", "0.01", "45000", orderLinkId=f"n{number}")
    query, rows = "accountType=UNIFIED&currency=USDT&limit=2", []
    cursor = ""
    for _ in range(5):
        page = (await client.get("account/transaction-log", f"{query}{cursor}"))["result"]
        rows += page["list"]
        if not page["nextPageCursor"]:
            break
        cursor = f"&cursor={page['nextPageCursor']}"
    assert [row["type"] for row in rows] == [*["TRADE"] * 4, "TRANSFER_IN"]
    assert [row["orderLinkId"] for row in rows[:4]] == ["n3", "n2", "n1", "n0"]
    for newer, older in itertools.pairwise(rows):
        change = Decimal(newer["cashBalance"]) - Decimal(older["cashBalance"])
        assert change == Decimal(newer["change"])
    wide = f"startTime={START_MS}&endTime={START_MS + 8 * 24 * HOUR_MS}"
    assert (await client.get("account/transaction-log", wide))["retCode"] == 181010
    btc = await client.get("account/transaction-log", "currency=BTC&type=TRADE")
    assert len(btc["result"]["list"]) == 4


@pytest.mark.fact("bybit-v5 5.5: lpaSpot and lpaPerp have opposite senses")
async def test_the_accounts_settings_read_back_as_they_were_set(client: Client) -> None:
    before = (await client.get("account/user-setting-config"))["result"]
    assert (before["lpaSpot"], before["lpaPerp"], before["deltaEnable"]) == (False, False, False)
    body = {"category": "linear", "modifyEnable": False}
    assert (await client.post("account/set-limit-px-action", body))["retCode"] == 0
    assert (await client.post("account/set-delta-mode", {"deltaEnable": "1"}))["retCode"] == 0
    after = (await client.get("account/user-setting-config"))["result"]
    assert (after["lpaSpot"], after["lpaPerp"], after["deltaEnable"]) == (False, True, True)
    mode = await client.post("position/switch-mode", {"category": "linear", "mode": 0})
    assert mode["retCode"] == 110025
    leverage = {"category": "linear", "symbol": "BTCUSDT", "buyLeverage": "5", "sellLeverage": "5"}
    assert (await client.post("position/set-leverage", leverage))["retCode"] == 0
    assert (await client.post("position/set-leverage", leverage))["retCode"] == 110043


@pytest.mark.fact("bybit-v5 11.1: query-api tells what a key may do")
async def test_a_key_may_trade_and_never_withdraw(client: Client) -> None:
    shown = (await client.get("user/query-api"))["result"]
    assert shown["permissions"]["Wallet"] == []
    assert shown["permissions"]["ContractTrade"] == ["Order", "Position"]
    assert (shown["readOnly"], shown["uta"]) == (0, 1)


async def test_only_this_machine_or_the_token_may_move_venue_time(tmp_path: Path) -> None:
    given = settings(tmp_path, admin_token="right")
    async with serving(given) as simulator:
        app = simulator.server.config.app
        transport = httpx.ASGITransport(app, client=("10.0.0.7", 4711))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://venue") as stranger:
            for token, status in (("", 403), ("wrong", 403), ("right", 200)):
                headers = {"Authorization": f"Bearer {token}"}
                for method, path in (("POST", "start"), ("GET", "state"), ("POST", "freeze")):
                    answer = await stranger.request(method, f"/sim/{path}", headers=headers)
                    assert answer.status_code == status


async def test_probes_and_figures_are_on_the_same_port(client: Client) -> None:
    await client.order("spot", "Buy", "0.01", "45000")
    assert (await client.http.get("/healthz")).json()["status"] == "alive"
    assert (await client.http.get("/readyz")).status_code == 200
    figures = (await client.http.get("/metrics")).text
    assert 'carry_simulator_executions_total{exec_type="Trade"} 1.0' in figures
