"""A venue driven in process: no socket, no thread, time by hand, every byte in one transcript."""

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx

from services.simulator.main import Simulator, open_simulator
from services.simulator.settings import SimulatorSettings
from tests.services.simulator.builders import KEY, SECRET
from tests.support.clock import ManualClock


class Socket:
    """One websocket client, spoken to in ASGI events."""

    def __init__(self, driven: "Driven", path: str, query: bytes) -> None:
        self.said: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.closed: int | None = None
        self._driven = driven
        self._path = path
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "headers": [],
            "query_string": query, "scheme": "ws", "server": ("venue", 80), "client": ("me", 1),
            "subprotocols": [], "root_path": "", "asgi": {"version": "3.0"},
        }  # fmt: skip
        self.task = asyncio.create_task(driven.app(scope, self._inbox.get, self._take))

    def send(self, message: dict[str, Any]) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def topics(self) -> list[str]:
        return [m["topic"] for m in self.said if "topic" in m]

    async def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "websocket.close":
            self.closed = event.get("code")
            self._driven.transcript.append(f"{self._path} closed {self.closed}")
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": self.closed})
        elif event["type"] == "websocket.send":
            self.raw.append(event["text"])
            self.said.append(json.loads(event["text"]))
            self._driven.transcript.append(f"{self._path} {event['text']}")


class Driven:
    """The venue, its clock, and what went over its wire."""

    def __init__(self, simulator: Simulator, clock: ManualClock) -> None:
        self.simulator = simulator
        self.clock = clock
        self.app = cast(Any, simulator.server.config.app)
        self.transcript: list[str] = []
        self._sockets: list[Socket] = []
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app), base_url="http://venue"
        )

    async def socket(self, path: str, *topics: str, query: bytes = b"") -> Socket:
        """Open a socket and subscribe; ``/v5/private`` is authorised first."""
        socket = Socket(self, path, query)
        self._sockets.append(socket)
        if path.endswith(("private", "trade")):
            expires = int(self.clock.now().timestamp() * 1000) + 10_000
            sign = hmac.new(SECRET.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256)
            socket.send({"op": "auth", "args": [KEY, expires, sign.hexdigest()]})
        if topics:
            socket.send({"op": "subscribe", "args": list(topics)})
        await self.clock.advance(0.05)
        return socket

    async def close(self) -> None:
        """Hang up everywhere."""
        for socket in self._sockets:
            socket.task.cancel()
        await asyncio.gather(*(s.task for s in self._sockets), return_exceptions=True)
        await self._http.aclose()

    async def get(self, path: str, query: str = "") -> httpx.Response:
        """Return the answer to a signed GET, moving time while it takes."""
        return await self._send("GET", f"/v5/{path}" + (f"?{query}" if query else ""), query)

    async def post(self, path: str, **body: Any) -> httpx.Response:
        """Return the answer to a signed POST, moving time while it takes."""
        return await self._send("POST", f"/v5/{path}", json.dumps(body))

    async def order(self, link_id: str, side: str = "Buy", **more: Any) -> httpx.Response:
        """Send a spot market order for one BTCUSDT lot and return the answer."""
        body = {
            "category": "spot", "symbol": "BTCUSDT", "side": side, "orderType": "Market",
            "marketUnit": "baseCoin", "qty": "0.01", "orderLinkId": link_id,
        }  # fmt: skip
        return await self.post("order/create", **body | more)

    async def _send(self, method: str, url: str, payload: str) -> httpx.Response:
        stamp = str(int(self.clock.now().timestamp() * 1000))
        sign = hmac.new(SECRET.encode(), f"{stamp}{KEY}5000{payload}".encode(), hashlib.sha256)
        headers = {
            "X-BAPI-API-KEY": KEY, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign.hexdigest(),
        }  # fmt: skip
        content = payload if method == "POST" else None
        request = self._http.request(method, url, headers=headers, content=content)
        task = asyncio.create_task(request)
        while not task.done():
            await self.clock.advance(0.01)
        answer = task.result()
        self.transcript.append(f"{method} {url} {answer.status_code} {answer.text}")
        return answer


@contextlib.asynccontextmanager
async def driven(folder: Path, script: str = "", **changes: Any) -> AsyncIterator[Driven]:
    """Run a synthetic venue of five symbols under ``script``; its time runs with the clock."""
    path = folder / "script.yaml"
    path.write_text(script)
    plain: dict[str, Any] = {
        "database": None, "start": None, "key": (KEY, SECRET),
        "speed": 1, "synthetic": 5, "faults": path,
    }  # fmt: skip
    clock = ManualClock()
    async with open_simulator(SimulatorSettings(**plain | changes), clock) as simulator:
        loops = (simulator.desk.run, *simulator.more)
        tasks = [asyncio.create_task(loop()) for loop in loops]
        simulator.desk.start()
        venue = Driven(simulator, clock)
        try:
            yield venue
        finally:
            await venue.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
