"""Sockets that die, keys that are refused, topics that do not exist."""

import asyncio
import itertools
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.errors import Malformed, Misconfigured
from shared.exchange.bybit.errors import Disarmed
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.picows_socket import connect_picows
from shared.exchange.bybit.pybit_socket import pybit_connector
from shared.exchange.bybit.stream import SILENCE_SECONDS, Connect, SupervisedStream
from shared.exchange.ports import ExecutionReport, FeedQuote, OrderReport, StreamReset
from shared.runtime.clock import SystemClock
from tests.shared.exchange.test_bybit_board import book, ticker
from tests.shared.exchange.test_bybit_parse import EXECUTION, ORDER
from tests.support.scripted_venue import ScriptedVenue

PRIVATE = "/v5/private"


def private(topic: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"id": "1", "topic": topic, "creationTime": 1, "data": list(rows)}


async def soon(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, 5)


async def test_a_reset_comes_first_and_then_what_happened(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    events = gateway.private_events()
    assert isinstance(await soon(anext(events)), StreamReset)
    await venue.push(PRIVATE, private("execution", EXECUTION))
    await venue.push(PRIVATE, private("order", {**ORDER, "category": "spot"}))
    execution, order = await soon(anext(events)), await soon(anext(events))
    assert isinstance(execution, ExecutionReport)
    assert execution.fill.price == Decimal("95900.1")
    assert isinstance(order, OrderReport)
    assert order.link_id == "r1-abc"
    await events.aclose()  # type: ignore[attr-defined]


async def test_products_we_do_not_trade_are_passed_over(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    events = gateway.private_events()
    await soon(anext(events))
    await venue.push(PRIVATE, private("wallet", {"coin": []}))
    await venue.push(PRIVATE, private("order", {**ORDER, "category": "option"}))
    await venue.push(PRIVATE, private("execution", EXECUTION))
    assert isinstance(await soon(anext(events)), ExecutionReport)
    await events.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "stray",
    [
        private("greeks", {"baseCoin": "ETH"}),
        private("execution.fast", {"category": "linear", "execId": "1", "symbol": "BTCUSDT"}),
        private("execution.fast.linear", {"category": "linear"}),
        {"topic": "dcp.future", "data": None},
        {"success": False, "ret_msg": "error:handler not found", "op": "subscribe", "req_id": "9"},
        {"op": "unsubscribe", "success": True, "req_id": "9"},
        {"notOfThisVenue": [1]},
    ],
)
async def test_what_was_not_asked_for_neither_ends_the_stream_nor_is_booked(
    venue: ScriptedVenue, gateway: BybitGateway, stray: dict[str, Any]
) -> None:
    events = gateway.private_events()
    await soon(anext(events))
    await venue.push(PRIVATE, stray)
    await venue.push(PRIVATE, private("execution", EXECUTION))
    assert isinstance(await soon(anext(events)), ExecutionReport)
    assert venue.connections == 1
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_lost_connection_is_rebuilt_and_said(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    events = gateway.private_events()
    await soon(anext(events))
    await venue.drop(PRIVATE)
    assert isinstance(await soon(anext(events)), StreamReset)
    await venue.push(PRIVATE, private("execution", EXECUTION))
    assert isinstance(await soon(anext(events)), ExecutionReport)
    assert venue.connections == 2
    await events.aclose()  # type: ignore[attr-defined]


class HastyClock(SystemClock):
    """Each look at it is past the bound of silence after the look before."""

    def __init__(self) -> None:
        self._looks = itertools.count()

    def monotonic(self) -> float:
        return next(self._looks) * (SILENCE_SECONDS + 1)


@pytest.mark.parametrize("connect", [pybit_connector(), connect_picows])
async def test_a_stream_that_fell_silent_is_rebuilt(venue: ScriptedVenue, connect: Connect) -> None:
    stream = SupervisedStream(
        f"{venue.stream}/v5/public/spot",
        ["orderbook.1.X"],
        connect,
        clock=HastyClock(),
        draw=lambda: 0.0,
    )
    batches = stream.batches()
    assert (await soon(anext(batches))).is_reset
    assert (await soon(anext(batches))).is_reset
    assert venue.connections == 2
    await batches.aclose()


async def test_a_private_message_that_cannot_be_read_stops_the_reader(
    venue: ScriptedVenue, gateway: BybitGateway
) -> None:
    events = gateway.private_events()
    await soon(anext(events))
    await venue.push(PRIVATE, private("execution", {**EXECUTION, "execQty": ""}))
    with pytest.raises(Malformed):
        await soon(anext(events))


async def test_a_refused_key_disarms(venue: ScriptedVenue, gateway: BybitGateway) -> None:
    venue.auth_succeeds = False
    with pytest.raises(Disarmed):
        await soon(anext(gateway.private_events()))


async def test_an_unknown_topic_is_a_setting_to_correct(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    venue.refused_topics = {"tickers.NOUSDT"}
    with pytest.raises(Misconfigured, match="NOUSDT"):
        await soon(anext(feed.quotes(["NOUSDT"])))


async def test_quotes_of_both_legs_arrive_merged(venue: ScriptedVenue, feed: BybitFeed) -> None:
    venue.greetings["orderbook.1.BTCUSDT"] = [book()]
    venue.greetings["tickers.BTCUSDT"] = [ticker()]
    seen: dict[str, FeedQuote] = {}
    quotes = feed.quotes(["BTCUSDT"])
    while len(seen) < 2:
        seen |= {quote.category.value: quote for quote in await soon(anext(quotes))}
    assert seen["linear"].mark == Decimal("100.05")
    assert seen["spot"].mark is None
    assert await feed.venue_time() == seen["spot"].venue_at
    await quotes.aclose()  # type: ignore[attr-defined]


async def test_after_a_lost_public_stream_quotes_come_again(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    venue.greetings["orderbook.1.BTCUSDT"] = [book()]
    quotes = feed.quotes(["BTCUSDT"])
    await soon(anext(quotes))
    venue.greetings["orderbook.1.BTCUSDT"] = [book("101.0", "101.1", ms=60_000)]
    await venue.drop("/v5/public/spot")
    [quote] = await soon(anext(quotes))
    assert quote.bid == Decimal("101.0")
    await quotes.aclose()  # type: ignore[attr-defined]


async def test_after_a_reconnect_each_topic_is_unheard_until_it_speaks(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    venue.greetings["orderbook.1.BTCUSDT"] = [book()]
    venue.greetings["tickers.BTCUSDT"] = [ticker()]
    quotes = feed.quotes(["BTCUSDT"])
    async with asyncio.timeout(5):
        while not feed.is_listening or feed.unheard_topics():
            await anext(quotes)
    del venue.greetings["tickers.BTCUSDT"]
    reading = asyncio.ensure_future(anext(quotes))
    await venue.drop("/v5/public/linear")
    async with asyncio.timeout(5):
        while feed.unheard_topics() != ["linear/tickers.BTCUSDT"]:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
    assert feed.stale_topics(timedelta(0)) == []
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await quotes.aclose()  # type: ignore[attr-defined]


async def test_one_topic_that_falls_back_behind_the_others_is_stale_alone(
    venue: ScriptedVenue, feed: BybitFeed
) -> None:
    venue.greetings["orderbook.1.BTCUSDT"] = [book()]
    venue.greetings["tickers.BTCUSDT"] = [ticker()]
    quotes = feed.quotes(["BTCUSDT"])
    async with asyncio.timeout(5):
        while not feed.is_listening or feed.unheard_topics():
            await anext(quotes)
        reading = asyncio.ensure_future(anext(quotes))
        for path in ("spot", "linear"):
            await venue.push(f"/v5/public/{path}", book("100.2", "100.3", ms=4_000))
        bound = timedelta(seconds=3.5)
        while feed.stale_topics(bound) != ["linear/tickers.BTCUSDT"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert feed.stale_topics(timedelta(seconds=4)) == []
        await venue.push("/v5/public/linear", ticker("delta", ms=4_100, markPrice="101"))
        while feed.stale_topics(bound):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await quotes.aclose()  # type: ignore[attr-defined]
