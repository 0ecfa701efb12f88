"""One port: ``/v5/...`` over HTTP and websockets, ``/sim/...`` for its keeper, probes, metrics."""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from services.simulator.auth import AddressLimits, Keyring, RateLimits
from services.simulator.desk import Desk
from services.simulator.pool import Pressed
from services.simulator.public import PUBLIC_ROUTES, PublicApi
from services.simulator.query import Query
from services.simulator.routes import private_routes
from services.simulator.trading import Sample
from services.simulator.wire import log_row
from shared.runtime.clock import Clock
from shared.telemetry.metrics import Metrics
from shared.venue.amounts import ZERO, plain
from shared.venue.rules import Refused

log = structlog.get_logger()

Row = dict[str, Any]

TOO_MANY: Final = Refused(10006, "Too many visits. Exceeded the API Rate Limit.")
LOOPBACK: Final = ("127.0.0.1", "::1")
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LOG_TAIL: Final = 20


class Answers(Protocol):
    """Whoever answers under ``/v5``."""

    async def answer(self, request: Request) -> Response:
        """Return the answer to one request."""


class Door:
    """Takes requests in, checks who asks, and wraps what comes back as the venue does."""

    def __init__(
        self,
        desk: Desk,
        key: Keyring,
        wall: Clock,
        metrics: Metrics,
        addresses: AddressLimits,
        sample: Sample,
        pressed: Pressed = frozenset,
    ) -> None:
        self._public = PublicApi(desk, wall, pressed)
        self._private = private_routes(desk, self._public, key.api_key, sample, pressed)
        self._key = key
        self._wall = wall
        self._limits = RateLimits()
        self._addresses = addresses
        self._requests = metrics.counter(
            "requests",
            "V5 requests answered",
            {"outcome": ("ok", "refused", "unknown_path", "banned")},
        )

    async def answer(self, request: Request) -> Response:
        """Return the answer to one ``/v5`` request; every refusal is HTTP 200 with its code."""
        path = request.path_params["path"]
        host = request.client.host if request.client is not None else ""
        if not self._addresses.admit(host, self.now_ms()):
            self._requests.labels("banned").inc()
            return Response("access too frequent", status_code=403)
        endpoint, public = self._private.get(path), PUBLIC_ROUTES.get(path)
        if (endpoint.method if endpoint else "GET" if public else None) != request.method:
            self._requests.labels("unknown_path").inc()
            return Response(status_code=404)
        headers: dict[str, str] = {}
        ext: Row = {}
        try:
            if endpoint is not None:
                posts = endpoint.method == "POST"
                raw = await request.body() if posts else request.scope["query_string"]
                self._key.check_request(request.headers, raw, self.now_ms())
                query = Query.of_body(raw) if posts else Query.of_string(raw)
                result, ext = await self.execute(path, query, headers)
            else:
                ask: Callable[[Query], Row] = getattr(self._public, str(public))
                result = ask(Query.of_string(request.scope["query_string"]))
        except Refused as refusal:
            self._requests.labels("refused").inc()
            return self._envelope(refusal.result, {}, refusal.code, refusal.message, headers)
        self._requests.labels("ok").inc()
        return self._envelope(result, ext, 0, "OK", headers)

    async def execute(self, path: str, query: Query, headers: dict[str, str]) -> tuple[Row, Row]:
        """Return result and ``retExtInfo`` of a signed request; ``headers`` learn the limits.

        REST and the trade socket share the account's limits. Raises: Refused.
        """
        endpoint = self._private[path]
        limit, name = endpoint.limit, path
        if endpoint.spot is not None and query.text("category") == "spot":
            limit, name = endpoint.spot, f"{path} spot"
        given = query.fields.get("request") if endpoint.batch else None
        count = max(1, len(given)) if isinstance(given, list) else 1
        admitted = 0
        for _ in range(count):
            fits, shown = self._limits.take(name, limit, self.now_ms())
            admitted += fits
            headers.update(shown)
        if not admitted:
            raise TOO_MANY
        said = await endpoint.answer(replace(query, admitted=admitted))
        return said if isinstance(said, tuple) else (said, {})

    def now_ms(self) -> int:
        """Wall time in milliseconds."""
        return int(self._wall.now().timestamp() * 1000)

    def _envelope(
        self, result: Row, ext: Row, code: int, message: str, headers: Mapping[str, str]
    ) -> Response:
        body = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": ext,
            "time": self.now_ms(),
        }
        return _json(body, headers=headers)


class Keeper:
    """``/sim/*``: for callers on this machine, or with the token."""

    def __init__(self, desk: Desk, admin_token: str | None) -> None:
        self._desk = desk
        self._token = admin_token

    async def start(self, request: Request) -> Response:
        """Release venue time."""
        return await self._act(request, self._release)

    async def freeze(self, request: Request) -> Response:
        """Stop venue time."""
        return await self._act(request, self._desk.freeze)

    async def state(self, request: Request) -> Response:
        """Show the books."""
        return await self._act(request, None)

    async def _release(self) -> None:
        self._desk.start()

    async def _act(self, request: Request, change: Callable[[], Any] | None) -> Response:
        if not self._admits(request):
            return Response(status_code=403)
        if change is not None:
            await change()
        return _json(venue_state(self._desk))

    def _admits(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._token and hmac.compare_digest(given.encode(), self._token.encode()):
            return True
        return request.client is not None and request.client.host in LOOPBACK


def venue_state(desk: Desk) -> Row:
    """Return the venue's own books: amounts as strings, sizes and entry values signed."""
    exchange = desk.exchange
    deposits = {e.currency: plain(e.cash_flow) for e in exchange.log if e.type == "TRANSFER_IN"}
    positions = {
        symbol: {
            "size": plain(p.size),
            "entry_value": plain(p.entry_value if p.size >= ZERO else -p.entry_value),
        }
        for symbol, p in exchange.positions.items()
        if p.size
    }
    marks = {symbol: plain(mark) for symbol, mark in exchange.marks.items()}
    return {
        "venue_ms": desk.now_ms,
        "frozen": desk.started and not desk.clock.running,
        "started": desk.started,
        "speed": plain(desk.clock.speed),
        "counts": desk.counts(),
        "wallet": {coin: plain(amount) for coin, amount in exchange.wallet.items()},
        "positions": positions,
        "prices": {"spot": _middles(desk), "mark": marks},
        "deposits": deposits,
        "log_tail": [log_row(entry) for entry in exchange.log[-LOG_TAIL:]],
    }


def build_app(
    desk: Desk,
    door: Answers,
    sockets: Mapping[str, Callable[[WebSocket], Awaitable[None]]],
    metrics: Metrics,
    admin_token: str | None,
) -> Starlette:
    """Return the application of one simulator; ``sockets`` serve websockets by path."""
    keeper = Keeper(desk, admin_token)

    async def alive(_: Request) -> Response:
        return _json({"status": "alive", "service": metrics.service})

    async def ready(_: Request) -> Response:
        return _json({"status": "ready"})

    async def figures(_: Request) -> Response:
        return Response(metrics.render(), media_type=METRICS_TYPE)

    return Starlette(
        routes=[
            Route("/v5/{path:path}", door.answer, methods=["GET", "POST"]),
            *(WebSocketRoute(path, serve) for path, serve in sockets.items()),
            Route("/sim/start", keeper.start, methods=["POST"]),
            Route("/sim/freeze", keeper.freeze, methods=["POST"]),
            Route("/sim/state", keeper.state, methods=["GET"]),
            Route("/healthz", alive, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/metrics", figures, methods=["GET"]),
        ]
    )


def _middles(desk: Desk) -> dict[str, str]:
    middles = {symbol: desk.middle("spot", symbol) for symbol in desk.market.symbols}
    return {symbol: plain(middle) for symbol, middle in middles.items() if middle is not None}


def _json(body: Row, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, media_type="application/json", headers=dict(headers or {}))
