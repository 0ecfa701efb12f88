"""picows' websocket for the public firehose: it reads inside the loop, without a thread between."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog
from picows import (
    WSAutoPingStrategy,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from shared.domain.errors import ExchangeUnavailable
from shared.exchange.bybit.frames import PublicFrame, decoded
from shared.exchange.bybit.stream import (
    ACK_SECONDS,
    PING_SECONDS,
    PONG_SECONDS,
    Deliver,
    Message,
    Socket,
    pages,
    require_subscribed,
)

log = structlog.get_logger()

TEXT: Final = WSMsgType.TEXT
PING: Final = b'{"op":"ping"}'
SIGN_OF_LIFE: Final[Message] = {}


async def connect_picows(url: str, topics: Sequence[str], deliver: Deliver) -> Socket:
    """Return a connected socket whose topics the venue has confirmed.

    Raises: ExchangeUnavailable; Misconfigured when a topic is refused.
    """
    try:
        transport, listener = await ws_connect(
            lambda: _Listener(deliver),
            url,
            websocket_handshake_timeout=ACK_SECONDS,
            enable_auto_ping=True,
            auto_ping_idle_timeout=PING_SECONDS,
            auto_ping_reply_timeout=PONG_SECONDS,
            auto_ping_strategy=WSAutoPingStrategy.PING_PERIODICALLY,
        )
    except (OSError, WSError, TimeoutError) as error:
        raise ExchangeUnavailable(f"{type(error).__name__}: {error}") from error
    assert isinstance(listener, _Listener)
    connected = _PicowsSocket(transport)
    try:
        for number, page in enumerate(pages(topics)):
            said = {"op": "subscribe", "req_id": str(number), "args": page}
            transport.send(WSMsgType.TEXT, msgspec.json.encode(said))
            async with asyncio.timeout(ACK_SECONDS):
                answer = await listener.answers.get()
            require_subscribed(answer.success, answer.ret_msg, page)
    except TimeoutError:
        await connected.stop()
        raise ExchangeUnavailable(f"no answer within {ACK_SECONDS:g} s") from None
    except BaseException:
        await connected.stop()
        raise
    return connected


class _Listener(WSListener):
    """Decodes each frame where it lies and hands it over; keeps acknowledgements apart."""

    def __init__(self, deliver: Deliver) -> None:
        super().__init__()
        self._deliver = deliver
        self._begun = b""
        self.answers: asyncio.Queue[PublicFrame] = asyncio.Queue()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take in one frame; a message may come in several."""
        kind = frame.msg_type
        if kind == TEXT and frame.fin:
            self._hear(transport, frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            transport.disconnect()
        elif kind in (TEXT, WSMsgType.CONTINUATION):
            self._begun += frame.get_payload_as_bytes()
            if frame.fin:
                whole, self._begun = self._begun, b""
                self._hear(transport, whole)
        else:
            self._deliver(SIGN_OF_LIFE)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Say that it is over."""
        self._deliver(None)

    def send_user_specific_ping(self, transport: WSTransport) -> None:
        """Ping as the venue asks for it, in text."""
        transport.send(WSMsgType.TEXT, PING)

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        """Let every frame through: the pong is told apart once it is decoded."""
        del frame
        return False

    def _hear(self, transport: WSTransport, payload: bytes) -> None:
        frame = decoded(payload)
        if not frame.op:
            self._deliver(frame)
            return
        if frame.op == "subscribe":
            self.answers.put_nowait(frame)
        transport.notify_user_specific_pong_received()
        self._deliver(SIGN_OF_LIFE)


class _PicowsSocket:
    """The open connection as its supervisor sees it."""

    def __init__(self, transport: WSTransport) -> None:
        self._transport = transport

    def is_alive(self) -> bool:
        """Whether the connection stands."""
        return not self._transport.is_disconnected

    async def stop(self) -> None:
        """Close at once, without waiting for the venue's goodbye."""
        self._transport.disconnect(graceful=False)
