"""ccxt's Bybit client as our REST client and socket: its signing, sessions and pings, our meaning.

Unified structures carry prices as binary floats; answers and frames are therefore taken as they
came, and read by the same parsers as pybit's.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

import ccxt.pro
from ccxt.base.errors import AuthenticationError, BaseError

from shared.domain.errors import (
    CarryError,
    ExchangeUnavailable,
    Malformed,
    OutcomeUnknown,
)
from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.errors import (
    HTTP_BANNED,
    TOO_MANY,
    Banned,
    Disarmed,
    refused_read,
    refused_write,
)
from shared.exchange.bybit.parse import milliseconds
from shared.exchange.bybit.rest import (
    RECV_WINDOW_MS,
    TIMEOUT_SECONDS,
    Credentials,
    refuse_stalled,
    result_of,
)
from shared.exchange.bybit.stream import (
    ACK_SECONDS,
    PING_SECONDS,
    Deliver,
    Message,
    Socket,
    pages,
    require_subscribed,
)
from shared.runtime.clock import Clock

PATHS: Final[Mapping[str, tuple[str, str, str]]] = {
    "get_server_time": ("public", "GET", "market/time"),
    "get_instruments_info": ("public", "GET", "market/instruments-info"),
    "get_funding_rate_history": ("public", "GET", "market/funding/history"),
    "get_kline": ("public", "GET", "market/kline"),
    "get_mark_price_kline": ("public", "GET", "market/mark-price-kline"),
    "get_adl_alert": ("public", "GET", "market/adlAlert"),
    "get_orderbook": ("public", "GET", "market/orderbook"),
    "get_api_key_information": ("private", "GET", "user/query-api"),
    "get_account_info": ("private", "GET", "account/info"),
    "get_collateral_info": ("private", "GET", "account/collateral-info"),
    "get_wallet_balance": ("private", "GET", "account/wallet-balance"),
    "get_transaction_log": ("private", "GET", "account/transaction-log"),
    "get_user_setting_config": ("private", "GET", "account/user-setting-config"),
    "get_positions": ("private", "GET", "position/list"),
    "get_executions": ("private", "GET", "execution/list"),
    "get_open_orders": ("private", "GET", "order/realtime"),
    "get_order_history": ("private", "GET", "order/history"),
    "place_order": ("private", "POST", "order/create"),
    "cancel_order": ("private", "POST", "order/cancel"),
    "set_limit_price_action": ("private", "POST", "account/set-limit-px-action"),
}
"""Where each method that feed and gateway call leads: pybit's names, Bybit's paths."""

SIGNED_AT: Final[ContextVar[datetime | None]] = ContextVar("signed_at", default=None)


class CcxtClient:
    """Implements ``Rest``, and ``connect`` makes ``Socket``; one for REST and both sorts of stream.

    ``endpoints`` take the place of Bybit's own addresses, every one of them.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        credentials: Credentials | None,
        *,
        clock: Clock,
        receive_window_ms: int = RECV_WINDOW_MS,
    ) -> None:
        self._clock = clock
        self._exchange = _Bybit(
            {
                "apiKey": credentials.api_key if credentials else "",
                "secret": credentials.api_secret if credentials else "",
                "timeout": TIMEOUT_SECONDS * 1000,
                "enableRateLimit": False,  # the budget is ours: it knows what goes first
                "timeout_on_exit": 0,
                "options": {"recvWindow": receive_window_ms},
                "streaming": {"keepAlive": PING_SECONDS * 1000},
            }
        )
        _point_at(self._exchange, endpoints)

    async def read(self, method: str, /, **query: str | int) -> Mapping[str, Any]:
        """Return the ``result`` of one read; raises what ``RestClient.read`` raises."""
        try:
            answer = await self._send(method, query)
        except Exception as error:  # the adapter's edge: every library's failure becomes ours
            raise _failure(error, ExchangeUnavailable) from error
        code, message = _verdict(answer, Malformed)
        if code:
            raise refused_read(code, message)
        return result_of(answer, Malformed)

    async def write(
        self,
        method: str,
        query: Mapping[str, str | int | bool],
        *,
        signed_at: datetime | None = None,
        done_codes: frozenset[int] = frozenset(),
    ) -> Mapping[str, Any]:
        """Return the ``result`` of one write, sent once; raises as ``RestClient.write`` does."""
        refuse_stalled(signed_at, self._clock)
        token = SIGNED_AT.set(signed_at)
        try:
            answer = await self._send(method, query)
        except Exception as error:  # the adapter's edge, as above
            raise _failure(error, OutcomeUnknown) from error
        finally:
            SIGNED_AT.reset(token)
        code, message = _verdict(answer, OutcomeUnknown)
        if code in done_codes:
            return {}
        if code:
            raise refused_write(code, message)
        return result_of(answer, OutcomeUnknown)

    async def connect(self, url: str, topics: Sequence[str], deliver: Deliver) -> Socket:
        """Return a connected socket whose key and topics the venue has confirmed.

        Raises: ExchangeUnavailable; Disarmed when the key is refused, Misconfigured when a topic.
        """
        hearing = _Hearing(deliver)
        self._exchange.hearing[url] = hearing
        try:
            return await self._subscribed(url, topics, hearing)
        except BaseException:
            await self._exchange.forget(url)
            raise

    async def close(self) -> None:
        """Let go of sockets and sessions."""
        await self._exchange.close()

    async def _send(self, method: str, query: Mapping[str, Any]) -> Any:
        access, verb, path = PATHS[method]
        return await self._exchange.request(f"v5/{path}", [access], verb, dict(query))

    async def _subscribed(self, url: str, topics: Sequence[str], hearing: "_Hearing") -> Socket:
        private = url.endswith("/private")
        try:
            client = self._exchange.client(url)
            await client.open(self._exchange.session)
            if client.error is not None:
                raise client.error
            if private:
                await asyncio.wait_for(self._exchange.authenticate(url), timeout=ACK_SECONDS)
            for number, page in enumerate(pages(topics)):
                await client.send({"op": "subscribe", "req_id": str(number), "args": page})
                answer = await asyncio.wait_for(hearing.answers.get(), timeout=ACK_SECONDS)
                require_subscribed(answer.get("success"), answer.get("ret_msg"), page)
        except AuthenticationError as error:
            raise Disarmed(10003, str(error)) from error
        except (BaseError, OSError, TimeoutError) as error:
            raise ExchangeUnavailable(f"{type(error).__name__}: {error}") from error
        return _CcxtSocket(self._exchange, url)


class _Hearing:
    """Who hears the frames of one address."""

    def __init__(self, deliver: Deliver) -> None:
        self.deliver = deliver
        self.answers: asyncio.Queue[Message] = asyncio.Queue()


class _Bybit(ccxt.pro.bybit):  # type: ignore[misc]
    """ccxt's client, whose frames come to us and whose refusals are told by their code."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.hearing: dict[str, _Hearing] = {}
        self.quoteJsonNumbers = False

    def nonce(self) -> int:
        """Sign with the journaled instant where one is given: see ``Session`` of pybit."""
        signed_at = SIGNED_AT.get()
        return int(super().nonce()) if signed_at is None else milliseconds(signed_at)

    @staticmethod
    def hmac(request: bytes, secret: bytes, *rest: Any) -> Any:
        """Sign with RSA where the secret is a private key: ccxt's socket tries HMAC alone."""
        if b"PRIVATE KEY" in secret:
            return ccxt.pro.bybit.rsa(request.decode(), secret.decode(), "sha256")
        return ccxt.pro.bybit.hmac(request, secret, *rest)

    def handle_errors(
        self, status: int, _reason: str, _url: str, _method: str, headers: Any, _body: str,
        answer: Any, *_: object,
    ) -> None:  # fmt: skip
        """Say what the budget must hear; leave the rest: ccxt's classes lose the venue's code."""
        if status == HTTP_BANNED:
            raise Banned(f"HTTP {status}")
        if isinstance(answer, dict) and answer.get("retCode") == TOO_MANY:
            raise refused_read(TOO_MANY, str(answer.get("retMsg", "")), headers)

    def handle_message(self, client: Any, message: Any) -> None:
        """Hand over data, keep acknowledgements apart; the rest is a sign of life."""
        hearing = self.hearing.get(client.url)
        if hearing is None or not isinstance(message, dict):
            return
        if "topic" in message:
            hearing.deliver(message)
            return
        if message.get("op") == "subscribe":
            hearing.answers.put_nowait(message)
        elif message.get("op") == "auth":
            self.handle_authenticate(client, message)
        else:
            self.handle_pong(client, message)
        hearing.deliver({})

    def on_error(self, client: Any, error: Any) -> None:
        """Say that the connection is over."""
        super().on_error(client, error)
        self._end(client)

    def on_close(self, client: Any, error: Any) -> None:
        """Say that the connection is over."""
        super().on_close(client, error)
        self._end(client)

    async def forget(self, url: str) -> None:
        """Close one address's socket, so that the next begins anew."""
        self.hearing.pop(url, None)
        client = self.clients.pop(url, None)
        if client is not None:
            await client.close()

    def _end(self, client: Any) -> None:
        hearing = self.hearing.get(client.url)
        if hearing is not None:
            hearing.deliver(None)


class _CcxtSocket:
    """One address's connection as its supervisor sees it."""

    def __init__(self, exchange: _Bybit, url: str) -> None:
        self._exchange = exchange
        self._url = url

    def is_alive(self) -> bool:
        """Whether the connection stands."""
        client = self._exchange.clients.get(self._url)
        return client is not None and not client.closed()

    async def stop(self) -> None:
        """Close at once."""
        await self._exchange.forget(self._url)


def _point_at(exchange: _Bybit, endpoints: Endpoints) -> None:
    """Replace every address of Bybit's that ccxt knows, in whatever table."""
    exchange.urls = {**exchange.urls, "api": dict.fromkeys(("public", "private"), endpoints.rest)}
    exchange.hostname = ""


def _verdict(answer: Any, failure: type[CarryError]) -> tuple[int, str]:
    """Return the venue's code, zero for a success, and its words."""
    code = answer.get("retCode") if isinstance(answer, dict) else None
    if isinstance(code, bool) or not isinstance(code, int):
        raise failure("the answer holds no retCode")
    return code, str(answer.get("retMsg", ""))


def _failure(error: Exception, doubt: type[CarryError]) -> CarryError:
    """Return ours for ccxt's: what is not ours already is ``doubt``."""
    return error if isinstance(error, CarryError) else doubt(f"{type(error).__name__}: {error}")
