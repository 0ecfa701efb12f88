"""Candles, price limits, trades, liquidations and pools: topics that follow from the others."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.services.simulator.builders import (
    HOUR_MS,
    START,
    START_MS,
    Client,
    sample,
    serving,
    settings,
)
from tests.services.simulator.driven import Driven, Socket, driven
from tests.services.simulator.test_shapes import EXAMPLES, lacking

D = Decimal

# The venue's documentation, websocket/public/{trade,all-liquidation,order-price-limit,adl-alert}
# and position/close-pnl, as of 2026.
TRADE = {
    "topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1672304486868,
    "data": [
        {"T": 1672304486865, "s": "BTCUSDT", "S": "Buy", "v": "0.001", "p": "16578.50",
         "L": "PlusTick", "i": "20f43950-d8dd-5b31-9112-a178eb6023af", "BT": False},
    ],
}  # fmt: skip
LIQUIDATION = {
    "topic": "allLiquidation.ROSEUSDT", "type": "snapshot", "ts": 1739502303204,
    "data": [{"T": 1739502302929, "s": "ROSEUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}],
}  # fmt: skip
PRICE_LIMIT = {
    "topic": "priceLimit.BTCUSDT",
    "data": {"symbol": "BTCUSDT", "buyLmt": "114450.00", "sellLmt": "103550.00"},
    "ts": 1750059683782,
}
ADL_ALERT = {
    "topic": "adlAlert.USDT", "type": "snapshot", "ts": 1757736794000,
    "data": [
        {"c": "USDT", "s": "ZORAUSDT", "b": 19873.46255153, "mb": 19874.97612833, "i_pr": -0.3,
         "pr": 0.000174, "adl_tt": 10000.0, "adl_sr": -0.25},
    ],
}  # fmt: skip
CLOSED = {
    "symbol": "ETHPERP", "orderType": "Market", "leverage": "3", "updatedTime": "1672214887236",
    "side": "Sell", "orderId": "5a373bfe-188d-4913-9c81-d57ab5be8068",
    "closedPnl": "-47.4065323", "avgEntryPrice": "1194.97516667", "qty": "3",
    "cumEntryValue": "3584.9255", "createdTime": "1672214887231423699", "orderPrice": "1122.95",
    "closedSize": "3", "avgExitPrice": "1180.59833333", "execType": "Trade", "fillCount": "4",
    "cumExitValue": "3541.795",
}  # fmt: skip
KLINE = json.loads((EXAMPLES / "bybit-docs/ws-public/kline.message.json").read_text())


def told(socket: Socket, topic: str) -> list[dict[str, Any]]:
    return [message for message in socket.said if message.get("topic") == topic]


def like(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Compare a message with the example: all its keys and types, and no key of its own."""
    assert list(lacking(theirs, ours)) == []
    assert set(ours) == set(theirs)
    mine, example = (m["data"][0] if isinstance(m["data"], list) else m["data"]
                     for m in (ours, theirs))  # fmt: skip
    assert set(mine) == set(example)


async def ordered(venue: Driven, category: str, side: str, qty: str, **more: Any) -> dict[str, Any]:
    body = {"category": category, "symbol": "BTCUSDT", "side": side, "orderType": "Market",
            "marketUnit": "baseCoin", "qty": qty}  # fmt: skip
    answer: dict[str, Any] = (await venue.post("order/create", **body | more)).json()
    assert answer["retCode"] == 0
    return answer


@pytest.mark.fact("bybit-v5 10.2: kline is a snapshot, confirm true closes a candle")
@pytest.mark.parametrize(("channel", "leg"), [("linear", "perp"), ("spot", "spot")])
async def test_each_hour_of_a_record_is_a_closed_candle_from_close_to_close(
    tmp_path: Path, channel: str, leg: str
) -> None:
    given: dict[str, Any] = {"synthetic": None, "symbols": ("BTCUSDT",), "start": START}
    async with driven(tmp_path, speed=D(3600), **given) as venue:
        socket = await venue.socket(f"/v5/public/{channel}", "kline.60.BTCUSDT")
        await venue.clock.advance(3.1)
    bars = {bar.at_ms: getattr(bar, leg) for bar in sample().symbols["BTCUSDT"].bars}
    rows = [row for message in told(socket, "kline.60.BTCUSDT") for row in message["data"]]
    assert [(row["start"], row["confirm"]) for row in rows] == [
        (START_MS + n * HOUR_MS, True) for n in (-1, 0, 1, 2)
    ]
    for row in rows:
        opened, closed = bars[row["start"]], bars[row["start"] + HOUR_MS]
        assert (D(row["open"]), D(row["close"])) == (opened, closed)
        assert (D(row["high"]), D(row["low"])) == (max(opened, closed), min(opened, closed))
        assert (row["end"] - row["start"], row["volume"]) == (HOUR_MS - 1, "0")
    like(KLINE, told(socket, "kline.60.BTCUSDT")[0])


async def test_a_running_candle_follows_the_price_and_closes_as_the_history_shows_it(
    tmp_path: Path,
) -> None:
    # a move every 10 venue minutes; two hours and a bit
    async with driven(tmp_path, speed=D(600)) as venue:
        socket = await venue.socket("/v5/public/linear", "kline.60.BTCUSDT", "tickers.BTCUSDT")
        await venue.clock.advance(14)
        asked = "category=linear&symbol=BTCUSDT&interval=60&limit=2"
        known = (await venue.get("market/kline", asked)).json()["result"]["list"]
    rows = [row for message in told(socket, "kline.60.BTCUSDT") for row in message["data"]]
    closed = [row for row in rows if row["confirm"]]
    fields = ("start", "open", "high", "low", "close", "volume", "turnover")
    assert [[str(row[name]) for name in fields] for row in closed] == known[::-1]
    running = [row for row in rows if not row["confirm"]]
    assert len(running) >= 10
    for row in running:
        assert D(row["low"]) <= D(row["open"]) <= D(row["high"])
    last = [m["data"]["lastPrice"] for m in told(socket, "tickers.BTCUSDT") if "lastPrice" in
            m["data"]]  # fmt: skip
    assert running[-1]["close"] == last[-1]


async def test_longer_candles_are_made_of_hours_over_rest_too(tmp_path: Path) -> None:
    async with driven(tmp_path) as venue:

        async def candles(interval: str, limit: int, end: str = "") -> list[list[str]]:
            asked = f"category=spot&symbol=ETHUSDT&interval={interval}&limit={limit}{end}"
            rows: list[list[str]] = (await venue.get("market/kline", asked)).json()["result"][
                "list"
            ]
            return rows

        hours, (day,) = await candles("60", 24), await candles("D", 1)
        (newest, *older) = await candles("240", 4)
        for at in (int(older[1][0]), int(older[0][0]) - 1):
            assert await candles("240", 2, f"&end={at}") == older[1:]
    assert hours[0][0] == str(int(day[0]) + 23 * HOUR_MS)
    assert (day[0], day[1], day[4]) == (hours[-1][0], hours[-1][1], hours[0][4])
    assert D(day[2]) == max(D(row[2]) for row in hours)
    assert D(day[3]) == min(D(row[3]) for row in hours)
    assert newest[:2] == hours[3][:2]


async def test_what_no_source_records_is_refused_by_topic_and_by_rest(tmp_path: Path) -> None:
    async with driven(tmp_path) as venue:
        for topic in ("kline.1.BTCUSDT", "kline.BTCUSDT", "adlAlert.BTC", "priceLimit.NOUSDT"):
            socket = await venue.socket("/v5/public/linear", topic)
            assert [m["success"] for m in socket.said] == [False]
        for topic in ("adlAlert.USDT", "allLiquidation.BTCUSDT"):
            socket = await venue.socket("/v5/public/spot", topic)
            assert [m["success"] for m in socket.said] == [False]
        asked = "category=linear&symbol=BTCUSDT&interval=1"
        answer = (await venue.get("market/kline", asked)).json()
        assert answer["retCode"] == 10001
        assert "60, 120, 240, 360, 720, D" in answer["retMsg"]


@pytest.mark.fact("bybit-v5 10.2: priceLimit has no type key")
@pytest.mark.parametrize("channel", ["linear", "spot"])
async def test_the_price_limit_is_that_of_rest_at_every_move(tmp_path: Path, channel: str) -> None:
    async with driven(tmp_path) as venue:
        socket = await venue.socket(f"/v5/public/{channel}", "priceLimit.BTCUSDT")
        await venue.clock.advance(3)
        asked = f"category={channel}&symbol=BTCUSDT"
        rest = (await venue.get("market/price-limit", asked)).json()["result"]
        heard = told(socket, "priceLimit.BTCUSDT")
    assert len(heard) >= 3
    like(PRICE_LIMIT, heard[0])
    assert heard[-1]["data"] == {k: rest[k] for k in ("symbol", "buyLmt", "sellLmt")}
    exchange = venue.simulator.desk.exchange
    tick = exchange.rules[channel, "BTCUSDT"].tick
    reference = (exchange.marks if channel == "linear" else exchange.indexes)["BTCUSDT"]
    highest, lowest = D(rest["buyLmt"]), D(rest["sellLmt"])
    assert 0 <= reference * D("1.05") - highest < tick
    assert 0 <= lowest - reference * D("0.95") < tick
    assert highest % tick == lowest % tick == 0


@pytest.mark.fact("bybit-v5 10.2: publicTrade's S is the side of the taker")
async def test_our_fills_are_the_public_trades_and_the_taker_gives_the_side(tmp_path: Path) -> None:
    async with driven(tmp_path) as venue:
        linear = await venue.socket("/v5/public/linear", "publicTrade.BTCUSDT")
        spot = await venue.socket("/v5/public/spot", "publicTrade.BTCUSDT")
        await ordered(venue, "linear", "Sell", "0.01")
        await ordered(venue, "spot", "Buy", "0.01")
        asked = "category=linear&symbol=BTCUSDT"
        (ask, _), *_ = (await venue.get("market/orderbook", asked)).json()["result"]["a"]
        near = str(D(ask) + D("0.1"))
        maker = {"orderType": "Limit", "timeInForce": "GTC", "price": near}
        await ordered(venue, "linear", "Sell", "0.01", **maker)
        await venue.clock.advance(120)  # the price comes to it
        own = (await venue.get("execution/list", "category=linear")).json()["result"]["list"]
        recent = (await venue.get("market/recent-trade", asked)).json()["result"]["list"]
    assert [(row["side"], row["isMaker"]) for row in own] == [("Sell", True), ("Sell", False)]
    rows = [row for message in told(linear, "publicTrade.BTCUSDT") for row in message["data"]]
    assert [(row["S"], row["i"]) for row in rows] == [
        ("Sell", own[1]["execId"]), ("Buy", own[0]["execId"]),
    ]  # fmt: skip
    assert [row["L"] for row in rows] == ["ZeroPlusTick", "PlusTick"]
    assert [(row["execId"], row["side"]) for row in recent] == [
        (own[0]["execId"], "Buy"), (own[1]["execId"], "Sell"),
    ]  # fmt: skip
    like(TRADE, told(linear, "publicTrade.BTCUSDT")[0])
    (bought,) = [row for message in told(spot, "publicTrade.BTCUSDT") for row in message["data"]]
    assert (bought["S"], bought["v"], "L" in bought) == ("Buy", "0.01", False)


@pytest.mark.fact("bybit-v5 10.2: allLiquidation's S is the side of the position")
async def test_a_liquidated_short_is_told_as_a_sell(tmp_path: Path) -> None:
    script = """
        events:
        - kind: mark_spike
          symbol: BTCUSDT
          from: 10
          until: 12
          move: 0.9
    """
    async with driven(tmp_path, script, deposits={"USDT": D(1_000)}) as venue:
        socket = await venue.socket(
            "/v5/public/linear", "allLiquidation.BTCUSDT", "publicTrade.BTCUSDT"
        )
        await ordered(venue, "linear", "Sell", "0.03")
        await venue.clock.advance(13)
        fills = [e for e in venue.simulator.desk.exchange.executions if e.exec_type == "BustTrade"]
    (message,) = told(socket, "allLiquidation.BTCUSDT")
    like(LIQUIDATION, message)
    assert [(r["S"], r["T"], D(r["v"]), D(r["p"])) for r in message["data"]] == [
        ("Sell", fill.time_ms, fill.qty, fill.price) for fill in fills
    ]
    assert fills
    assert len(told(socket, "publicTrade.BTCUSDT")) == 1


@pytest.mark.fact("bybit-v5 7.6: an empty pool deleverages; adlAlert tells it each second")
async def test_a_scripted_deleveraging_is_announced_by_an_empty_pool(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: deleveraging
          symbol: BTCUSDT
          quantity: 1
          from: 20
          until: 25
          notice_seconds: 10
    """
    balances = []
    async with driven(tmp_path, script) as venue:
        socket = await venue.socket("/v5/public/linear", "adlAlert.USDT")
        for wait in (5, 10, 15):
            await venue.clock.advance(wait)
            rows = (await venue.get("market/adlAlert", "symbol=BTCUSDT")).json()["result"]["list"]
            balances.append(rows[0]["balance"])
    assert balances == ["10000000", "0", "10000000"]
    heard = told(socket, "adlAlert.USDT")
    like(ADL_ALERT, heard[0])
    assert [row["s"] for row in heard[0]["data"]] == [
        "BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT",
    ]  # fmt: skip
    empty = [row["s"] for message in heard for row in message["data"] if not row["b"]]
    assert set(empty) == {"BTCUSDT"}
    assert 14 <= len(empty) <= 16  # from 10 to 25, once a second
    assert 29 <= len(heard) <= 32


async def test_closed_pnl_pages_newest_first_and_has_the_examples_keys(tmp_path: Path) -> None:
    async with serving(settings(tmp_path)) as simulator, Client(simulator) as client:
        for side, price in (
            ("Sell", "30000"),
            ("Buy", "50000"),
            ("Buy", "50000"),
            ("Sell", "30000"),
        ):
            said = await client.order("linear", side, "0.1", price)
            assert said["retCode"] == 0
        asked = "category=linear&symbol=BTCUSDT&limit=1"
        newest = (await client.get("position/closed-pnl", asked))["result"]
        older = (
            await client.get("position/closed-pnl", f"{asked}&cursor={newest['nextPageCursor']}")
        )["result"]
        log = (await client.get("account/transaction-log", "category=linear"))["result"]["list"]
        refused = await client.get("position/closed-pnl", "category=spot")
    (last,), (first,) = newest["list"], older["list"]
    assert list(lacking(CLOSED, last)) == []
    assert set(last) == set(CLOSED)
    assert (last["side"], first["side"], older["nextPageCursor"]) == ("Sell", "Buy", "")
    total = sum(D(row["cashFlow"]) - D(row["fee"]) for row in log)
    assert D(last["closedPnl"]) + D(first["closedPnl"]) == total
    assert refused["retCode"] == 10001
