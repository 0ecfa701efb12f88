"""A venue that says what a test scripts: V5 envelopes over HTTP, topics over websockets, faults."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

Answer = Callable[["Asked"], "dict[str, Any] | Response"]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    fields: dict[str, Any]
    raw: str
    headers: dict[str, str]


@dataclass
class ScriptedVenue:
    """``answers`` by path, ``held`` back until the event; ``greetings`` follow a subscription."""

    answers: dict[str, Answer] = field(default_factory=dict)
    greetings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused_topics: set[str] = field(default_factory=set)
    auth_succeeds: bool = True
    asked: list[Asked] = field(default_factory=list)
    sockets: dict[str, list[WebSocket]] = field(default_factory=dict)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    connections: int = 0
    port: int = 0

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def on(self, path: str, result: dict[str, Any]) -> None:
        self.answers[path] = lambda _: envelope(result)

    def refuse(self, path: str, code: int, message: str = "no") -> None:
        self.answers[path] = lambda _: envelope({}, code=code, message=message)

    async def push(self, path: str, message: dict[str, Any]) -> None:
        for socket in list(self.sockets.get(path, [])):
            await socket.send_text(json.dumps(message))

    async def drop(self, path: str) -> None:
        for socket in list(self.sockets.get(path, [])):
            await socket.close()

    async def http(self, request: Request) -> Response:
        body = (await request.body()).decode()
        fields = json.loads(body) if body else dict(request.query_params)
        raw = body or request.url.query
        asked = Asked(request.method, request.url.path, fields, raw, dict(request.headers))
        self.asked.append(asked)
        answer = self.answers.get(asked.path)
        if answer is None:
            return Response(status_code=404)
        said = answer(asked)
        if asked.path in self.held:
            await self.held[asked.path].wait()
        return said if isinstance(said, Response) else JSONResponse(said)

    async def socket(self, socket: WebSocket) -> None:
        await socket.accept()
        self.connections += 1
        path = socket.url.path
        self.sockets.setdefault(path, []).append(socket)
        try:
            while True:
                await self._said(socket, json.loads(await socket.receive_text()))
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self.sockets[path].remove(socket)

    async def _said(self, socket: WebSocket, message: dict[str, Any]) -> None:
        match message["op"]:
            case "ping":
                await socket.send_text('{"success":true,"ret_msg":"pong","op":"ping"}')
            case "auth":
                said = {"op": "auth", "success": self.auth_succeeds, "ret_msg": "x"}
                await socket.send_text(json.dumps(said))
            case "subscribe":
                topics = message["args"]
                success = not self.refused_topics.intersection(topics)
                said = {"op": "subscribe", "success": success, "ret_msg": "bad topic"}
                await socket.send_text(json.dumps({**said, "req_id": message["req_id"]}))
                for greeting in (g for topic in topics for g in self.greetings.get(topic, [])):
                    await socket.send_text(json.dumps(greeting))


def envelope(result: Any, *, code: int = 0, message: str = "OK") -> dict[str, Any]:
    return {
        "retCode": code,
        "retMsg": message,
        "result": result,
        "retExtInfo": {},
        "time": 1_700_000_000_000,
    }


@contextlib.asynccontextmanager
async def scripted_venue() -> AsyncIterator[ScriptedVenue]:
    """Serve a scripted venue on a free port of this machine."""
    venue = ScriptedVenue()
    app = Starlette(
        routes=[
            WebSocketRoute("/{path:path}", venue.socket),
            Route("/{path:path}", venue.http, methods=["GET", "POST"]),
        ]
    )
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, ws="websockets-sansio", log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.005)
        venue.port = server.servers[0].sockets[0].getsockname()[1]
        yield venue
    finally:
        server.should_exit = server.force_exit = True
        await serving
