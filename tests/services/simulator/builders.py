"""A simulator in this process on a free port, and a small recorded market for it."""

import asyncio
import contextlib
import functools
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from services.simulator.main import Simulator, loops, open_simulator
from services.simulator.settings import SimulatorSettings
from shared.history.files import read_history
from shared.history.records import History
from shared.runtime.clock import Clock, SystemClock

D = Decimal
KEY, SECRET = "key-of-a-test", "secret-of-a-test"
START = datetime(2023, 11, 11, tzinfo=UTC)
HOUR_MS = 3_600_000
START_MS = 1_699_660_800_000


class HandClock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += max(seconds, 0.001)
        await asyncio.sleep(0)


def settings(folder: Path, **changes: Any) -> SimulatorSettings:
    """Return the sample's market from 2023-11-11 on, an hour a wall second, on a free port."""
    plain = SimulatorSettings(
        database=folder / "venue.sqlite3",
        start=START,
        key=(KEY, SECRET),
        port=0,
        symbols=("BTCUSDT", "ETHUSDT"),
    )
    return replace(plain, **changes)


@functools.cache
def sample() -> History:
    """Return the sample's two symbols, read once."""
    return read_history(None, ["BTCUSDT", "ETHUSDT"])


def wired(
    given: SimulatorSettings, wall: Clock
) -> contextlib.AbstractAsyncContextManager[Simulator]:
    """Return a simulator that does not serve."""
    return open_simulator(given, wall, sample())


@contextlib.asynccontextmanager
async def serving(given: SimulatorSettings) -> AsyncIterator[Simulator]:
    """Serve until the block ends."""
    async with wired(given, SystemClock()) as simulator:
        tasks = [asyncio.create_task(loop()) for loop in loops(simulator)]
        try:
            while not simulator.server.started:  # noqa: ASYNC110 - uvicorn offers no event
                await asyncio.sleep(0.005)
            yield simulator
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def state(simulator: Simulator) -> dict[str, Any]:
    """Return what /sim/state shows."""
    async with httpx.AsyncClient() as client:
        shown: dict[str, Any] = (await client.get(f"http://{simulator.address}/sim/state")).json()
        return shown


async def told(simulator: Simulator, what: str) -> dict[str, Any]:
    """Post to /sim/<what> and return the state after it."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://{simulator.address}/sim/{what}")
        shown: dict[str, Any] = answer.json()
        return shown


class Client:
    """A V5 client that signs what it puts on the wire, and can be told to do it wrong."""

    def __init__(self, simulator: Simulator) -> None:
        self.http = httpx.AsyncClient(base_url=f"http://{simulator.address}")
        self.headers: httpx.Headers = httpx.Headers()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, path: str, query: str = "", **signing: Any) -> dict[str, Any]:
        """Return the envelope of a signed GET; ``query`` goes out as it is."""
        url = f"/v5/{path}?{query}" if query else f"/v5/{path}"
        return self._read(await self.http.get(url, headers=signed(query, **signing)))

    async def post(self, path: str, body: dict[str, Any], **signing: Any) -> dict[str, Any]:
        """Return the envelope of a signed POST."""
        raw = json.dumps(body)
        headers = signed(raw, **signing)
        return self._read(await self.http.post(f"/v5/{path}", content=raw, headers=headers))

    async def order(self, category: str, side: str, qty: str, price: str, **more: Any) -> Any:
        """Send an immediate-or-cancel order for BTCUSDT and return the envelope."""
        body = {
            "category": category,
            "symbol": "BTCUSDT",
            "side": side,
            "orderType": "Limit",
            "timeInForce": "IOC",
            "qty": qty,
            "price": price,
        }
        return await self.post("order/create", body | more)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200
        self.headers = answer.headers
        envelope: dict[str, Any] = answer.json()
        return envelope


def signed(
    payload: str,
    *,
    key: str = KEY,
    secret: str = SECRET,
    late_ms: int = 0,
    window: int = 5000,
) -> dict[str, str]:
    """Return the headers of a request signed ``late_ms`` ago."""
    stamp = str(int(time.time() * 1000) - late_ms)
    message = f"{stamp}{key}{window}{payload}".encode()
    return {
        "X-BAPI-API-KEY": key,
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": str(window),
        "X-BAPI-SIGN": signature(message, secret),
    }


def signature(message: bytes, secret: str = SECRET) -> str:
    """Return the hex HMAC of a message."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
