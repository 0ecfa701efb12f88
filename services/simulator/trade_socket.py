"""``/v5/trade``: order entry over a websocket, sharing the account's limits with REST."""

import contextlib
import json
from typing import Any, Final
from uuid import UUID

from starlette.websockets import WebSocket, WebSocketDisconnect

from services.simulator.app import Door
from services.simulator.auth import Keyring, check_window
from services.simulator.faults import Faults
from services.simulator.faulty import ill_text
from services.simulator.query import Query
from services.simulator.script import Fault
from shared.runtime.clock import Clock
from shared.venue.rules import Refused

Row = dict[str, Any]

OPERATIONS: Final = {
    f"order.{what}": f"order/{what}"
    for what in ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
}
CATEGORIES: Final = ("spot", "linear")
TRADE: Final = "trade"
REQUEST_ID_MAX: Final = 36
REMEMBERED: Final = 1_000


class TradeSocket:
    """Answers with the acceptance alone: what became of an order is told on the private stream."""

    def __init__(self, door: Door, key: Keyring, wall: Clock, faults: Faults | None = None) -> None:
        self._door = door
        self._key = key
        self._wall = wall
        self._faults = faults
        self._count = 0
        self._open: list[WebSocket] = []

    async def serve(self, socket: WebSocket) -> None:
        """Talk to one client until either side ends."""
        if self._faults is not None and self._faults.refuses(TRADE):
            await socket.close(1013)
            return
        await socket.accept()
        self._count += 1
        self._open.append(socket)
        talk = Talk(self._door, self._key, str(UUID(int=self._count)))
        try:
            while not talk.is_over:
                answer = await self._answer(talk, await socket.receive_text())
                if answer is not None:
                    await socket.send_text(answer)
            await socket.close(1008)
        except (WebSocketDisconnect, RuntimeError, KeyError):
            pass  # the client left, or sent bytes where the protocol has text
        finally:
            self._open.remove(socket)

    async def close(self) -> None:
        """Say goodbye to everybody."""
        for socket in list(self._open):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(1001)

    async def _answer(self, talk: "Talk", text: str) -> str | None:
        """Return the answer to one message, or what the script makes of it; None is silence."""
        fault = self._fault(text)
        if fault is None:
            return json.dumps(await talk.hear(text))
        match fault.kind:
            case "lost_request":
                return None
            case "late_request":
                await self._wall.sleep(fault.seconds)
                return json.dumps(await talk.hear(text))
            case "lost_reply" | "late_reply" | "malformed":
                answer = json.dumps(await talk.hear(text))
                if fault.kind == "malformed":
                    return ill_text(answer, fault.form)
                await self._wall.sleep(fault.seconds if fault.kind == "late_reply" else 0)
                return None if fault.kind == "lost_reply" else answer
        if fault.executes:
            await talk.hear(text)
        return json.dumps(talk.refuse(json.loads(text), fault.code, fault.message))

    def _fault(self, text: str) -> Fault | None:
        """Return what goes wrong with an order that is sent here."""
        if self._faults is None:
            return None
        try:
            said = json.loads(text)
            path, argument = OPERATIONS[said["op"]], said["args"][0]
            symbol = str(argument.get("symbol", ""))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None  # no order
        return self._faults.request(path, symbol, private=True)


class Talk:
    """One connection: authenticated or not, and the request ids it has used."""

    def __init__(self, door: Door, key: Keyring, name: str) -> None:
        self._door = door
        self._key = key
        self._name = name
        self._authorised = False
        self._used: dict[str, None] = {}
        self.is_over = False

    async def hear(self, text: str) -> Row:
        """Return the answer to one message."""
        try:
            said = json.loads(text, parse_float=str)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return self.refuse({}, 10001, "params error: no JSON object")
        operation = str(said.get("op"))
        now = self._door.now_ms()
        if operation == "ping":
            plain = {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(now)]}
            return plain | {"connId": self._name}
        if operation == "auth":
            return self._authorise(said, now)
        if operation not in OPERATIONS:
            return self.refuse(said, 10404, f"op {operation} is not known")
        if not self._authorised:
            return self.refuse(said, 10003, "not authenticated")
        return await self._order(said, OPERATIONS[operation], now)

    def _authorise(self, said: Row, now: int) -> Row:
        if self._authorised:
            return self.refuse(said, 20001, "Repeat auth")
        self._authorised = self._key.check_socket(said.get("args"), now)
        if not self._authorised:
            self.is_over = True
            return self.refuse(said, 10004, "error sign!")
        return {"retCode": 0, "retMsg": "OK", "op": "auth", "connId": self._name}

    async def _order(self, said: Row, path: str, now: int) -> Row:
        headers: dict[str, str] = {}
        try:
            self._check(said, now)
            (argument,) = said["args"]
            if argument.get("category") not in CATEGORIES:
                raise Refused(10404, "category is not correct")
            result, ext = await self._door.execute(path, Query(argument), headers)
        except Refused as refusal:
            return self.refuse(said, refusal.code, refusal.message, headers)
        return self._answer(said, headers) | {
            "retCode": 0, "retMsg": "OK", "data": result, "retExtInfo": ext,
        }  # fmt: skip

    def _check(self, said: Row, now: int) -> None:
        """Raise Refused unless id, time window and arguments are as the venue takes them."""
        request_id = str(said.get("reqId") or "")
        if len(request_id) > REQUEST_ID_MAX:
            raise Refused(10001, "params error: reqId is too long")
        if request_id and request_id in self._used:
            raise Refused(20006, "reqId is duplicated")
        if request_id:
            self._used[request_id] = None
            if len(self._used) > REMEMBERED:
                del self._used[next(iter(self._used))]
        header = said.get("header")
        header = header if isinstance(header, dict) else {}
        stamp = str(header.get("X-BAPI-TIMESTAMP", ""))
        window = str(header.get("X-BAPI-RECV-WINDOW") or "5000")
        check_window(stamp, window, now)
        args = said.get("args")
        if not (isinstance(args, list) and len(args) == 1 and isinstance(args[0], dict)):
            raise Refused(10001, "params error: args is no list of one object")

    def refuse(
        self, said: Row, code: int, message: str, headers: dict[str, str] | None = None
    ) -> Row:
        """Return a refusal of what was said."""
        refused = {"retCode": code, "retMsg": message, "data": {}, "retExtInfo": {}}
        return self._answer(said, headers or {}) | refused

    def _answer(self, said: Row, headers: dict[str, str]) -> Row:
        echo = {"reqId": said["reqId"]} if "reqId" in said else {}
        stamped = {**headers, "Traceid": self._name, "Timenow": str(self._door.now_ms())}
        return {**echo, "op": said.get("op", ""), "header": stamped, "connId": self._name}
