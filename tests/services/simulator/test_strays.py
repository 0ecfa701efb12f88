"""A message of a topic that nobody subscribed to: the library's own socket dies, ours goes on."""

import asyncio
import queue
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pybit.unified_trading
import pytest
from pybit.unified_trading import WebSocket

from services.simulator.main import Simulator
from shared.exchange.bybit.endpoints import trading_endpoints
from shared.exchange.bybit.rest import Credentials
from shared.exchange.clients import gateway_of
from shared.exchange.ports import ExecutionReport, StreamReset
from shared.runtime.clock import SystemClock
from tests.services.simulator.builders import KEY, SECRET, Client, serving, settings

SCRIPT = """
faults:
- kind: stray_event
  where: private/execution
  nth: 1
"""


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[Simulator]:
    (tmp_path / "faults.yaml").write_text(SCRIPT)
    async with serving(settings(tmp_path, faults=tmp_path / "faults.yaml")) as simulator:
        yield simulator


async def buy(simulator: Simulator) -> None:
    async with Client(simulator) as client:
        assert (await client.order("spot", "Buy", "0.1", "45000"))["retCode"] == 0


@pytest.mark.fact("bybit-v5 14.5: a push that pybit has no callback for kills its socket")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_pybits_own_socket_dies_of_it_without_a_word(
    venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = f"ws://{venue.address}/v5"
    monkeypatch.setattr(pybit.unified_trading, "PRIVATE_WSS", f"{base}/private")
    heard: queue.Queue[Any] = queue.Queue()

    def listen() -> WebSocket:
        socket = WebSocket(testnet=False, channel_type="private", api_key=KEY, api_secret=SECRET)
        socket.execution_stream(heard.put)
        return socket

    socket = await asyncio.to_thread(listen)
    async with asyncio.timeout(10):  # the library does not wait for its subscription
        while not any(each.topics for each in venue.hub._connections):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    await buy(venue)
    await asyncio.to_thread(socket.wst.join, 10)
    assert not socket.is_connected()
    assert heard.empty()


@pytest.mark.parametrize("client", ["bybit", "ccxt"])
async def test_our_private_stream_hears_what_comes_after_it_on_the_same_socket(
    venue: Simulator, client: str
) -> None:
    gateway = gateway_of(
        client,
        trading_endpoints("replay", f"http://{venue.address}", f"ws://{venue.address}"),
        Credentials(KEY, SECRET),
        venue="replay",
        clock=SystemClock(),
        draw=lambda: 0.0,
    )
    try:
        events = gateway.private_events()
        async with asyncio.timeout(20):
            assert isinstance(await anext(events), StreamReset)
            await buy(venue)
            seen = [await anext(events), await anext(events)]
        await events.aclose()  # type: ignore[attr-defined]
    finally:
        await gateway.close()
    assert not any(isinstance(event, StreamReset) for event in seen)
    assert any(isinstance(event, ExecutionReport) for event in seen)
    faults = venue.faults
    assert faults is not None
    assert [line.split()[2] for line in faults.fired] == ["stray_event"]
