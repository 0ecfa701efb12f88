"""``/healthz`` (alive), ``/readyz`` (fit for work) and ``/metrics`` of one service.

A few lines of HTTP over asyncio: a service that only answers probes needs no web framework.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self

from shared.telemetry.metrics import Metrics

Readiness = Callable[[], Awaitable[Sequence[str]]]
"""Returns why the service is not ready, one short sentence each; nothing when it is."""

Answer = tuple[int, str, bytes]

REQUEST_SECONDS: Final = 5.0
READINESS_SECONDS: Final = 2.0
REQUEST_BYTES: Final = 16 * 1024
CONNECTIONS_MAX: Final = 32
JSON_TYPE: Final = "application/json"
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
REASONS: Final = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    503: "Service Unavailable",
}  # fmt: skip


class HealthServer:
    """``async with HealthServer(...)``: probes answer inside the block; ``port`` 0 picks one."""

    def __init__(
        self, metrics: Metrics, *, host: str = "127.0.0.1", port: int, ready: Readiness
    ) -> None:
        self.host = host
        self.port = port
        self._metrics = metrics
        self._ready = ready
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, limit=REQUEST_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= CONNECTIONS_MAX:
            writer.close()
            return
        self._open.add(task)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                writer.write(_encoded(await self._answer(reader)))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            # The caller left, was too slow, or we are stopping: there is nobody to answer.
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _version = head.partition(b"\r\n")[0].decode("ascii").split(" ")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return _json(400, {"status": "unreadable request"})
        if method != "GET":
            return _json(405, {"status": "only GET is answered"})
        return await self._page(target.partition("?")[0])

    async def _page(self, path: str) -> Answer:
        match path:
            case "/healthz":
                return _json(200, {"status": "alive", "service": self._metrics.service})
            case "/readyz":
                return await self._readiness()
            case "/metrics":
                return 200, METRICS_TYPE, self._metrics.render()
            case _:
                return _json(404, {"status": "no such page"})

    async def _readiness(self) -> Answer:
        try:
            async with asyncio.timeout(READINESS_SECONDS):
                reasons = list(await self._ready())
        except TimeoutError:
            reasons = [f"readiness was not known within {READINESS_SECONDS:g} s"]
        except Exception as error:  # an unknown state is "not ready", never a dead probe
            reasons = [f"readiness failed: {type(error).__name__}"]
        if reasons:
            return _json(503, {"status": "not ready", "reasons": reasons})
        return _json(200, {"status": "ready"})


def _json(status: int, body: object) -> Answer:
    return status, JSON_TYPE, json.dumps(body, separators=(",", ":")).encode()


def _encoded(answer: Answer) -> bytes:
    status, kind, body = answer
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
