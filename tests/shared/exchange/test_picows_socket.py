"""picows' socket: what is on the wire, what it makes of bytes, and how it ends."""

import asyncio
from typing import Any

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from shared.domain.errors import ExchangeUnavailable, Misconfigured
from shared.exchange.bybit.frames import PublicData, PublicFrame
from shared.exchange.bybit.picows_socket import connect_picows
from shared.exchange.bybit.stream import TOPICS_PER_REQUEST, Message
from tests.support.scripted_venue import ScriptedVenue

SPOT = "/v5/public/spot"


class Heard:
    """What a socket delivers, in order; signs of life are counted apart."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self.signs = 0

    def __call__(self, message: Message | None) -> None:
        if message == {}:
            self.signs += 1
        else:
            self.messages.put_nowait(message)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.messages.get(), 5)


async def test_topics_are_asked_for_in_pages_and_all_are_confirmed(venue: ScriptedVenue) -> None:
    topics = [f"orderbook.1.X{n}USDT" for n in range(TOPICS_PER_REQUEST * 2 + 1)]
    for topic in topics:
        venue.greetings[topic] = [{"topic": topic}]
    heard = Heard()
    socket = await connect_picows(venue.stream + SPOT, topics, heard)
    assert [await heard.next() for _ in topics] == [PublicFrame(topic) for topic in topics]
    assert heard.signs == 3  # acknowledgements
    await socket.stop()


async def test_a_refused_topic_is_named_and_the_socket_closed(venue: ScriptedVenue) -> None:
    venue.refused_topics = {"tickers.NOUSDT"}
    heard = Heard()
    with pytest.raises(Misconfigured, match="NOUSDT"):
        await connect_picows(venue.stream + SPOT, ["tickers.NOUSDT"], heard)
    assert await heard.next() is None


async def test_nobody_there_is_a_venue_that_is_unavailable() -> None:
    with pytest.raises(ExchangeUnavailable):
        await connect_picows("ws://127.0.0.1:1/v5/public/spot", ["tickers.X"], Heard())


async def test_an_end_is_said_once_and_the_socket_is_dead(venue: ScriptedVenue) -> None:
    heard = Heard()
    socket = await connect_picows(venue.stream + SPOT, ["tickers.X"], heard)
    assert socket.is_alive()
    await venue.drop(SPOT)
    assert await heard.next() is None
    assert not socket.is_alive()
    await socket.stop()


class Garbler(WSListener):
    """A venue that confirms whatever is asked and then says what no venue should."""

    def __init__(self, says: list[tuple[WSMsgType, bytes, bool]]) -> None:
        super().__init__()
        self._says = says

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, b'{"op":"subscribe","success":true}')
            for kind, payload, fin in self._says:
                transport.send(kind, payload, fin)


@pytest.mark.parametrize(
    ("says", "heard"),
    [
        ([(WSMsgType.TEXT, b'{"topic":', True)], PublicFrame()),
        ([(WSMsgType.TEXT, b"[1]", True)], PublicFrame()),
        ([(WSMsgType.TEXT, b'{"topic":"\xff"}', True)], PublicFrame()),
        (
            [(WSMsgType.TEXT, b'{"topic":"t","data":{"markPrice":0.1}}', True)],
            PublicFrame("t"),
        ),
        (
            [(WSMsgType.TEXT, b'{"ts":7,"new":[{}],"data":{"markPrice":"0.10"}}', True)],
            PublicFrame(ts=7, data=PublicData(mark_price="0.10")),
        ),
        (
            [
                (WSMsgType.TEXT, b'{"topic":', False),
                (WSMsgType.CONTINUATION, b'"t"', False),
                (WSMsgType.CONTINUATION, b"}", True),
            ],
            PublicFrame("t"),
        ),
    ],
    ids=["cut off", "no object", "no text", "a number", "text keeps its digits", "three frames"],
)
async def test_bytes_become_a_message_or_what_counts_as_unreadable(
    says: list[tuple[WSMsgType, bytes, bool]], heard: PublicFrame
) -> None:
    server = await ws_create_server(lambda _: Garbler(says), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    delivered = Heard()
    socket = await connect_picows(f"ws://127.0.0.1:{port}{SPOT}", ["tickers.X"], delivered)
    assert await delivered.next() == heard
    await socket.stop()
    server.close()
    await server.wait_closed()
