"""What the reference says of the venue beyond single orders: named facts, each held by a test."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import connect

from services.simulator.auth import ADDRESS_REQUESTS, AddressLimits
from services.simulator.main import Simulator
from services.simulator.public import PublicApi
from services.simulator.query import Query
from services.simulator.trading import TradingApi
from shared.runtime.clock import SystemClock
from shared.venue.enforcement import deleverage, deliver
from shared.venue.records import OrderRequest
from tests.services.simulator.builders import (
    KEY,
    Client,
    HandClock,
    serving,
    settings,
    signature,
    wired,
)

D = Decimal
DAY_MS = 86_400_000
HOURLY = "symbol=BTCUSDT&interval=60"


def far_ioc(
    link_id: str,
    symbol: str = "BTCUSDT",
    price: str = "20000",
    time_in_force: str = "IOC",
    qty: str = "0.001",
) -> OrderRequest:
    """A purchase that meets nothing, unless ``price`` reaches the market."""
    return OrderRequest("linear", symbol, "Buy", "Limit", D(qty), D(price), time_in_force, link_id)


def api(simulator: Simulator) -> TradingApi:
    return TradingApi(simulator.desk, Random(0).sample)


async def answer(
    ask: Callable[[Query], Awaitable[dict[str, Any]]], **fields: str
) -> dict[str, Any]:
    return await ask(Query(fields))


async def listed(ask: Callable[[Query], Awaitable[dict[str, Any]]], **fields: str) -> list[str]:
    said = await answer(ask, category="linear", **fields)
    return [row["orderLinkId"] for row in said["list"]]


def limit_order(link_id: str, **changes: str) -> dict[str, Any]:
    """An order that rests far below the market."""
    return {
        "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
        "timeInForce": "GTC", "qty": "0.001", "price": "20000", "orderLinkId": link_id, **changes,
    }  # fmt: skip


@asynccontextmanager
async def trading(folder: Path) -> AsyncIterator[tuple[Simulator, Client]]:
    async with serving(settings(folder)) as simulator, Client(simulator) as client:
        yield simulator, client


@pytest.mark.fact("RELIABILITY 1.3: an acknowledgement means accepted, and tells ids alone")
async def test_an_acknowledgement_tells_nothing_of_the_outcome(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        filled = await client.order("linear", "Sell", "0.1", "36500", orderLinkId="one")
        empty = await client.order("linear", "Sell", "0.1", "99000", orderLinkId="two")
    assert [set(said["result"]) for said in (filled, empty)] == [{"orderId", "orderLinkId"}] * 2
    assert [said["retCode"] for said in (filled, empty)] == [0, 0]


@pytest.mark.fact("bybit-v5 2.1, 16.3: an order is accepted first and matched later")
async def test_an_order_is_new_until_it_is_matched(tmp_path: Path) -> None:
    given = settings(tmp_path, accept_ms=100)
    async with serving(given) as simulator, Client(simulator) as client:
        for link_id in ("meant", "regretted"):
            said = await client.order("linear", "Sell", "0.1", "36500", orderLinkId=link_id)
            assert said["retCode"] == 0
        assert {o.status for o in simulator.desk.exchange.orders} == {"New"}
        body = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "regretted"}
        assert (await client.post("order/cancel", body))["retCode"] == 0
        async with asyncio.timeout(5):
            while simulator.desk.exchange.waiting:  # noqa: ASYNC110 - the venue tells no test
                await asyncio.sleep(0.02)
        statuses = {o.link_id: o.status for o in simulator.desk.exchange.orders}
        assert statuses == {"meant": "Filled", "regretted": "Cancelled"}
        assert len(simulator.desk.exchange.executions) == 1


async def test_what_was_accepted_before_a_crash_is_matched_after_it(tmp_path: Path) -> None:
    given = settings(tmp_path, accept_ms=60_000)
    async with wired(given, SystemClock()) as simulator:
        order = await simulator.desk.submit(far_ioc("ours", price="38000"))
        assert order.status == "New"
        assert simulator.desk.exchange.executions == []
    async with wired(given, SystemClock()) as simulator:
        (again,) = simulator.desk.exchange.orders
        assert (again.order_id, again.status) == (order.order_id, "Filled")
        assert not simulator.desk.exchange.waiting


@pytest.mark.fact("bybit-v5 5.1: a batch answers 0 and tells each item's code in retExtInfo")
async def test_a_batch_is_not_atomic(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        items = [limit_order("a"), limit_order("b", qty="0.0000001"), limit_order("c")]
        said = await client.post("order/create-batch", {"category": "linear", "request": items})
        assert said["retCode"] == 0
        assert [row["code"] for row in said["retExtInfo"]["list"]] == [0, 110017, 0]
        assert [bool(row["orderId"]) for row in said["result"]["list"]] == [True, False, True]
        asked = [{"symbol": "BTCUSDT", "orderLinkId": name} for name in ("a", "b", "c")]
        gone = await client.post("order/cancel-batch", {"category": "linear", "request": asked})
        assert [row["code"] for row in gone["retExtInfo"]["list"]] == [0, 110001, 0]


@pytest.mark.fact(
    "bybit-v5 12: of a batch each order counts; what overflows fails, the rest stands"
)
async def test_the_part_of_a_batch_beyond_the_limit_fails(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        items = [limit_order(f"n{n}") for n in range(12)]
        said = await client.post("order/create-batch", {"category": "linear", "request": items})
        codes = [row["code"] for row in said["retExtInfo"]["list"]]
        assert codes == [0] * 10 + [10006] * 2
        single = await client.post("order/create", limit_order("single"))
        assert single["retCode"] == 0  # a budget of its own


@pytest.mark.fact("bybit-v5 5.1: 20 linear or 10 spot requests in a batch")
@pytest.mark.parametrize(("category", "most"), [("linear", 20), ("spot", 10)])
async def test_a_batch_that_is_too_long_is_refused_whole(
    tmp_path: Path, category: str, most: int
) -> None:
    async with trading(tmp_path) as (_, client):
        items = [limit_order(f"n{n}") for n in range(most + 1)]
        said = await client.post("order/create-batch", {"category": category, "request": items})
        assert said["retCode"] == 10001


@pytest.mark.fact("RELIABILITY 1.3: realtime remembers 500 closed orders")
@pytest.mark.fact("RELIABILITY 1.3: a restart clears what realtime remembers")
async def test_realtime_forgets_closed_orders_beyond_500_and_at_a_restart(tmp_path: Path) -> None:
    async with wired(settings(tmp_path), HandClock()) as simulator:
        for number in range(501):
            await simulator.desk.act(lambda e, n=number: e.place(far_ioc(f"n{n}")))  # type: ignore[misc]
        asked = api(simulator)
        assert await listed(asked.realtime, orderLinkId="n0") == []
        assert await listed(asked.realtime, orderLinkId="n1") == ["n1"]
        assert await listed(asked.history, orderLinkId="n0") == ["n0"]
    async with wired(settings(tmp_path), HandClock()) as simulator:
        assert await listed(api(simulator).realtime, orderLinkId="n500") == []
        assert await listed(api(simulator).history, orderLinkId="n500") == ["n500"]


@pytest.mark.fact("RELIABILITY 1.3: unfilled cancelled orders are in the history for 24 hours")
async def test_the_history_forgets_an_unfilled_order_after_a_day_of_wall_time(
    tmp_path: Path,
) -> None:
    wall = HandClock()
    async with wired(settings(tmp_path), wall) as simulator:
        asked = api(simulator)
        await simulator.desk.act(lambda e: e.place(far_ioc("empty")))
        await simulator.desk.act(lambda e: e.place(far_ioc("filled", price="38000")))
        wall.seconds += DAY_MS / 1000 - 1
        assert await listed(asked.history, orderLinkId="empty") == ["empty"]
        wall.seconds += 1
        assert await listed(asked.history, orderLinkId="empty") == []
        assert await listed(asked.history, orderLinkId="filled") == ["filled"]


@pytest.mark.fact("bybit-v5 12: more than 600 requests in 5 s from an address: 403 for ten minutes")
def test_an_address_that_asks_too_often_is_banned() -> None:
    limits = AddressLimits(ban_seconds=600)
    assert all(limits.admit("a", 1_000) for _ in range(ADDRESS_REQUESTS))
    assert not limits.admit("a", 5_999)
    assert limits.admit("b", 5_999)
    assert not limits.admit("a", 5_999 + 599_999)
    assert limits.admit("a", 5_999 + 600_000)
    assert all(limits.admit("c", 1_000 + n * 9) for n in range(5_000))  # 556 in five seconds


async def test_a_ban_is_http_403_on_every_path(tmp_path: Path) -> None:
    async with trading(tmp_path) as (simulator, client):
        url = f"http://{simulator.address}/v5/market/time"
        for _ in range(ADDRESS_REQUESTS):
            await client.http.get(url)
        assert (await client.http.get(url)).status_code == 403
        assert (await client.http.get(f"http://{simulator.address}/healthz")).status_code == 200


@pytest.mark.fact("RELIABILITY 1.3: cancel-all on futures picks 500 at random of more")
async def test_cancel_all_takes_500_of_more(tmp_path: Path) -> None:
    async with wired(settings(tmp_path), HandClock()) as simulator:
        for symbol, count in (("BTCUSDT", 400), ("ETHUSDT", 200)):
            for number in range(count):
                price = "20000" if symbol == "BTCUSDT" else "1000"
                resting = far_ioc(f"{symbol}{number}", symbol, price, "GTC", "0.01")
                await simulator.desk.act(lambda e, r=resting: e.place(r))  # type: ignore[misc]
        said = await answer(api(simulator).cancel_all, category="linear", settleCoin="USDT")
        assert len(said["list"]) == 500
        left = {order.symbol for order in simulator.desk.exchange.open_orders}
        assert len(simulator.desk.exchange.open_orders) == 100
        assert left == {"BTCUSDT", "ETHUSDT"}
        said = await answer(api(simulator).cancel_all, category="linear", settleCoin="USDT")
        assert len(said["list"]) == 100


@pytest.mark.fact("bybit-v5 7.1: USDT and USDC cannot be switched off as collateral")
async def test_collateral_is_switched_by_coin_and_shows(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        await client.order("spot", "Buy", "0.1", "38000")
        before = await client.get("account/wallet-balance", "accountType=UNIFIED")
        body = {"coin": "BTC", "collateralSwitch": "OFF"}
        assert (await client.post("account/set-collateral-switch", body))["retCode"] == 0
        after = await client.get("account/wallet-balance", "accountType=UNIFIED")
        margins = [D(said["result"]["list"][0]["totalMarginBalance"]) for said in (before, after)]
        assert margins[0] - margins[1] > 3_000  # nine tenths of a tenth of a bitcoin
        shown = await client.get("account/collateral-info", "currency=BTC")
        assert shown["result"]["list"][0]["collateralSwitch"] is False
        body = {"coin": "USDT", "collateralSwitch": "OFF"}
        assert (await client.post("account/set-collateral-switch", body))["retCode"] == 10001
        both = {"request": [{"coin": "BTC", "collateralSwitch": "ON"}]}
        said = await client.post("account/set-collateral-switch-batch", both)
        assert said["result"]["list"] == both["request"]


@pytest.mark.fact("bybit-v5 8.1: borrowing without the margin switch is refused by its code")
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("account/borrow", 176008),
        ("account/no-convert-repay", 176008),
        ("spot-margin-trade/switch-mode", 176002),
        ("spread/order/create", 10029),
        ("order/disconnected-cancel-all", 10005),
        ("account/set-hedging-mode", 140001),
        ("spot-margin-trade/set-auto-repay-mode", 176008),
        ("position/add-margin", 110076),
        ("asset/transfer/inter-transfer", 10005),
    ],
)
async def test_what_is_not_enabled_says_so(tmp_path: Path, path: str, code: int) -> None:
    async with trading(tmp_path) as (_, client):
        assert (await client.post(path, {"coin": "BTC", "amount": "1"}))["retCode"] == code


@pytest.mark.fact("bybit-v5 9: combinations are not enabled, in public and in private reads")
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("spread/orderbook", 10029),
        ("spread/tickers", 10029),
        ("spread/recent-trade", 10029),
        ("spread/max-qty", 10029),
        ("asset/portfolio-margin", 110077),
    ],
)
async def test_what_is_not_enabled_cannot_be_read(tmp_path: Path, path: str, code: int) -> None:
    async with trading(tmp_path) as (_, client):
        assert (await client.get(path, "symbol=SOLUSDT_SOL/USDT"))["retCode"] == code


@pytest.mark.fact("bybit-v5 8.1: what the account can trade without a loan is what it owns")
async def test_a_borrow_check_tells_the_balance_and_no_loan(tmp_path: Path) -> None:
    async with trading(tmp_path) as (simulator, client):
        bids, asks = [(D(36_000), D(1))], [(D(40_000), D(1))]
        await simulator.desk.act(lambda e: e.set_book("spot", "BTCUSDT", bids, asks))
        query = "category=spot&symbol=BTCUSDT&side=Buy"
        said = (await client.get("order/spot-borrow-check", query))["result"]
        assert said == {
            "symbol": "BTCUSDT", "side": "Buy", "borrowCoin": "USDT",
            "maxTradeQty": "2.5", "maxTradeAmount": "100000",
            "spotMaxTradeQty": "2.5", "spotMaxTradeAmount": "100000",
        }  # fmt: skip
        query = "category=spot&symbol=BTCUSDT&side=Sell"
        assert (await client.get("order/spot-borrow-check", query))["result"]["maxTradeQty"] == "0"
        query = "accountType=UNIFIED&coin=USDT"
        said = await client.get("asset/transfer/query-account-coin-balance", query)
        assert said["result"]["balance"]["walletBalance"] == "100000"


@pytest.mark.fact("bybit-v5 6: positions come in pages of 20, up to 200, by cursor")
async def test_positions_page_by_cursor(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            order = {"symbol": symbol, "orderType": "Market", "timeInForce": "IOC"}
            assert (await client.order("linear", "Buy", "0.1", "", **order))["retCode"] == 0
        names, cursor = [], ""
        for _ in range(2):
            query = f"category=linear&settleCoin=USDT&limit=1&cursor={cursor}"
            said = (await client.get("position/list", query))["result"]
            names += [row["symbol"] for row in said["list"]]
            cursor = said["nextPageCursor"]
        assert (names, cursor) == (["BTCUSDT", "ETHUSDT"], "")


@pytest.mark.fact("bybit-v5 6, 13: the position mode is held by positions and orders")
async def test_what_keeps_the_position_mode_has_its_code(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):

        async def code(mode: int) -> int:
            body = {"category": "linear", "symbol": "BTCUSDT", "mode": mode}
            said: int = (await client.post("position/switch-mode", body))["retCode"]
            return said

        assert [await code(0), await code(3)] == [110025, 10001]
        await client.post("order/create", limit_order("rests"))
        assert await code(3) == 110028
        await client.post("order/create", limit_order("held", price="60000"))
        assert await code(3) == 110024


@pytest.mark.fact("bybit-v5 7.1: a margin mode that cannot be set tells its reasons")
async def test_a_margin_mode_that_cannot_be_set_tells_why(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):

        async def said(mode: str) -> dict[str, Any]:
            return await client.post("account/set-margin-mode", {"setMarginMode": mode})

        refused = await said("PORTFOLIO_MARGIN")
        assert refused["retCode"] == 3400045
        (reason,) = refused["result"]["reasons"]
        assert set(reason) == {"reasonCode", "reasonMsg"}
        assert (await said("REGULAR_MARGIN"))["result"] == {"reasons": []}
        assert (await said("GUESS"))["retCode"] == 10001


@pytest.mark.fact("bybit-v5 5.1, 6: private reads and leverage need a product that is listed")
async def test_an_unknown_symbol_is_refused_by_private_reads_too(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        for path in ("order/realtime", "order/history", "execution/list"):
            for category, code in (("linear", 10001), ("spot", 170121)):
                said = await client.get(path, f"category={category}&symbol=NOPE")
                assert said["retCode"] == code, path
        for path in ("position/list", "position/closed-pnl", "position/symbol-info"):
            assert (await client.get(path, "category=linear&symbol=NOPE"))["retCode"] == 10001
        body = {"category": "linear", "symbol": "NOPE"}
        assert (await client.post("order/cancel-all", body))["retCode"] == 10001
        body = {"category": "spot", "symbol": "BTCUSDT", "buyLeverage": "5", "sellLeverage": "5"}
        assert (await client.post("position/set-leverage", body))["retCode"] == 10001


@pytest.mark.fact("bybit-v5 5.1: cancel-all goes by symbol, else base coin, else settle coin")
async def test_the_narrowest_filter_of_cancel_all_counts(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        for symbol, price in (("BTCUSDT", "20000"), ("ETHUSDT", "1000")):
            order = limit_order(symbol, symbol=symbol, price=price, qty="0.1")
            assert (await client.post("order/create", order))["retCode"] == 0
        body = {"category": "linear", "symbol": "ETHUSDT", "baseCoin": "BTC", "settleCoin": "USDC"}
        said = (await client.post("order/cancel-all", body))["result"]
        assert [row["orderLinkId"] for row in said["list"]] == ["ETHUSDT"]


@pytest.mark.fact("bybit-v5 3.1: risk limits come fifteen products a page")
async def test_risk_limits_page_by_fifteen_products(tmp_path: Path) -> None:
    given = settings(tmp_path, symbols=None, synthetic=20, start=None)
    async with wired(given, HandClock()) as simulator:
        public = PublicApi(simulator.desk, HandClock())
        first = public.risk_limit(Query({"category": "linear"}))
        cursor = first["nextPageCursor"]
        second = public.risk_limit(Query({"category": "linear", "cursor": cursor}))
    names = [row["symbol"] for said in (first, second) for row in said["list"]]
    assert (len(first["list"]), len(set(names)), second["nextPageCursor"]) == (15, 20, "")


@pytest.mark.fact("bybit-v5 7.2: the liability of every coin stays 0 while nothing can be borrowed")
async def test_no_coin_owes_anything(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        await client.order("spot", "Buy", "0.1", "38000")
        said = await client.get("account/wallet-balance", "accountType=UNIFIED")
        for coin in said["result"]["list"][0]["coin"]:
            assert (coin["borrowAmount"], coin["spotBorrow"]) == ("0", "0")


@pytest.mark.fact("bybit-v5 5.1: a pre-check tells the margin rates and places nothing")
async def test_a_pre_check_tells_and_places_nothing(tmp_path: Path) -> None:
    async with trading(tmp_path) as (_, client):
        body = limit_order("", qty="1", price="37000")
        said = (await client.post("order/pre-check", body))["result"]
        # 37000 at ten times is 3700 of 100000.
        assert (said["preImrE4"], said["postImrE4"]) == (0, 370)
        shown = await client.get("order/realtime", "category=linear&symbol=BTCUSDT")
        assert shown["result"]["list"] == []


@pytest.mark.fact("bybit-v5 3.6, 4.4: what the venue does to an account has no link id of ours")
async def test_forced_trades_show_in_executions_orders_and_log(tmp_path: Path) -> None:
    async with trading(tmp_path) as (simulator, client):
        await client.order("linear", "Sell", "1", "36500")
        await simulator.desk.act(lambda e: deleverage(e, "BTCUSDT", D("0.4"), D(37000)))
        await simulator.desk.act(lambda e: deliver(e, "BTCUSDT"))
        shown = await client.get("execution/list", "category=linear")
        rows = shown["result"]["list"][:2]
        assert [(r["execType"], r["createType"], r["orderLinkId"]) for r in rows] == [
            ("Delivery", "CreateBySettle", ""),
            ("AdlTrade", "CreateByAdl_PassThrough", ""),
        ]
        logged = await client.get("account/transaction-log", "category=linear")
        assert [r["type"] for r in logged["result"]["list"][:2]] == ["DELIVERY", "ADL"]
        query = f"category=linear&orderId={rows[0]['orderId']}"
        assert (await client.get("order/history", query))["result"]["list"] == []


@pytest.mark.fact("bybit-v5 13: broken requests have a code, never a server error")
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"category":{},"symbol":[],"side":1,"orderType":null,"qty":{"a":1}}',
        *(
            json.dumps(limit_order("x") | change).encode()
            for change in ({"qty": "NaN"}, {"qty": "1e400"}, {"qty": -1, "price": "Infinity"})
        ),
    ],
)
async def test_a_broken_body_is_a_bad_parameter(tmp_path: Path, raw: bytes) -> None:
    async with trading(tmp_path) as (simulator, client):
        stamp = str(int(time.time() * 1000))
        headers = {
            "X-BAPI-API-KEY": KEY,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-SIGN": signature(f"{stamp}{KEY}5000".encode() + raw),
        }
        url = f"http://{simulator.address}/v5/order/create"
        answered = await client.http.post(url, content=raw, headers=headers)
        assert answered.status_code == 200
        assert answered.json()["retCode"] == 10001


@asynccontextmanager
async def trade_socket(simulator: Simulator) -> AsyncIterator[Any]:
    async with connect(f"ws://{simulator.address}/v5/trade") as socket:

        async def ask(message: dict[str, Any]) -> dict[str, Any]:
            await socket.send(json.dumps(message))
            said: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 5))
            return said

        yield ask


def authentication() -> dict[str, Any]:
    expires = int(time.time() * 1000) + 10_000
    return {"op": "auth", "args": [KEY, expires, signature(f"GET/realtime{expires}".encode())]}


def wanted(reference: str, order: dict[str, Any], late_ms: int = 0) -> dict[str, Any]:
    stamp = str(int(time.time() * 1000) - late_ms)
    header = {"X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000"}
    return {"reqId": reference, "header": header, "op": "order.create", "args": [order]}


@pytest.mark.fact("bybit-v5 10.4: orders by socket answer with ids, limits and the request's id")
async def test_an_order_by_socket_is_accepted_and_found_by_rest(tmp_path: Path) -> None:
    async with trading(tmp_path) as (simulator, client), trade_socket(simulator) as ask:
        assert (await ask(wanted("r0", limit_order("early"))))["retCode"] == 10003
        assert (await ask(authentication())) | {"connId": ""} == {
            "retCode": 0, "retMsg": "OK", "op": "auth", "connId": "",
        }  # fmt: skip
        said = await ask(wanted("r1", limit_order("ours")))
        assert (said["reqId"], said["retCode"], said["op"]) == ("r1", 0, "order.create")
        assert said["header"]["X-Bapi-Limit"] == "10"
        assert said["data"]["orderLinkId"] == "ours"
        shown = await client.get("order/realtime", "category=linear&symbol=BTCUSDT")
        assert [o["orderId"] for o in shown["result"]["list"]] == [said["data"]["orderId"]]


@pytest.mark.fact("bybit-v5 10.4, 13: the trade socket's own codes")
async def test_the_trade_socket_refuses_by_its_own_codes(tmp_path: Path) -> None:
    async with trading(tmp_path) as (simulator, _), trade_socket(simulator) as ask:
        await ask(authentication())
        assert (await ask(authentication()))["retCode"] == 20001
        assert (await ask({"op": "order.guess", "args": [{}]}))["retCode"] == 10404
        other = limit_order("x", category="inverse")
        assert (await ask(wanted("r0", other)))["retCode"] == 10404
        assert (await ask(wanted("r1", limit_order("a"))))["retCode"] == 0
        assert (await ask(wanted("r1", limit_order("b"))))["retCode"] == 20006
        assert (await ask(wanted("r2", limit_order("c"), late_ms=6_000)))["retCode"] == 10002
        assert (await ask(wanted("r3", limit_order("a"))))["retCode"] == 110072
        pong = await ask({"op": "ping"})
        assert (pong["op"], pong["retCode"], pong["retMsg"]) == ("pong", 0, "OK")


async def test_a_wrong_key_ends_the_trade_socket(tmp_path: Path) -> None:
    async with (
        trading(tmp_path) as (simulator, _),
        connect(f"ws://{simulator.address}/v5/trade") as socket,
    ):
        await socket.send(json.dumps({"op": "auth", "args": ["x", 9_999_999_999_999, "y"]}))
        assert json.loads(await socket.recv())["retCode"] == 10004
        await asyncio.wait_for(socket.wait_closed(), 5)


@pytest.mark.fact("bybit-v5 3.1, 3.5: every market read answers with its own fields")
@pytest.mark.parametrize(
    ("path", "query", "fields"),
    [
        ("market/price-limit", "symbol=BTCUSDT", {"symbol", "buyLmt", "sellLmt", "ts"}),
        ("market/risk-limit", "category=linear", {"category", "list", "nextPageCursor"}),
        ("market/index-price-kline", HOURLY, {"symbol", "category", "list"}),
        ("market/premium-index-price-kline", HOURLY, {"symbol", "category", "list"}),
        ("spot-margin-trade/collateral", "currency=BTC", {"list"}),
        ("market/adlAlert", "", {"updatedTime", "list"}),
        ("market/recent-trade", "category=spot&symbol=BTCUSDT", {"category", "list"}),
    ],
)  # fmt: skip
async def test_public_reads_have_their_fields(
    tmp_path: Path, path: str, query: str, fields: set[str]
) -> None:
    async with trading(tmp_path) as (simulator, client):
        said = (await client.http.get(f"http://{simulator.address}/v5/{path}?{query}")).json()
        assert said["retCode"] == 0
        assert set(said["result"]) == fields


async def test_a_premium_bar_is_the_perpetual_over_the_index_less_one(tmp_path: Path) -> None:
    async with trading(tmp_path) as (simulator, client):

        async def close(path: str) -> tuple[D, int]:
            url = f"http://{simulator.address}/v5/market/{path}"
            asked = {"symbol": "BTCUSDT", "interval": "60", "limit": "1"}
            (row,) = (await client.http.get(url, params=asked)).json()["result"]["list"]
            return D(row[4]), len(row)

        premium, fields = await close("premium-index-price-kline")
        (index, _), (last, _) = await close("index-price-kline"), await close("kline")
    assert abs(premium - (last / index - 1)) < D("1E-11")
    assert fields == 5


@pytest.mark.fact("bybit-v5 5.5: set-limit-px-action chooses moving a price or refusing it")
@pytest.mark.parametrize(("category", "refusal"), [("linear", 30208), ("spot", 170193)])
async def test_a_price_beyond_the_band_is_moved_or_refused_over_the_wire(
    tmp_path: Path, category: str, refusal: int
) -> None:
    given = settings(tmp_path, symbols=None, synthetic=1, start=None)
    async with serving(given) as simulator, Client(simulator) as client:
        url = f"http://{simulator.address}/v5/market/price-limit"
        asked = {"category": category, "symbol": "BTCUSDT"}
        bound = (await client.http.get(url, params=asked)).json()["result"]["buyLmt"]
        listed = await client.get("account/instruments-info", f"category={category}")
        assert listed["result"]["list"][0]["riskParameters"]["priceLimitRatioY"] == "0.05"
        beyond = str(int(D(bound)) + 1_000)
        for moves, code in (("false", refusal), ("true", 0)):
            body = {"category": category, "modifyEnable": moves}
            assert (await client.post("account/set-limit-px-action", body))["retCode"] == 0
            said = await client.order(category, "Buy", "0.01", beyond, orderLinkId=moves)
            assert said["retCode"] == code
        query = f"category={category}&symbol=BTCUSDT&orderLinkId=true"
        (order,) = (await client.get("order/realtime", query))["result"]["list"]
        assert D(order["price"]) <= D(bound)


def test_at_least_sixty_facts_are_held(request: pytest.FixtureRequest) -> None:
    root = Path(request.config.rootpath) / "tests"
    files = [*(root / "shared/venue").glob("*.py"), *(root / "services/simulator").glob("*.py")]
    facts = [
        line for file in files for line in file.read_text().splitlines() if "mark.fact(" in line
    ]
    assert len(set(facts)) >= 60
