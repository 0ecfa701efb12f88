"""Websockets with nothing listed on them, and what bounds a connection."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.services.simulator.driven import driven
from tests.services.simulator.test_shapes import EXAMPLES, lacking

CONNECT = EXAMPLES / "bybit-docs/ws-connect"


def example(name: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads((CONNECT / f"wss-authentication.{name}").read_text())
    return shown


@pytest.mark.fact("bybit-v5 16.1: inverse, spread and misc/status are there and answer pings")
@pytest.mark.parametrize("channel", ["inverse", "spread", "misc/status"])
async def test_a_channel_without_products_answers_and_refuses_topics(
    tmp_path: Path, channel: str
) -> None:
    async with driven(tmp_path) as venue:
        socket = await venue.socket(f"/v5/public/{channel}", "tickers.BTCUSDT")
        socket.send({"op": "ping", "req_id": "7"})
        await venue.clock.advance(0.1)
        acknowledged, pong = socket.said
        assert acknowledged["success"] is False
        assert (pong["success"], pong["ret_msg"], pong["req_id"]) == (True, "pong", "7")


@pytest.mark.fact("bybit-v5 10.1: the option stream answers in shapes of its own")
async def test_the_option_stream_answers_as_the_examples_do(tmp_path: Path) -> None:
    async with driven(tmp_path) as venue:
        socket = await venue.socket("/v5/public/option", "tickers.BTC-1JAN27-1-C")
        socket.send({"op": "ping"})
        await venue.clock.advance(0.1)
        acknowledged, pong = socket.said
        name = "public-option.understanding-the-subscription-response.message.json"
        assert list(lacking(example(name), acknowledged)) == []
        assert acknowledged["data"]["failTopics"] == ["tickers.BTC-1JAN27-1-C"]
        theirs = example("option.how-to-send-the-heartbeat-packet.message.json")
        assert list(lacking(theirs, pong)) == []
        assert pong["op"] == "pong"


@pytest.mark.parametrize("path", ["/v5/public/private", "/v5/public/status", "/v5/public/x"])
async def test_a_path_that_the_venue_does_not_have_opens_no_socket(
    tmp_path: Path, path: str
) -> None:
    async with driven(tmp_path) as venue:
        socket = await venue.socket(path)
        assert (socket.closed is not None, socket.said) == (True, [])


@pytest.mark.fact("bybit-v5 11.4: system.status tells maintenance and outlives it")
async def test_maintenance_is_pushed_as_it_is_announced_begins_and_ends(tmp_path: Path) -> None:
    script = """
        faults:
        - kind: maintenance
          from: 60
          until: 120
          notice_seconds: 30
    """
    theirs = EXAMPLES / "bybit-docs/ws-system/system-status.message.json"
    async with driven(tmp_path, script) as venue:
        socket = await venue.socket("/v5/public/misc/status", "system.status")
        await venue.clock.advance(130)
        told = [message for message in socket.said if "topic" in message]
        assert [[row["state"] for row in m["data"]] for m in told] == [
            ["scheduled"],
            ["ongoing"],
            ["completed"],
        ]
        assert list(lacking(json.loads(theirs.read_text()), told[0])) == []
        assert socket.closed is None


@pytest.mark.fact("bybit-v5 10.3: every private topic can be had, those of other products too")
@pytest.mark.parametrize(
    "topics",
    [
        ["order", "execution", "position", "wallet", "greeks"],
        ["order.spot", "order.linear", "order.inverse", "order.option", "execution.inverse"],
        ["execution.fast.linear", "execution.fast.inverse", "position.inverse"],
        ["spread.order", "spread.execution"],
        ["dcp.future", "dcp.spot", "dcp.option"],
    ],
)
async def test_private_topics_are_taken(tmp_path: Path, topics: list[str]) -> None:
    async with driven(tmp_path) as venue:
        socket = await venue.socket("/v5/private", *topics)
        assert [message["success"] for message in socket.said] == [True, True]


@pytest.mark.fact("bybit-v5 10.1: the args of a connection have at most 21,000 characters")
async def test_too_many_topics_on_one_connection_are_refused(tmp_path: Path) -> None:
    names = [f"S{number:04d}USDT" for number in range(6, 1_001)]
    async with driven(tmp_path, synthetic=1_000) as venue:
        socket = await venue.socket("/v5/public/linear", *(f"tickers.{n}" for n in names))
        assert [m["success"] for m in socket.said if "success" in m] == [True]
        socket.send({"op": "subscribe", "args": [f"orderbook.1.{n}" for n in names[:195]]})
        await venue.clock.advance(0.1)
        socket.send({"op": "subscribe", "args": [f"tickers.{n}" for n in names]})
        await venue.clock.advance(0.1)
        outcomes = [(m["success"], m["ret_msg"]) for m in socket.said if "success" in m]
        assert outcomes == [(True, ""), (False, "args length >21000"), (True, "")]


@pytest.mark.fact(
    "bybit-v5 10.1: ten minutes without traffic end a socket; 30 s to 600 s by choice"
)
@pytest.mark.parametrize(
    ("query", "cut_after"),
    [
        (b"", 600),
        (b"max_active_time=30s", 30),
        (b"max_active_time=1m", 60),
        (b"max_active_time=1s", 30),
    ],
)
async def test_a_socket_that_nobody_uses_is_cut(
    tmp_path: Path, query: bytes, cut_after: int
) -> None:
    async with driven(tmp_path) as venue:
        repeat = asyncio.create_task(venue.simulator.hub.repeat())
        socket = await venue.socket("/v5/private", query=query)
        await venue.clock.advance(cut_after - 1)
        assert socket.closed is None
        socket.send({"op": "ping"})
        await venue.clock.advance(cut_after - 1)
        assert socket.closed is None
        await venue.clock.advance(6)
        assert socket.closed == 1000
        repeat.cancel()


@pytest.mark.fact("bybit-v5 10.1: 500 new sockets in five minutes from an address, then none")
async def test_an_address_that_connects_too_often_is_refused(tmp_path: Path) -> None:
    async with driven(tmp_path) as venue:
        for _ in range(500):
            socket = await venue.socket("/v5/public/linear")
        assert socket.closed is None
        assert (await venue.socket("/v5/private")).closed == 1008
        await venue.clock.advance(300)
        assert (await venue.socket("/v5/private")).closed is None


@pytest.mark.fact("bybit-v5 3.3, 10.2: tickers say the same over REST and on the stream")
async def test_a_ticker_is_the_same_over_rest_and_on_the_stream(tmp_path: Path) -> None:
    """Symbols move in turns: what one shows must not be of a later instant than its book."""
    async with driven(tmp_path, speed=60) as venue:
        names = venue.simulator.desk.market.symbols
        socket = await venue.socket("/v5/public/linear", *(f"tickers.{name}" for name in names))
        await venue.clock.advance(2.55)
        heard: dict[str, Any] = {}
        for message in socket.said:
            if "topic" in message:
                heard.setdefault(message["topic"], {}).update(message["data"])
        asked = "category=linear"
        rows = (await venue.get("market/tickers", asked)).json()["result"]["list"]
        assert len(rows) == len(heard) == 5
        marks = venue.simulator.desk.exchange.marks
        for row in rows:
            name = row["symbol"]
            assert heard[f"tickers.{name}"] == row
            assert Decimal(row["markPrice"]) == marks[name]
