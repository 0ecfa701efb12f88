"""One supervised websocket of whatever library, rebuilt with backoff whenever it dies."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from shared.domain.errors import ExchangeUnavailable, Misconfigured
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff_delays

log = structlog.get_logger()

Message = Any
"""What a library's socket delivers: an object of JSON, or a ``PublicFrame`` decoded from it."""

PING_SECONDS: Final = 5
"""The venue asks for a ping every 20 s; ours must be answered within the bound of silence."""
PONG_SECONDS: Final = 4
SILENCE_SECONDS: Final = 15.0
ACK_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 1.0
STEADY_SECONDS: Final = 10.0
TOPICS_PER_REQUEST: Final = 10
QUEUE_MAX: Final = 20_000

Deliver = Callable[[Message | None], None]
"""Takes, inside the loop, a message, a sign of life (an empty one), or the end (None)."""


class Socket(Protocol):
    """A connected socket whose key and topics the venue has confirmed."""

    def is_alive(self) -> bool:
        """Whether it is open and read."""
        ...

    async def stop(self) -> None:
        """Close at once."""
        ...


Connect = Callable[[str, Sequence[str], Deliver], Awaitable[Socket]]
"""Connects one library's socket to an address.

Raises: ExchangeUnavailable; Disarmed when the key is refused, Misconfigured when a topic is.
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in order of arrival; ``is_reset`` when the stream was (re)connected before them."""

    messages: tuple[Message, ...]
    is_reset: bool = False


class SupervisedStream:
    """Topics of one address, kept alive over sockets that ``connect`` makes.

    Raises from ``batches``: Disarmed when the key is refused, Misconfigured when a topic is.
    """

    def __init__(
        self,
        url: str,
        topics: Sequence[str],
        connect: Connect,
        *,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        self._url = url
        self._topics = tuple(topics)
        self._clock = clock
        self._draw = draw
        self._connect = connect
        self._socket: Socket | None = None
        self._closed = False

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what arrived since the last batch, without waiting for more."""
        delays = backoff_delays(self._draw, first=0.25, ceiling=15.0)
        while not self._closed:
            inbox = _Inbox()
            try:
                self._socket = await self._connect(self._url, self._topics, inbox.put)
            except (ExchangeUnavailable, OSError) as error:
                log.warning("stream_unavailable", url=self._url, detail=str(error))
                await self._clock.sleep(next(delays))
                continue
            began = self._clock.monotonic()
            try:
                yield Batch((), is_reset=True)
                async for batch in self._until_lost(inbox):
                    yield batch
            finally:
                await self._disconnect()
            if self._clock.monotonic() - began > STEADY_SECONDS:
                delays = backoff_delays(self._draw, first=0.25, ceiling=15.0)
            if not self._closed:
                log.warning("stream_lost", url=self._url)
                await self._clock.sleep(next(delays))

    async def close(self) -> None:
        """Close the socket; a running ``batches`` ends."""
        self._closed = True
        await self._disconnect()

    async def _disconnect(self) -> None:
        lost, self._socket = self._socket, None
        if lost is not None:
            await lost.stop()

    async def _until_lost(self, inbox: "_Inbox") -> AsyncGenerator[Batch, None]:
        seen = self._clock.monotonic()
        while not self._closed and not inbox.is_lost:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await inbox.wait()
            except TimeoutError:
                if self._socket is None or not self._socket.is_alive():
                    return
                if self._clock.monotonic() - seen > SILENCE_SECONDS:
                    return
                continue
            seen = self._clock.monotonic()
            messages = inbox.take()
            if messages:
                yield Batch(messages)


class _Inbox:
    """Bounded hand-over inside the loop; overflowing means lost messages, so the stream is lost."""

    def __init__(self) -> None:
        self.is_lost = False
        self._messages: list[Message] = []
        self._arrived = asyncio.Event()

    def put(self, message: Message | None) -> None:
        """Take in a message, a sign of life (an empty one), or the end (None)."""
        if message is None or len(self._messages) >= QUEUE_MAX:
            self.is_lost = True
        elif message:
            self._messages.append(message)
        self._arrived.set()

    async def wait(self) -> None:
        """Return when something has arrived since the last ``take``."""
        await self._arrived.wait()

    def take(self) -> tuple[Message, ...]:
        """Return what has arrived and forget it."""
        self._arrived.clear()
        taken, self._messages = tuple(self._messages), []
        return taken


def require_subscribed(success: object, said: object, topics: Sequence[str]) -> None:
    """Raise Misconfigured unless the venue's answer confirms the subscription of ``topics``."""
    if success is not True:
        raise Misconfigured(
            f"Bybit refuses the topics {', '.join(topics)} ({said}); "
            "take the symbols it does not know out of CARRY_SYMBOLS."
        )


def pages(topics: Sequence[str]) -> list[list[str]]:
    """Return ``topics`` in as many as one subscription may name."""
    return [
        list(topics[start : start + TOPICS_PER_REQUEST])
        for start in range(0, len(topics), TOPICS_PER_REQUEST)
    ]
