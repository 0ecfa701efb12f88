"""Websockets as Bybit speaks them: late acknowledgements, snapshots first, news in order."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.simulator.main import Simulator
from tests.services.simulator.builders import (
    HOUR_MS,
    KEY,
    SECRET,
    START_MS,
    Client,
    serving,
    settings,
    told,
)


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with serving(settings(tmp_path, speed=Decimal(36_000))) as running:
        yield running


@contextlib.asynccontextmanager
async def opened(simulator: Simulator, path: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{simulator.address}/v5/{path}") as socket:
        yield socket


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(5):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


def pass_to_private(secret: str = SECRET, valid_ms: int = 5_000) -> list[Any]:
    expires = int(time.time() * 1000) + valid_ms
    sign = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256)
    return [KEY, expires, sign.hexdigest()]


@contextlib.asynccontextmanager
async def private(simulator: Simulator, *topics: str) -> AsyncIterator[ClientConnection]:
    async with opened(simulator, "private") as socket:
        await say(socket, op="auth", args=pass_to_private())
        assert (await hear(socket))["success"]
        await say(socket, op="subscribe", args=list(topics))
        assert (await hear(socket))["success"]
        yield socket


@pytest.mark.parametrize(
    ("path", "ping", "ack"),
    [
        (
            "public/linear",
            {"success": True, "ret_msg": "pong", "req_id": "7", "op": "ping"},
            {"success": True, "ret_msg": "", "req_id": 8, "op": "subscribe"},
        ),
        (
            "public/spot",
            {"success": True, "ret_msg": "pong", "req_id": "7", "op": "ping"},
            {"success": True, "ret_msg": "subscribe", "req_id": 8, "op": "subscribe"},
        ),
    ],
)
@pytest.mark.fact("bybit-v5 10.1: acks and pongs differ by channel")
async def test_public_answers_have_their_channels_shape_and_echo_the_request_id(
    simulator: Simulator, path: str, ping: dict[str, Any], ack: dict[str, Any]
) -> None:
    async with opened(simulator, path) as socket:
        await say(socket, op="ping", req_id="7")
        heard = await hear(socket)
        assert {k: v for k, v in heard.items() if k != "conn_id"} == ping
        began = time.monotonic()
        await say(socket, op="subscribe", req_id=8, args=["publicTrade.BTCUSDT"])
        heard = await hear(socket)
        assert {k: v for k, v in heard.items() if k != "conn_id"} == ack
        assert time.monotonic() - began >= 0.02


@pytest.mark.fact("bybit-v5 10.1: the first private message is auth")
async def test_a_private_socket_answers_pings_and_needs_a_valid_key_first(
    simulator: Simulator,
) -> None:
    async with opened(simulator, "private") as socket:
        await say(socket, op="ping")
        pong = await hear(socket)
        assert (pong["op"], len(pong["args"])) == ("pong", 1)
        await say(socket, op="subscribe", args=["order"])
        assert (await hear(socket))["success"] is False
        await say(socket, op="auth", args=pass_to_private())
        assert (await hear(socket))["success"] is True
        for topics in (["order", "order.spot"], ["position.spot"], ["guesses"], []):
            await say(socket, op="subscribe", args=topics)
            assert (await hear(socket))["success"] is False
    for args in (pass_to_private("other"), pass_to_private(valid_ms=-1), None):
        async with opened(simulator, "private") as socket:
            await say(socket, op="auth", args=args)
            assert (await hear(socket))["success"] is False
            with pytest.raises(ConnectionClosed):
                await hear(socket)


@pytest.mark.fact("bybit-v5 16.2: a bad topic answers success false")
async def test_unknown_topics_and_garbage_are_refused_without_ending_the_connection(
    simulator: Simulator,
) -> None:
    async with opened(simulator, "public/linear") as socket:
        for topic in ("tickers.NOPE", "orderbook.7.BTCUSDT", "x"):
            await say(socket, op="subscribe", args=[topic])
            assert (await hear(socket))["success"] is False
        for garbage in ("{", "[" * 100_000, '{"op":"subscribe","args":["\\ud800"]}', '"x"'):
            await socket.send(garbage)
            assert (await hear(socket))["success"] is False
        for args in (5, None, {"a": 1}, [{"a": 1}, None]):
            await say(socket, op="subscribe", args=args)
            assert (await hear(socket))["success"] is False
            await say(socket, op="unsubscribe", args=args)
            assert (await hear(socket))["success"] is True
        await say(socket, op="ping")
        assert (await hear(socket))["ret_msg"] == "pong"


@pytest.mark.fact("RELIABILITY 1.3: tickers are a snapshot, then deltas of what changed")
async def test_nothing_is_said_before_the_first_instant_then_snapshots_then_changes(
    simulator: Simulator,
) -> None:
    kinds = ("tickers", "orderbook.1", "orderbook.50", "orderbook.200", "orderbook.1000")
    topics = [f"{kind}.BTCUSDT" for kind in kinds]
    async with opened(simulator, "public/linear") as socket:
        await say(socket, op="subscribe", args=topics)
        assert (await hear(socket))["op"] == "subscribe"
        await told(simulator, "start")
        first = [await hear(socket) for _ in topics]
        later = [await hear(socket) for _ in topics]
    assert [m["topic"] for m in first] == [m["topic"] for m in later] == topics
    assert [m["type"] for m in first] == ["snapshot"] * 5
    assert [m["type"] for m in later] == ["delta", "snapshot", "delta", "delta", "delta"]
    assert {m["ts"] for m in first} == {START_MS + 60_000}
    assert {m["ts"] for m in later} == {START_MS + HOUR_MS + 60_000}
    whole, change = first[0]["data"], later[0]["data"]
    assert whole["fundingIntervalHour"] == "8"
    assert "fundingIntervalHour" not in change
    assert change["markPrice"] != whole["markPrice"]
    deep, moved = first[2]["data"], later[2]["data"]
    assert (len(deep["b"]), len(deep["a"])) == (10, 10)
    assert (deep["u"], moved["u"]) == (1, 2)
    merged = dict(deep["b"])
    for price, size in moved["b"]:
        if size == "0":
            del merged[price]  # only what is known is ever deleted
        else:
            merged[price] = size
    assert max(merged, key=Decimal) == later[1]["data"]["b"][0][0]


@pytest.mark.fact("RELIABILITY 1.3: a level-1 book is said again after 3 s with the same u")
async def test_who_subscribes_later_sees_what_was_published_last(simulator: Simulator) -> None:
    await told(simulator, "start")
    await asyncio.sleep(0.05)
    await told(simulator, "freeze")
    async with opened(simulator, "public/spot") as socket:
        await say(socket, op="subscribe", args=["orderbook.1.BTCUSDT", "tickers.BTCUSDT"])
        await hear(socket)
        book, ticker = await hear(socket), await hear(socket)
        again = await hear(socket)  # after three seconds of silence
    assert (book["type"], ticker["type"]) == ("snapshot", "snapshot")
    assert (again["topic"], again["data"]["u"]) == ("orderbook.1.BTCUSDT", book["data"]["u"])


async def test_an_order_is_told_as_order_execution_position_wallet(simulator: Simulator) -> None:
    topics = ("order", "execution.linear", "position", "wallet")
    async with private(simulator, *topics) as socket, Client(simulator) as client:
        made = await client.order("linear", "Sell", "0.5", "30000", orderLinkId="s")
        messages = [await hear(socket) for _ in topics]
    assert [m["topic"] for m in messages] == list(topics)
    order, execution, position, wallet = (m["data"][0] for m in messages)
    assert order["orderId"] == execution["orderId"] == made["result"]["orderId"]
    assert (order["orderStatus"], order["orderLinkId"]) == ("Filled", "s")
    assert Decimal(execution["execFee"]) == Decimal(execution["execValue"]) * Decimal("0.00055")
    assert execution["feeCurrency"] == "USDT"
    assert (position["side"], position["size"]) == ("Sell", "0.5")
    assert position["entryPrice"] == position["avgPrice"] == execution["execPrice"]
    (coin,) = wallet["coin"]
    assert coin["coin"] == "USDT"
    assert Decimal(coin["walletBalance"]) == Decimal(100_000) - Decimal(execution["execFee"])


@pytest.mark.fact("bybit-v5 10.3: categorised topics carry their category alone")
async def test_a_spot_fill_is_not_told_to_a_linear_topic(simulator: Simulator) -> None:
    async with private(simulator, "execution.linear") as socket, Client(simulator) as client:
        await client.order("spot", "Buy", "0.1", "45000")
        await client.order("linear", "Sell", "0.1", "30000")
        assert (await hear(socket))["data"][0]["category"] == "linear"


@pytest.mark.fact("bybit-v5 4.4: a settlement is an execution of type Funding")
async def test_a_settlement_is_told_with_the_sign_of_a_fee(simulator: Simulator) -> None:
    async with private(simulator, "execution", "wallet") as socket, Client(simulator) as client:
        await client.order("linear", "Sell", "0.5", "30000")
        assert [(await hear(socket))["topic"] for _ in range(2)] == ["execution", "wallet"]
        await told(simulator, "start")
        funding, wallet = await hear(socket), await hear(socket)
    (row,) = funding["data"]
    assert (row["execType"], row["orderType"], row["side"]) == ("Funding", "UNKNOWN", "Sell")
    assert row["execTime"] == str(START_MS + 8 * HOUR_MS)
    assert Decimal(row["execFee"]) < 0
    assert wallet["topic"] == "wallet"


async def test_autostart_waits_for_executions_and_both_markets(tmp_path: Path) -> None:
    async with (
        serving(settings(tmp_path, autostart=True)) as simulator,
        private(simulator, "execution"),
        opened(simulator, "public/linear") as linear,
        opened(simulator, "public/spot") as spot,
    ):
        await say(linear, op="subscribe", args=["tickers.BTCUSDT"])
        await hear(linear)
        assert not simulator.desk.started
        await say(spot, op="subscribe", args=["orderbook.1.BTCUSDT"])
        await hear(spot)
        assert (await hear(linear))["ts"] == START_MS + 60_000
        assert simulator.desk.started


@pytest.mark.fact("RELIABILITY 1.3: the fast stream has trades alone, without a maker's link id")
async def test_the_fast_stream_names_takers_and_not_makers(simulator: Simulator) -> None:
    async with (
        private(simulator, "execution.fast.linear") as socket,
        Client(simulator) as client,
    ):
        await client.order("linear", "Sell", "0.1", "30000", orderLinkId="taker")
        (row,) = (await hear(socket))["data"]
        assert (row["orderLinkId"], row["isMaker"], row["execQty"]) == ("taker", False, "0.1")
        assert set(row) == {
            "category", "symbol", "execId", "execPrice", "execQty", "orderId", "isMaker",
            "orderLinkId", "side", "execTime", "seq",
        }  # fmt: skip
        resting = {"timeInForce": "GTC", "orderLinkId": "maker"}
        await client.order("linear", "Buy", "0.1", "37000", **resting)
        bids = [(Decimal(36_000), Decimal(1))]
        asks = [(Decimal(36_900), Decimal(1))]
        await simulator.desk.act(lambda e: e.set_book("linear", "BTCUSDT", bids, asks))
        (row,) = (await hear(socket))["data"]
        assert (row["orderLinkId"], row["isMaker"], row["execPrice"]) == ("", True, "37000")


@pytest.mark.fact("bybit-v5 11.2: dcp topics can be had on the private stream")
async def test_what_arms_a_disconnect_cancel_can_be_subscribed(simulator: Simulator) -> None:
    async with private(simulator, "dcp.future", "dcp.spot"):
        pass


@pytest.mark.fact("bybit-v5 10.3: all-in-one and categorised topics cannot be mixed")
@pytest.mark.parametrize("name", ["execution", "execution.fast"])
async def test_a_topic_and_its_category_are_refused_together(
    simulator: Simulator, name: str
) -> None:
    async with opened(simulator, "private") as socket:
        await say(socket, op="auth", args=pass_to_private())
        await hear(socket)
        await say(socket, op="subscribe", args=[name, f"{name}.linear"])
        assert not (await hear(socket))["success"]


@pytest.mark.fact("RELIABILITY 1.3: no wallet snapshot on subscribe; only changes are told")
async def test_a_wallet_says_nothing_until_it_changes(simulator: Simulator) -> None:
    async with private(simulator, "wallet") as socket, Client(simulator) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)
        await client.order("spot", "Buy", "0.1", "45000")
        assert (await hear(socket))["topic"] == "wallet"
