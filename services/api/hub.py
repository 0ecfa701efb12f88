"""One broadcaster for all listeners: looks for a new version, tells each what changed.

A listener has a short queue. Who does not keep up is dropped and comes back by itself; nobody
waits for anybody else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from services.api.views import Views
from shared.domain.errors import StoreUnavailable
from shared.runtime.clock import Clock
from shared.store.views.version import Version

LOOK_SECONDS: Final = 0.25
GAP_SECONDS: Final = 0.1
STATUS_SECONDS: Final = 0.5
STATUS_IDLE_SECONDS: Final = 5.0
KEEP_ALIVE_SECONDS: Final = 10.0
QUEUE_FRAMES: Final = 32
LISTENERS_MAX: Final = 200
RETRY: Final = b"retry: 1000\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"

log = structlog.get_logger()


class TooManyListeners(Exception):
    """There is no room for another listener."""


class Listener:
    """One open event stream; ``frame`` None means that it shall end."""

    def __init__(self) -> None:
        self.dropped = asyncio.Event()
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_FRAMES)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return self._frames.empty()

    async def frame(self) -> bytes | None:
        """Return the next frame to send, waiting for it."""
        return await self._frames.get()

    def offer(self, frame: bytes | None) -> bool:
        """Queue a frame; False, and dropped for good, when the queue is full."""
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            self.dropped.set()
            return False
        return True


class Hub:
    """Sends each topic as its GET would answer; ``equity`` is only a hint to read again."""

    def __init__(self, views: Views, clock: Clock, listeners: Gauge, dropped: Counter) -> None:
        self._views = views
        self._clock = clock
        self._gauge = listeners
        self._drops = dropped
        self._listeners: set[Listener] = set()
        self._woken = asyncio.Event()
        self._known: Version | None = None
        self._last: dict[str, bytes] = {}
        self._number = 0
        self._status_at = self._spoke_at = clock.monotonic()
        self._store_was_up = True

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Take part for a block. Raises: TooManyListeners."""
        if len(self._listeners) >= LISTENERS_MAX:
            raise TooManyListeners
        listener = Listener()
        listener.offer(RETRY)
        self._listeners.add(listener)
        self._gauge.set(len(self._listeners))
        try:
            yield listener
        finally:
            self._forget(listener)

    def require_room(self) -> None:
        """Raise TooManyListeners when nobody else can listen."""
        if len(self._listeners) >= LISTENERS_MAX:
            raise TooManyListeners

    async def greet(self, listener: Listener) -> None:
        """Tell a new listener everything as it is now; whatever it may have missed is in it."""
        for topic, make in self._topics().items():
            listener.offer(self._frame(topic, await make()))

    def wake(self) -> None:
        """Look now: something has happened."""
        self._woken.set()

    def close(self) -> None:
        """End every stream."""
        for listener in list(self._listeners):
            if not listener.offer(None):
                self._forget(listener)

    async def run(self) -> None:
        """Look for changes and tell them, for ever; a store that is away is waited for."""
        while True:
            await self._pause()
            try:
                await self.look()
                self._store_was_up = True
            except StoreUnavailable as error:
                if self._store_was_up:
                    log.warning("store_unavailable", detail=str(error))
                self._store_was_up = False
            self.keep_alive()

    async def look(self) -> None:
        """Tell the listeners what has changed since the last look."""
        if not self._listeners:
            self._known = None  # the next one is greeted, then told everything once more
            self._last.clear()
            return
        version = await self._views.version(fresh=True)
        known, self._known = self._known, version
        changed = known is None or version != known
        if changed:
            for topic, make in self._topics().items():
                if topic not in ("status", "equity"):
                    self._tell(topic, await make())
            if known is None or (known.valued_at, known.booked) != (
                version.valued_at,
                version.booked,
            ):
                self._send(self._frame("equity", b"{}"))
        waited = self._clock.monotonic() - self._status_at
        if waited >= (STATUS_SECONDS if changed else STATUS_IDLE_SECONDS):
            self._status_at = self._clock.monotonic()
            self._send(self._frame("status", await self._views.status()))

    def keep_alive(self) -> None:
        """Send a comment after a silence, so that proxies do not close the streams."""
        if self._clock.monotonic() - self._spoke_at >= KEEP_ALIVE_SECONDS:
            self._send(KEEP_ALIVE)

    def _topics(self) -> dict[str, Callable[[], Awaitable[bytes]]]:
        return {
            "status": self._views.status,
            "overview": self._views.overview,
            "pairs": self._views.pairs,
            "opportunities": self._views.opportunities,
            "equity": _hint,
        }

    async def _pause(self) -> None:
        """Wait for the next look, or less when woken, but never so little as to run hot."""
        await self._clock.sleep(GAP_SECONDS)
        ticking = asyncio.ensure_future(self._clock.sleep(LOOK_SECONDS - GAP_SECONDS))
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({ticking, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ticking.cancel()
            waking.cancel()
        self._woken.clear()

    def _tell(self, topic: str, body: bytes) -> None:
        if self._last.get(topic) != body:
            self._last[topic] = body
            self._send(self._frame(topic, body))

    def _frame(self, topic: str, body: bytes) -> bytes:
        self._number += 1
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self._number, topic.encode(), body)

    def _send(self, frame: bytes) -> None:
        self._spoke_at = self._clock.monotonic()
        for listener in list(self._listeners):
            if not listener.offer(frame):
                self._forget(listener)
                self._drops.inc()
                log.warning("listener_dropped", left=len(self._listeners))

    def _forget(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        self._gauge.set(len(self._listeners))


async def _hint() -> bytes:
    return b"{}"
