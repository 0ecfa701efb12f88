"""One open websocket of the venue: its subscriptions, and what waits to be sent on it."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from starlette.websockets import WebSocket

from services.simulator.faults import Faults
from shared.runtime.clock import Clock

OUTBOX_MAX: Final = 10_000
VISITS_MAX: Final = 500
VISITS_SECONDS: Final = 300.0
PRIVATE: Final = "private"
RACED: Final = "EC_OrigClOrdIDDoesNotExist"
STRAYS: Final = {
    True: '{"id":"0","topic":"greeks","creationTime":0,"data":[]}',
    False: '{"topic":"insurance.USDT","type":"delta","ts":0,"data":[]}',
}
"""Messages of the venue that nobody subscribed to, on the private stream and on a public one."""


class Connection:
    """One socket: what it subscribed to, what it has seen, and what waits to be sent."""

    def __init__(
        self, socket: WebSocket, channel: str, name: str, wall: Clock, faults: Faults | None
    ) -> None:
        self.socket = socket
        self.channel = channel
        self._wall = wall
        self._faults = faults
        self._held: list[str] = []
        self._late: set[asyncio.Task[None]] = set()
        self.name = name
        self.topics: set[str] = set()
        self.primed: set[str] = set()
        self.authorised = channel != PRIVATE
        self.outbox: asyncio.Queue[str] = asyncio.Queue(OUTBOX_MAX)
        self.lost = False
        self.used_at = wall.monotonic()
        self.idle_seconds = float("inf")

    def send(self, message: str) -> None:
        """Queue one message; who does not read is cut off rather than waited for."""
        self.used_at = self._wall.monotonic()
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.lost = True

    def push(self, topic: str, message: str) -> None:
        """Queue one message of a topic, unless the script has other plans with it."""
        fault = self._faults.event(self.channel, topic) if self._faults is not None else None
        match fault.kind if fault is not None else "":
            case "dropped_event" | "silence":
                return
            case "reordered_event":
                self._held.append(message)
                return
            case "delayed_event":
                assert fault is not None
                task = asyncio.create_task(self._send_late(message, fault.seconds))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                return
            case "duplicated_event":
                self.send(message)
            case "stray_event":
                self.send(STRAYS[self.channel == PRIVATE])
        self.send(message)
        if fault is not None and fault.kind == "filled_again":
            for again in filled_again(message):
                self.send(again)
        held, self._held = self._held, []
        for each in held:
            self.send(each)

    def end(self) -> None:
        """Forget what was to be sent late."""
        for task in self._late:
            task.cancel()

    async def _send_late(self, message: str, seconds: float) -> None:
        await self._wall.sleep(seconds)
        self.send(message)

    async def write(self) -> None:
        """Send what is queued until the connection is lost."""
        while not self.lost:
            await self.socket.send_text(await self.outbox.get())
        await self.socket.close(1008)


def filled_again(message: str) -> Iterator[str]:
    """Yield the message of the orders that it says are filled, as a cancel that met the fill does.

    Source: bybit-v5.md 5.6.
    """
    said = json.loads(message)
    rows = said["data"] if said["topic"].partition(".")[0] == "order" else []
    filled = [row | {"rejectReason": RACED} for row in rows if row["orderStatus"] == "Filled"]
    if filled:
        yield json.dumps(said | {"data": filled}, separators=(",", ":"))


class Visits:
    """New sockets of each address: 500 in any five minutes, the others are refused (wall).

    Source: bybit-v5.md 10.1.
    """

    def __init__(self, wall: Clock) -> None:
        self._wall = wall
        self._seen: dict[str, deque[float]] = {}

    def limited(
        self, serve: Callable[[WebSocket], Awaitable[None]]
    ) -> Callable[[WebSocket], Awaitable[None]]:
        """Return ``serve`` for whoever does not come too often."""

        async def guarded(socket: WebSocket) -> None:
            if self._admit(socket.client.host if socket.client is not None else ""):
                await serve(socket)
            else:
                await socket.close(1008)

        return guarded

    def _admit(self, address: str) -> bool:
        now = self._wall.monotonic()
        seen = self._seen.setdefault(address, deque())
        while seen and seen[0] <= now - VISITS_SECONDS:
            seen.popleft()
        admitted = len(seen) < VISITS_MAX
        if admitted:
            seen.append(now)
        return admitted
