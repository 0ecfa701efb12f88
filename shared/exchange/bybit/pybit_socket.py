"""pybit's websocket in raw mode, for the private stream.

pybit's own reconnecting, merging and acknowledging are not used: they lose the socket for good on
a short outage, on a refused topic and on a message that comes too early.
"""

import asyncio
import contextlib
import json
import logging
import queue
import socket
from collections.abc import Sequence
from typing import Final

import structlog
from pybit.unified_trading import WebSocket

from shared.domain.errors import ExchangeUnavailable
from shared.exchange.bybit.errors import Disarmed
from shared.exchange.bybit.rest import Credentials
from shared.exchange.bybit.stream import (
    ACK_SECONDS,
    PING_SECONDS,
    PONG_SECONDS,
    Connect,
    Deliver,
    Message,
    Socket,
    pages,
    require_subscribed,
)

log = structlog.get_logger()

AUTH_VALID_SECONDS: Final = 10


def pybit_connector(credentials: Credentials | None = None) -> Connect:
    """Return what connects pybit's socket; with credentials it opens the private stream."""

    async def connect(url: str, topics: Sequence[str], deliver: Deliver) -> Socket:
        loop = asyncio.get_running_loop()

        def deliver_soon(message: Message | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop ended before the socket did
                loop.call_soon_threadsafe(deliver, message)

        return await asyncio.to_thread(_subscribed, url, topics, credentials, deliver_soon)

    return connect


class _RawSocket(WebSocket):  # type: ignore[misc]
    """pybit's socket on an address of ours; every frame goes to ``deliver``, None at the end."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        deliver: Deliver,
    ) -> None:
        self._address = url
        self._deliver = deliver
        self.answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        # It calls each lost connection an error; we say what was lost, and what that means.
        logging.getLogger("websocket").setLevel(logging.CRITICAL)
        super().__init__(
            channel_type="private" if credentials else "linear",
            testnet=False,
            rsa_authentication=credentials is not None and credentials.signs_with_rsa,
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

    async def stop(self) -> None:
        """Close at once, off the loop."""
        await asyncio.to_thread(self.stop_now)

    def stop_now(self) -> None:
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
    url: str, topics: Sequence[str], credentials: Credentials | None, deliver: Deliver
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
        for number, page in enumerate(pages(topics)):
            raw.ws.send(json.dumps({"op": "subscribe", "req_id": str(number), "args": page}))
            answer = _answer(raw)
            require_subscribed(answer.get("success"), answer.get("ret_msg"), page)
    except BaseException:
        raw.stop_now()
        raise
    return raw


def _answer(raw: _RawSocket) -> Message:
    try:
        return raw.answers.get(timeout=ACK_SECONDS)
    except queue.Empty:
        raise ExchangeUnavailable(f"no answer within {ACK_SECONDS:g} s") from None
