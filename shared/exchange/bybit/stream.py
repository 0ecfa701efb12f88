"""One supervised websocket: pybit's socket in raw mode, rebuilt with backoff whenever it dies.

pybit's own reconnecting, merging and acknowledging are not used: they lose the socket for good on
a short outage, on a refused topic and on a message that comes too early.
"""

import asyncio
import contextlib
import json
import logging
import queue
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from pybit.unified_trading import WebSocket

from shared.domain.errors import ExchangeUnavailable, Misconfigured
from shared.exchange.bybit.errors import Disarmed
from shared.exchange.bybit.rest import Credentials
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff_delays

log = structlog.get_logger()

Message = Mapping[str, Any]

PING_SECONDS: Final = 5
PONG_SECONDS: Final = 4
SILENCE_SECONDS: Final = 15.0
ACK_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 1.0
STEADY_SECONDS: Final = 10.0
AUTH_VALID_SECONDS: Final = 10
TOPICS_PER_REQUEST: Final = 10
QUEUE_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in order of arrival; ``is_reset`` when the stream was (re)connected before them."""

    messages: tuple[Message, ...]
    is_reset: bool = False


class Stream(Protocol):
    """What feed and gateway need of a socket; a faster client for public data fits here too."""

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what arrived; a reset comes first and after each reconnect."""
        ...

    async def close(self) -> None:
        """Let go of the socket."""
        ...


class SupervisedStream:
    """Topics of one address, kept alive; with credentials it is the private stream.

    Raises from ``batches``: Disarmed when the key is refused, Misconfigured when a topic is.
    """

    def __init__(
        self,
        url: str,
        topics: Sequence[str],
        *,
        clock: Clock,
        draw: Callable[[], float],
        credentials: Credentials | None = None,
    ) -> None:
        self._url = url
        self._topics = tuple(topics)
        self._clock = clock
        self._draw = draw
        self._credentials = credentials
        self._socket: _RawSocket | None = None
        self._closed = False

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what arrived since the last batch, without waiting for more."""
        delays = backoff_delays(self._draw, first=0.25, ceiling=15.0)
        while not self._closed:
            inbox = _Inbox()
            try:
                await self._connect(inbox)
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

    async def _connect(self, inbox: "_Inbox") -> None:
        loop = asyncio.get_running_loop()

        def deliver(message: Message | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop ended before the socket did
                loop.call_soon_threadsafe(inbox.put, message)

        self._socket = await asyncio.to_thread(
            _subscribed, self._url, self._topics, self._credentials, deliver
        )

    async def _disconnect(self) -> None:
        raw, self._socket = self._socket, None
        if raw is not None:
            await asyncio.to_thread(raw.stop)

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


class _RawSocket(WebSocket):  # type: ignore[misc]
    """pybit's socket on an address of ours; every frame goes to ``deliver``, None at the end."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        deliver: Callable[[Message | None], None],
    ) -> None:
        self._address = url
        self._deliver = deliver
        self.answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        # It calls each lost connection an error; we say what was lost, and what that means.
        logging.getLogger("websocket").setLevel(logging.CRITICAL)
        super().__init__(
            channel_type="private" if credentials else "linear",
            testnet=False,
            api_key=credentials.api_key if credentials else None,
            api_secret=credentials.api_secret if credentials else None,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            retries=2,
            restart_on_error=False,
            private_auth_expire=AUTH_VALID_SECONDS,
            callback_function=deliver,
        )
        client = self.ws.sock
        # websocket-client drops a socket that the other side closed without closing it.
        self._tcp: socket.socket | None = None if client is None else client.sock

    def _connect(self, url: str) -> None:
        """Connect to our own address: pybit's templates know Bybit's hosts alone."""
        del url
        super()._connect(self._address)

    def _on_message(self, message: str) -> None:
        """Hand over data, keep acknowledgements apart; pongs are a sign of life."""
        frame = json.loads(message, parse_float=str)
        if "topic" in frame:
            self._deliver(frame)
            return
        if frame.get("op") in ("auth", "subscribe"):
            self.answers.put(frame)
        self._deliver({})

    def _on_pong(self) -> None:
        self._deliver({})
        super()._on_pong()

    def _on_error(self, error: Exception) -> None:
        """Say that it is over: pybit raises here, in its own thread, where nobody hears it."""
        self.exited = True
        self._stop_custom_ping_timer()
        log.info("stream_error", url=self._address, detail=f"{type(error).__name__}: {error}")
        self._deliver(None)

    def _on_close(self) -> None:
        self._deliver(None)

    def is_alive(self) -> bool:
        """Whether the socket is open and its thread reads."""
        return bool(self.is_connected() and self.wst.is_alive())

    def stop(self) -> None:
        """Close at once: pybit's ``exit`` waits seconds for a close frame its thread has taken."""
        self.exited = True
        self._stop_custom_ping_timer()
        self.ws.keep_running = False
        client = self.ws.sock
        # The reader may close it under our hands, which raises a dozen kinds of "already closed".
        with contextlib.suppress(Exception):
            if client is not None:
                client.send_close()
        with contextlib.suppress(OSError):
            if self._tcp is not None:
                self._tcp.shutdown(socket.SHUT_RDWR)
        self.wst.join(timeout=PING_SECONDS)
        if self._tcp is not None:
            self._tcp.close()


def _subscribed(
    url: str,
    topics: Sequence[str],
    credentials: Credentials | None,
    deliver: Callable[[Message | None], None],
) -> _RawSocket:
    """Return a connected socket whose key and topics the venue has confirmed. Blocks."""
    try:
        raw = _RawSocket(url, credentials, deliver)
    except Exception as error:  # websocket-client and pybit raise a dozen kinds
        raise ExchangeUnavailable(f"{type(error).__name__}: {error}") from error
    try:
        if credentials is not None:
            answer = _answer(raw)
            if answer.get("success") is not True:
                raise Disarmed(10003, str(answer.get("ret_msg", "authentication failed")))
        for start in range(0, len(topics), TOPICS_PER_REQUEST):
            part = list(topics[start : start + TOPICS_PER_REQUEST])
            raw.ws.send(json.dumps({"op": "subscribe", "req_id": str(start), "args": part}))
            answer = _answer(raw)
            if answer.get("success") is not True:
                raise Misconfigured(
                    f"Bybit refuses the topics {', '.join(part)} ({answer.get('ret_msg')}); "
                    "take the symbols it does not know out of CARRY_SYMBOLS."
                )
    except BaseException:
        raw.stop()
        raise
    return raw


def _answer(raw: _RawSocket) -> Message:
    try:
        return raw.answers.get(timeout=ACK_SECONDS)
    except queue.Empty:
        raise ExchangeUnavailable(f"no answer within {ACK_SECONDS:g} s") from None
