"""Stands between a client and Redis and loses chosen replies, after the command was carried out."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Command = list[bytes]
Lose = Callable[[Command], bool]

GONE = (OSError, asyncio.IncompleteReadError)


class RedisProxy:
    """Forwards whole RESP values; ``lost`` counts the replies that were kept back.

    ``lose`` is asked once for each reply, in order, with the command that it answers. The client's
    connection is cut in the reply's place, as by a network that fails between the two.
    Source: Redis serialization protocol, version 2.
    """

    def __init__(self, socket: str, lose: Lose) -> None:
        self.lost = 0
        self.port = 0
        self._socket = socket
        self._lose = lose

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side, or a loss, ends it."""
        up_reader, up_writer = await asyncio.open_unix_connection(self._socket)
        asked: deque[Command] = deque()

        async def forward() -> None:
            while True:
                raw, parts = await read_value(reader)
                asked.append(parts)
                up_writer.write(raw)
                await up_writer.drain()

        async def answer() -> None:
            while True:
                raw, _ = await read_value(up_reader)
                if self._lose(asked.popleft()):
                    self.lost += 1
                    return
                writer.write(raw)
                await writer.drain()

        tasks = [asyncio.create_task(way()) for way in (forward, answer)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()


async def read_value(reader: asyncio.StreamReader) -> tuple[bytes, Command]:
    """Return one RESP value as it came, and the strings in it; raises one of ``GONE``."""
    line = await reader.readuntil(b"\r\n")
    kind, rest = line[:1], line[1:-2]
    if kind == b"$" and int(rest) >= 0:
        body = await reader.readexactly(int(rest) + 2)
        return line + body, [body[:-2]]
    if kind == b"*":
        parts: Command = []
        for _ in range(int(rest)):
            raw, inner = await read_value(reader)
            line += raw
            parts += inner
        return line, parts
    return line, []


@asynccontextmanager
async def redis_proxy(socket: str, lose: Lose) -> AsyncIterator[RedisProxy]:
    """Listen on a free port of this machine for the time of a block."""
    proxy = RedisProxy(socket, lose)
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(*GONE):
                await proxy.serve(reader, writer)
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
