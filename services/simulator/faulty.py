"""The door of a venue where things go wrong: each fault as its client would meet it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from services.simulator.app import Door
from services.simulator.faults import KEYED, Faults
from services.simulator.public import PUBLIC_ROUTES
from services.simulator.query import Query
from services.simulator.script import Fault
from shared.runtime.clock import Clock
from shared.venue.rules import Refused

SILENT_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.02
HTML: Final = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
READS: Final = ("order/realtime", "order/history", "execution/list")

Happens = Callable[[Fault], Awaitable[None]]


class FaultyDoor:
    """Answers as ``door`` does, but for what ``faults`` says; ``happens`` does what is no answer.

    A lost request or reply is silence until the client leaves, and HTTP 504 after ``seconds``.
    """

    def __init__(self, door: Door, faults: Faults, wall: Clock, happens: Happens) -> None:
        self._door = door
        self._faults = faults
        self._wall = wall
        self._happens = happens

    async def answer(self, request: Request) -> Response:
        """Return the answer to one ``/v5`` request, or what the script makes of it."""
        await self.happen()
        path = request.path_params["path"]
        if path == "system/status":
            return self._envelope(0, "OK", {"list": self._faults.status()})
        private = path not in PUBLIC_ROUTES
        fault = self._faults.request(path, await _symbol(request), private=private)
        if fault is not None:
            return await self._ill(request, fault)
        return self._unseen(path, await self._door.answer(request))

    async def happen(self) -> None:
        """Do what has come due: restarts, cuts."""
        for fault in self._faults.moments():
            await self._happens(fault)

    async def run(self) -> None:
        """Do what comes due also while nobody asks."""
        while True:
            await self.happen()
            await self._wall.sleep(POLL_SECONDS)

    async def _ill(self, request: Request, fault: Fault) -> Response:
        match fault.kind:
            case "lost_request":
                return await self._silence(request, fault)
            case "lost_reply":
                await self._door.answer(request)
                return await self._silence(request, fault)
            case "late_request":
                await request.body()
                await self._wall.sleep(fault.seconds)
                return await self._door.answer(request)
            case "late_reply":
                response = await self._door.answer(request)
                await self._wall.sleep(fault.seconds)
                return response
            case "malformed":
                return _malformed(await self._door.answer(request), fault.form)
        if fault.executes:
            await self._door.answer(request)
        if fault.status != 200:
            return Response(HTML, fault.status, media_type="text/html")
        return self._envelope(fault.code, fault.message, {})

    async def _silence(self, request: Request, fault: Fault) -> Response:
        """Say nothing while the client listens."""
        left = fault.seconds or SILENT_SECONDS
        while left > 0 and not await request.is_disconnected():
            await self._wall.sleep(min(POLL_SECONDS, left))
            left -= POLL_SECONDS
        return Response(status_code=504)

    def _unseen(self, path: str, response: Response) -> Response:
        """Leave out of a read the orders that it does not show yet."""
        hidden = self._faults.hidden(path) if path in READS else frozenset()
        if not hidden:
            return response
        body = json.loads(bytes(response.body))
        rows = body["result"].get("list", [])
        body["result"]["list"] = [row for row in rows if row["orderId"] not in hidden]
        return _json(body, _limits(response))

    def _envelope(self, code: int, message: str, result: Mapping[str, Any]) -> Response:
        now = int(self._wall.now().timestamp() * 1000)
        body = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": now,
        }
        limited = {
            "X-Bapi-Limit": "10",
            "X-Bapi-Limit-Status": "0",
            "X-Bapi-Limit-Reset-Timestamp": str(now + 1000),
        }
        return _json(body, limited if code == 10006 else {})


async def _symbol(request: Request) -> str:
    """Return the symbol a request names, from its query or its body."""
    try:
        if request.method == "POST":
            return Query.of_body(await request.body()).text("symbol")
    except Refused:
        return ""
    return Query.of_string(request.scope["query_string"]).text("symbol")


def _malformed(response: Response, form: str) -> Response:
    text = ill_text(bytes(response.body).decode(), form)
    kind = "text/html" if form == "html" else "application/json"
    return Response(text, media_type=kind, headers=_limits(response))


def ill_text(text: str, form: str) -> str:
    """Return an answer that is none: a page, half the JSON, nothing, values of other types."""
    match form:
        case "html":
            return HTML
        case "cut":
            return text[: len(text) // 2]
        case "empty":
            return ""
    return json.dumps(_retyped(json.loads(text)), separators=(",", ":"))


def _retyped(value: Any) -> Any:
    """Return the value with texts as numbers and numbers as texts, containers kept."""
    match value:
        case dict():
            return {key: _retyped(inner) for key, inner in value.items()}
        case list():
            return [_retyped(inner) for inner in value]
        case str():
            return len(value)
        case None:
            return False
    return str(value)


def _limits(response: Response) -> dict[str, str]:
    return {k: v for k, v in response.headers.items() if k.startswith("x-bapi")}


def _json(body: Any, headers: Mapping[str, str]) -> Response:
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, media_type="application/json", headers=dict(headers))


def concerns(fault: Fault, channel: str) -> bool:
    """Return whether a restart, a cut and the like closes the sockets of ``channel``."""
    if fault.kind == "deleveraging":
        return False
    if fault.kind == "key_revoked":
        return channel in KEYED
    return fault.kind == "maintenance" or fnmatchcase(channel, fault.where)
