"""A Redis of streams only, in memory: it may be away, forget, repeat; and its client's errors."""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.simulation.clock import BEGIN, wall
from tests.simulation.loop import Process
from tests.simulation.world import World

EntryId = tuple[int, int]
Fields = Mapping[bytes, bytes]
TRIM_SLACK = 100  # an approximate MAXLEN keeps up to a node more


class Stream:
    """Entries in the order of their ids; ``last`` is the highest id ever given."""

    def __init__(self) -> None:
        self.entries: list[tuple[EntryId, Fields]] = []
        self.last: EntryId = (0, 0)


class SimRedis:
    """The server."""

    def __init__(self, world: World) -> None:
        self.streams: dict[str, Stream] = {}
        self.down_until = 0.0
        self._world = world
        self._dice = world.dice("bus")
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    @property
    def is_down(self) -> bool:
        """Whether it is away now."""
        return self._world.loop.time() < self.down_until

    def add(self, name: str, fields: Fields, entry: str, maxlen: int | None) -> bytes:
        """Append one entry; raises ResponseError when its id is not above the last one."""
        stream = self.streams.setdefault(name, Stream())
        if entry == "*":
            now = round((wall(self._world.loop) - BEGIN).total_seconds() * 1000) + 1_000_000
            place = max((now, 0), (stream.last[0], stream.last[1] + 1))
        else:
            place = _parsed(entry)
            if place <= stream.last:
                raise ResponseError(
                    "The ID specified in XADD is equal or smaller than the target stream top item"
                )
        stream.entries.append((place, dict(fields)))
        stream.last = place
        if maxlen is not None and len(stream.entries) > maxlen + TRIM_SLACK:
            del stream.entries[:-maxlen]
        self._wake(name)
        return _text(place)

    def after(self, name: str, place: EntryId, count: int | None) -> list[tuple[bytes, Fields]]:
        """Return entries with higher ids, oldest first."""
        stream = self.streams.get(name)
        found: list[tuple[bytes, Fields]] = []
        for known, fields in reversed(stream.entries if stream else []):
            if known <= place:
                break
            found.append((_text(known), fields))
        found.reverse()
        return found[:count]

    async def added(self, name: str, seconds: float) -> None:
        """Wait for the next entry of a stream, at most ``seconds``."""
        heard = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(name, [])
        waiting.append(heard)
        try:
            await asyncio.wait([heard], timeout=seconds)
        finally:
            if heard in waiting:
                waiting.remove(heard)

    def lose(self, kind: str) -> None:
        """Forget something, as ``kind`` says: all, the newest, the oldest, or one stream."""
        names = sorted(self.streams)
        if kind == "bus_flushed":
            self.streams.clear()
        elif kind == "bus_evicted" and names:
            del self.streams[self._dice.pick(names)]
        elif kind == "bus_trimmed":
            for stream in self.streams.values():
                del stream.entries[: self._dice.whole(0, len(stream.entries))]
        elif kind == "bus_tail_lost":
            for stream in self.streams.values():
                kept = self._dice.whole(max(0, len(stream.entries) - 20), len(stream.entries))
                del stream.entries[kept:]
                stream.last = stream.entries[-1][0] if stream.entries else (0, 0)

    def _wake(self, name: str) -> None:
        for heard in self._waiting.get(name, []):
            if not heard.done():
                heard.set_result(None)


class SimRedisClient:
    """What the services use of ``redis.asyncio.Redis``, for one process."""

    def __init__(self, world: World, process: Process, server: SimRedis) -> None:
        self._world = world
        self._process = process
        self._server = server

    def pipeline(self, *, transaction: bool) -> "SimPipeline":
        """Return a pipeline; only the plain kind is used."""
        assert not transaction
        return SimPipeline(self, self._server)

    async def ping(self) -> bool:
        """Return whether it answers."""
        await self.enter()
        self.leave()
        return True

    async def xinfo_stream(self, name: str) -> dict[str, Any]:
        """Return the highest id ever given; raises ResponseError when there is no such stream."""
        await self.enter()
        stream = self._server.streams.get(name)
        self.leave()
        if stream is None:
            raise ResponseError("no such key")
        return {"length": len(stream.entries), "last-generated-id": _text(stream.last)}

    async def xread(
        self, streams: Mapping[str, str], *, count: int, block: int
    ) -> list[tuple[bytes, list[tuple[bytes, Fields]]]]:
        """Return what follows, waiting up to ``block`` milliseconds for it."""
        await self.enter()
        ((name, after),) = streams.items()
        place = _parsed(after)
        if self._world.strikes("bus_repeated", self._process):
            place = (place[0], max(0, place[1] - 3))
        deadline = self._world.loop.time() + block / 1000
        while not (found := self._server.after(name, place, count)):
            left = deadline - self._world.loop.time()
            if left <= 0:
                break
            await self._server.added(name, left)
            self._reach()
        self.leave()
        return [(name.encode(), found)] if found else []

    async def xrevrange(
        self,
        name: str,
        *,
        min: int | str = "-",  # noqa: A002 - the library's own word
        count: int | None = None,
    ) -> list[tuple[bytes, Fields]]:
        """Return entries from the newest back to ``min``."""
        await self.enter()
        least = (0, 0) if min == "-" else _parsed(str(min))
        found = self._server.after(name, (least[0], least[1] - 1), None)
        self.leave()
        return found[::-1][:count]

    async def aclose(self) -> None:
        """Nothing is to be let go of."""

    async def enter(self) -> None:
        """Reach the server."""
        await self._world.passing(self._process, "bus before")
        await asyncio.sleep(self._world.dice("bus latency").between(0.0002, 0.002))
        self._reach()
        if self._world.strikes("bus_refused", self._process):
            raise RedisConnectionError("connection refused")

    def leave(self) -> None:
        """Hear the answer, or do not."""
        if self._world.strikes("bus_reply_lost", self._process):
            raise RedisTimeoutError("no reply")

    def _reach(self) -> None:
        if self._process.is_dead:
            raise asyncio.CancelledError
        if self._server.is_down:
            raise RedisConnectionError("connection refused")


class SimPipeline:
    """Commands sent together."""

    def __init__(self, client: SimRedisClient, server: SimRedis) -> None:
        self._client = client
        self._server = server
        self._commands: list[tuple[str, Fields, str, int | None]] = []

    def xadd(
        self,
        name: str,
        fields: Fields,
        *,
        id: str = "*",  # noqa: A002 - the library's own word
        maxlen: int | None = None,
        approximate: bool = True,
    ) -> None:
        """Queue one entry."""
        assert approximate
        self._commands.append((name, fields, id, maxlen))

    async def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Do it all and return an answer, or an error, for each."""
        await self._client.enter()
        answers: list[Any] = []
        for command in self._commands:
            try:
                answers.append(self._server.add(*command))
            except ResponseError as error:
                if raise_on_error:
                    raise
                answers.append(error)
        self._client.leave()
        return answers


def _parsed(entry: str) -> EntryId:
    first, _, second = entry.partition("-")
    return int(first), int(second or 0)


def _text(place: EntryId) -> bytes:
    return f"{place[0]}-{place[1]}".encode()
