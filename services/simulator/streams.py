"""The venue's websockets: subscriptions, snapshots first, pings in each channel's own shape."""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.simulator.auth import Keyring
from services.simulator.board import News
from services.simulator.connection import PRIVATE, Connection
from services.simulator.desk import Desk
from services.simulator.faults import Faults
from services.simulator.pool import TOPIC as ALERTS
from services.simulator.pool import alert, pool_rows
from services.simulator.tape import Tape
from services.simulator.topics import (
    CHANNELS,
    FAST,
    OPTION,
    STATUS,
    STATUS_TOPIC,
    private_objection,
    public_objection,
)
from services.simulator.wire import (
    account_row,
    execution_row,
    fast_row,
    order_row,
    position_message,
)
from shared.runtime.clock import Clock
from shared.venue.records import Event, Execution, Order, Position

log = structlog.get_logger()

Row = dict[str, Any]

ACK_SECONDS: Final = 0.02
REPEAT_SECONDS: Final = 3.0
ALERT_MS: Final = 1_000
IDLE_SECONDS: Final = 600.0
CHOSEN_IDLE: Final = re.compile(r"(?P<count>\d{1,3})(?P<unit>[sm])")


class Hub:
    """Every open socket; the desk's audience. ``autostart`` releases time when all listen."""

    def __init__(
        self,
        desk: Desk,
        key: Keyring,
        wall: Clock,
        *,
        autostart: bool,
        faults: Faults | None = None,
    ) -> None:
        self._desk = desk
        self._faults = faults
        self._key = key
        self._wall = wall
        self._autostart = autostart
        self._connections: list[Connection] = []
        self._count = 0
        self._messages = 0
        self._spoken = wall.monotonic()
        self._tape = Tape()
        self._alerted_ms = 0
        self._status: list[Row] = []

    async def serve(self, socket: WebSocket) -> None:
        """Talk to one client until either side ends."""
        channel = CHANNELS.get(socket.url.path)
        if channel is None:
            await socket.close(1008)
            return
        if self._faults is not None and channel != STATUS and self._faults.refuses(channel):
            await socket.close(1013)
            return
        await socket.accept()
        self._count += 1
        name = str(UUID(int=self._count))
        connection = Connection(socket, channel, name, self._wall, self._faults)
        connection.idle_seconds = _idle_seconds(socket.query_params.get("max_active_time", ""))
        self._connections.append(connection)
        writer = asyncio.create_task(connection.write())
        try:
            while True:
                await self._hear(connection, await socket.receive_text())
        except (WebSocketDisconnect, RuntimeError, KeyError):
            pass  # the client left, or sent bytes where the protocol has text
        finally:
            self._connections.remove(connection)
            connection.end()
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await writer

    async def close(self, *channels: str) -> None:
        """Say goodbye to everybody, or to those of some channels."""
        for connection in list(self._connections):
            if channels and connection.channel not in channels:
                continue
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await connection.socket.close(1001)

    async def repeat(self) -> None:
        """Send level-1 books again after three seconds of silence, with the same ``u``."""
        while True:
            silent = self._wall.monotonic() - self._spoken
            await self._cut_idle()
            if silent >= REPEAT_SECONDS:
                self._repeat_books()
                self._spoken += REPEAT_SECONDS
            else:
                await self._wall.sleep(REPEAT_SECONDS - silent)

    async def _cut_idle(self) -> None:
        """Close what neither side has used for as long as the venue waits."""
        now = self._wall.monotonic()
        for connection in list(self._connections):
            if now - connection.used_at > connection.idle_seconds:
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                    await connection.socket.close(1000)

    def publish(self, news: Iterable[News]) -> None:
        """Queue public news: whole for who has seen nothing of the topic, else the change."""
        self._spoken = self._wall.monotonic()
        for each in news:
            texts: dict[bool, str] = {}
            for connection in self._listeners(each.category, each.topic):
                primed = each.topic in connection.primed
                if primed not in texts:
                    texts[primed] = _text(each.change() if primed else each.whole())
                connection.primed.add(each.topic)
                connection.push(each.topic, texts[primed])
        now = self._desk.now_ms
        if now >= self._alerted_ms + ALERT_MS:
            self._alerted_ms = now
            self._alert(self._listeners("linear", ALERTS))
            self._tell_status(now)

    def _tell_status(self, now_ms: int) -> None:
        """Queue what maintenance is announced, begins or is over, when that changes."""
        rows = [] if self._faults is None else self._faults.status()
        news = [row for row in rows if row not in self._status]
        self._status = rows
        if news:
            data = [{**r, **{k: int(r[k]) for k in ("maintainType", "env")}} for r in news]
            message = _text({"topic": STATUS_TOPIC, "ts": now_ms, "data": data})
            for connection in self._listeners(STATUS, STATUS_TOPIC):
                connection.push(STATUS_TOPIC, message)

    def _alert(self, listeners: Iterable[Connection]) -> None:
        """Queue the state of the insurance pools."""
        for connection in listeners:
            rows = pool_rows(self._desk.market.symbols, self._pressed())
            connection.push(ALERTS, _text(alert(rows, self._desk.now_ms)))

    def tell(self, events: Iterable[Event]) -> None:
        """Queue private messages; neighbours of one topic and category share one message."""
        events = list(events)
        if self._faults is not None:
            self._faults.born(e.data.order_id for e in events if isinstance(e.data, Order))
        for (topic, category), group in groupby(events, key=_subject):
            rows = [self._row(event) for event in group]
            names = {topic, f"{topic}.{category}"}
            for connection in self._connections:
                for name in sorted(names & connection.topics):
                    connection.push(name, _text(self._envelope(name, rows)))
        fills = [e.data for e in events if isinstance(e.data, Execution)]
        self._tell_fast(fills)
        for channel, topic, message in self._tape.messages(fills):
            for connection in self._listeners(channel, topic):
                connection.push(topic, _text(message))

    def _tell_fast(self, executions: Iterable[Execution]) -> None:
        """Queue fills for who wants them early: trades alone, and little of each."""
        trades = (e for e in executions if e.exec_type == "Trade")
        for category, group in groupby(trades, key=lambda e: e.category):
            rows = [fast_row(execution) for execution in group]
            for connection in self._connections:
                for name in sorted({FAST, f"{FAST}.{category}"} & connection.topics):
                    connection.push(name, _text(self._envelope(name, rows)))

    def _envelope(self, topic: str, rows: list[Row]) -> Row:
        self._messages += 1
        created = int(self._wall.now().timestamp() * 1000)
        return {
            "id": f"{self._messages:032x}",
            "topic": topic,
            "creationTime": created,
            "data": rows,
        }

    def _row(self, event: Event) -> Row:
        match event.data:
            case Order():
                return order_row(event.data)
            case Execution():
                return execution_row(event.data)
            case Position():
                return position_message(event.data, self._desk.exchange, self._pressed())
            case coins:
                return account_row(self._desk.exchange, coins)

    def _pressed(self) -> frozenset[str]:
        return frozenset() if self._faults is None else self._faults.pressed()

    def _repeat_books(self) -> None:
        for connection in self._connections:
            for topic in sorted(connection.topics):
                if topic.startswith("orderbook.1."):
                    last = self._desk.board.publication(connection.channel, topic)
                    if last is not None:
                        connection.push(topic, _text(last.whole()))

    def _listeners(self, channel: str, topic: str) -> list[Connection]:
        return [c for c in self._connections if c.channel == channel and topic in c.topics]

    async def _hear(self, connection: Connection, text: str) -> None:
        connection.used_at = self._wall.monotonic()
        try:
            said = json.loads(text)
            json.dumps(said, ensure_ascii=False).encode()  # half a surrogate cannot be echoed
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            connection.send(_text({"success": False, "ret_msg": "Params Error", "op": ""}))
            return
        match said.get("op"):
            case "ping":
                connection.send(_text(self._pong(connection, said)))
            case "auth":
                self._authorise(connection, said)
            case "subscribe":
                await self._subscribe(connection, said)
            case "unsubscribe":
                self._forget(connection, said)
            case other:
                connection.send(_text(_answer(connection, said, str(other), f"unknown op {other}")))

    def _pong(self, connection: Connection, said: Row) -> Row:
        now = str(int(self._wall.now().timestamp() * 1000))
        if connection.channel == PRIVATE:
            echo = {"req_id": said["req_id"]} if "req_id" in said else {}
            return {**echo, "op": "pong", "args": [now], "conn_id": connection.name}
        if connection.channel == OPTION:
            return {"args": [now], "op": "pong"}
        return {**_answer(connection, said, "ping", ""), "ret_msg": "pong"}

    def _authorise(self, connection: Connection, said: Row) -> None:
        now = int(self._wall.now().timestamp() * 1000)
        good = connection.channel == PRIVATE and self._key.check_socket(said.get("args"), now)
        connection.authorised = connection.authorised or good
        failure = "" if good else "Params Error: api key, expires or signature invalid"
        connection.send(_text(_answer(connection, said, "auth", failure)))
        connection.lost = connection.lost or not good

    async def _subscribe(self, connection: Connection, said: Row) -> None:
        """Acknowledge late, as the venue does: its client registers a topic after sending it."""
        topics = _topics(said)
        failure = self._objection(connection, topics)
        await self._wall.sleep(ACK_SECONDS)
        connection.send(_text(_acknowledged(connection, said, topics, failure)))
        if failure:
            return
        connection.topics.update(topics)
        for topic in topics:
            self._desk.board.ask(connection.channel, topic)
            if topic == ALERTS:
                self._alert([connection])
            last = self._desk.board.publication(connection.channel, topic)
            if last is not None:
                connection.primed.add(topic)
                connection.push(topic, _text(last.whole()))
        self._start_if_heard()

    def _forget(self, connection: Connection, said: Row) -> None:
        topics = set(_topics(said))
        connection.topics -= topics
        connection.primed -= topics
        connection.send(_text(_answer(connection, said, "unsubscribe", "")))

    def _objection(self, connection: Connection, topics: list[str]) -> str:
        """Return why these topics cannot be had; nothing when they can."""
        if not topics:
            return "Params Error: args missing"
        if connection.channel == PRIVATE:
            if not connection.authorised:
                return "Request not authorized"
            return private_objection(topics)
        taken = connection.topics
        characters = sum(map(len, taken))
        known = self._desk.market.products
        return public_objection(connection.channel, topics, taken, characters, known)

    def _start_if_heard(self) -> None:
        """Release time once somebody listens to executions and to both markets."""
        if not self._autostart or self._desk.started:
            return
        heard = {c.channel for c in self._connections if c.channel != PRIVATE and c.topics}
        executions = any(
            topic.partition(".")[0] == "execution"
            for c in self._connections
            if c.channel == PRIVATE
            for topic in c.topics
        )
        if executions and heard == {"linear", "spot"}:
            self._desk.start()


def _idle_seconds(asked: str) -> float:
    """Return how long a socket may be unused; whoever opens it may choose 30 s to 600 s."""
    chosen = CHOSEN_IDLE.fullmatch(asked)
    if chosen is None:
        return IDLE_SECONDS
    seconds = int(chosen["count"]) * (60 if chosen["unit"] == "m" else 1)
    return float(min(max(seconds, 30), IDLE_SECONDS))


def _topics(said: Row) -> list[str]:
    args = said.get("args")
    return [str(arg) for arg in args] if isinstance(args, list) else []


def _answer(connection: Connection, said: Row, op: str, failure: str) -> Row:
    spot = connection.channel == "spot" and op == "subscribe"
    echo = {"req_id": said["req_id"]} if "req_id" in said else {}
    if connection.channel != PRIVATE:
        echo = echo or {"req_id": ""}
    return {
        "success": not failure,
        "ret_msg": failure or ("subscribe" if spot else ""),
        "conn_id": connection.name,
        **echo,
        "op": op,
    }


def _acknowledged(connection: Connection, said: Row, topics: list[str], failure: str) -> Row:
    """Return the answer to a subscription; that of options has a shape of its own."""
    if connection.channel != OPTION:
        return _answer(connection, said, "subscribe", failure)
    outcome = {"failTopics": topics if failure else [], "successTopics": [] if failure else topics}
    named = {"success": not failure, "conn_id": connection.name}
    return {**named, "data": outcome, "type": "COMMAND_RESP"}


def _subject(event: Event) -> tuple[str, str]:
    match event.data:
        case Order() | Execution():
            return event.topic, event.data.category
        case Position():
            return event.topic, "linear"
        case _:
            return event.topic, ""


def _text(message: Row) -> str:
    return msgspec.json.encode(message).decode()
