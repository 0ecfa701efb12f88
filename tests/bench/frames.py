"""A bulk of ticker frames from the socket to a merged, typed quote: our feed and pybit's own."""

import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime

import pybit.unified_trading
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.parse import instant
from shared.runtime.clock import SystemClock

FRAMES = 20_000
ROUNDS = 3
SYMBOL = "BTCUSDT"
START_MS = 1_760_325_052_630
LAST_AT = instant(START_MS + FRAMES)
PAUSE_SECONDS = 0.05  # pybit registers a topic after asking for it

TICKER = {
    "symbol": SYMBOL, "tickDirection": "PlusTick", "price24hPcnt": "0.017103",
    "lastPrice": "60123.10", "markPrice": "60123.00", "indexPrice": "60120.01",
    "openInterest": "68744.761", "openInterestValue": "1183601235.91",
    "turnover24h": "1570383121.943499", "volume24h": "91705.276",
    "bid1Price": "60123.10", "bid1Size": "0.42", "ask1Price": "60123.20", "ask1Size": "3.1",
}  # fmt: skip


class Firehose(WSListener):
    """Confirms a subscription, then says everything at once."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        said = json.loads(frame.get_payload_as_bytes())
        if said["op"] != "subscribe":
            return
        answer = {"success": True, "ret_msg": "", "req_id": said["req_id"], "op": "subscribe"}
        loop = asyncio.get_running_loop()
        loop.call_later(PAUSE_SECONDS, self._say, transport, [json.dumps(answer).encode()])
        if f"tickers.{SYMBOL}" in said["args"]:
            shown = everything(with_book=f"orderbook.1.{SYMBOL}" in said["args"])
            loop.call_later(2 * PAUSE_SECONDS, self._say, transport, shown)

    def _say(self, transport: WSTransport, messages: list[bytes]) -> None:
        for message in messages:
            transport.send(WSMsgType.TEXT, message)


def everything(*, with_book: bool) -> list[bytes]:
    """Return a ticker, whole, and then its changes; before it a book for who asked for one."""
    level = {"s": SYMBOL, "b": [["60123.10", "0.42"]], "a": [["60123.20", "3.1"]], "u": 1, "seq": 1}
    book = {"topic": f"orderbook.1.{SYMBOL}", "type": "snapshot", "ts": START_MS, "data": level}
    tickers = [
        {
            "topic": f"tickers.{SYMBOL}",
            "type": "delta" if number else "snapshot",
            "data": {**TICKER, "markPrice": f"60123.{number % 100:02d}"},
            "cs": number,
            "ts": START_MS + number,
        }
        for number in range(FRAMES + 1)
    ]
    return [
        json.dumps(m, separators=(",", ":")).encode()
        for m in ([book] if with_book else []) + tickers
    ]


def frames() -> tuple[str, float, float, str]:
    """Return the medians of CPU seconds of both for the same frames of a server of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.frames"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = f"ws://127.0.0.1:{server.stdout.readline().strip()}"
            rounds = [(ours(address), pybits(address)) for _ in range(ROUNDS)]
        finally:
            server.terminate()
    medians = (statistics.median(times) for times in zip(*rounds, strict=True))
    return f"{FRAMES} frames to quotes (PG12, wants <= 0.033)", *medians, "pybit's socket"


def ours(address: str) -> float:
    """Return the CPU seconds of our feed, on the loop that services run on."""

    async def read() -> float:
        feed = BybitFeed(
            Endpoints("http://127.0.0.1:1", address), clock=SystemClock(), draw=lambda: 0.0
        )
        began = time.process_time()
        async for quotes in feed.quotes([SYMBOL]):
            if reached(quotes[-1].ticker_at):
                break
        spent = time.process_time() - began
        await feed.close()
        return spent

    return uvloop.run(read())


def reached(at: datetime | None) -> bool:
    return at == LAST_AT


def pybits(address: str) -> float:
    """Return the CPU seconds of pybit's manager with its own merging, to a callback."""
    done = threading.Event()

    def hear(message: dict[str, int]) -> None:
        if message["ts"] == START_MS + FRAMES:
            done.set()

    return _with_address(f"{address}/v5/public/{{CHANNEL_TYPE}}", lambda: _heard(hear, done))


def _heard(hear: Callable[[dict[str, int]], None], done: threading.Event) -> float:
    socket = pybit.unified_trading.WebSocket(channel_type="linear", testnet=False)
    began = time.process_time()
    socket.ticker_stream(SYMBOL, hear)
    assert done.wait(60)
    spent = time.process_time() - began
    socket.exit()
    return spent


def _with_address(template: str, action: Callable[[], float]) -> float:
    kept = pybit.unified_trading.PUBLIC_WSS
    pybit.unified_trading.PUBLIC_WSS = template
    try:
        return action()
    finally:
        pybit.unified_trading.PUBLIC_WSS = kept


async def serve() -> None:
    """Serve until terminated; says its port first."""
    server = await ws_create_server(lambda _: Firehose(), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - for the parent
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
