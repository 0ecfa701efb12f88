"""Around every request: security headers, nothing kept of /v1, and how long it took."""

from typing import Final

from prometheus_client import Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime.clock import Clock
from shared.telemetry.metrics import Metrics

HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
DECISIONS: Final = "/v1/decisions/"
ROUTES: Final = (
    "status", "overview", "equity", "pairs", "opportunities", "orders", "ledger", "funding-rates",
    "decisions", "runs", "events", "other", "pages",
)  # fmt: skip
CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")


class ApiMetrics:
    """The API's metrics in one registry."""

    def __init__(self) -> None:
        registry = Metrics("api")
        self.registry = registry
        self.requests: Counter = registry.counter(
            "requests", "Requests answered", {"route": ROUTES, "status": CLASSES}
        )
        self.seconds: Histogram = registry.histogram(
            "request_seconds", "From request to answer, event streams apart", {"route": ROUTES}
        )
        self.listeners = registry.gauge("listeners_count", "Open event streams")
        self.dropped = registry.counter("listeners_dropped", "Event streams that did not keep up")


class Guard:
    """Pure ASGI, so that streams pass through it frame by frame."""

    def __init__(self, app: ASGIApp, *, metrics: ApiMetrics, clock: Clock) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = self._clock.monotonic(), 500
        path = str(scope["path"])

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _protect(MutableHeaders(scope=message), path)
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        finally:
            route = route_name(path)
            self._metrics.requests.labels(route=route, status=f"{status // 100}xx").inc()
            if route != "events":
                took = self._clock.monotonic() - began
                self._metrics.seconds.labels(route=route).observe(took)


def route_name(path: str) -> str:
    """Return the bounded label of a path."""
    if not path.startswith("/v1/"):
        return "pages"
    name = path.removeprefix("/v1/").partition("/")[0]
    return name if name in ROUTES else "other"


def _protect(headers: MutableHeaders, path: str) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("content-security-policy", DATA_POLICY)
    if path.startswith("/v1"):
        headers["cache-control"] = "no-store"
