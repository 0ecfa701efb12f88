"""Both servers of an installation without Docker, with passwords made for this run."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from services.carry.embedded.postgres import OWNER, PostgresServer
from services.carry.embedded.process import User
from services.carry.embedded.redis import RedisServer
from shared.domain.errors import Misconfigured
from shared.store.migrate import role_dsn

SUPERVISE_SECONDS: Final = 0.2
SOCKET_FOLDER: Final = "carry-"
SOCKET_PATH_MAX: Final = 100
LONGEST_SOCKET_NAME: Final = len("/.s.PGSQL.5432.lock")

log = structlog.get_logger()


class EmbeddedServers:
    """``async with EmbeddedServers(state, keep=True) as servers`` runs PostgreSQL and Redis.

    ``state`` is the folder of their data; without ``keep`` it begins and ends without any, with
    ``fresh`` it begins without any. The sockets live in a short folder that only the servers' user
    can open, this run's passwords of the owner and of Redis in ``passwords`` beside them, mode
    0600. ``durable=False`` lets PostgreSQL skip fsync (tests).
    """

    def __init__(
        self, state: Path, keep: bool, *, fresh: bool = False, durable: bool = True
    ) -> None:
        self._wanted = state.absolute()
        self._keep = keep
        self._fresh = fresh or not keep
        self._durable = durable
        self._user = User()
        self._cleanup = contextlib.ExitStack()
        self._postgres: PostgresServer | None = None
        self._redis: RedisServer | None = None
        self._passwords: dict[str, str] = {}
        self.restarts = 0
        self.state = self._wanted

    @property
    def owner_dsn(self) -> str:
        """The database as its owner, for migrations alone."""
        return self.postgres.owner_dsn

    @property
    def redis_url(self) -> str:
        """The Redis server, password included."""
        return self.redis.url

    @property
    def postgres(self) -> PostgresServer:
        """The running PostgreSQL; its ``pid`` is for tests that kill it."""
        if self._postgres is None:
            raise Misconfigured("PostgreSQL is not running: enter EmbeddedServers first")
        return self._postgres

    @property
    def redis(self) -> RedisServer:
        """The running Redis; its ``pid`` is for tests that kill it."""
        if self._redis is None:
            raise Misconfigured("Redis is not running: enter EmbeddedServers first")
        return self._redis

    @property
    def pids(self) -> Mapping[str, int]:
        """The process ids, by server."""
        return {"postgres": self.postgres.pid, "redis": self.redis.pid}

    def dsn(self, role: str, password: str) -> str:
        """Where one service role connects, once migrations made it and its password is set."""
        return role_dsn(self.owner_dsn, role, password)

    async def restart_redis(self, *, kill: bool = True, wipe: bool = False) -> None:
        """End Redis, with ``kill`` as a crash would, and start it again, with ``wipe`` empty."""
        await self.redis.restart(kill=kill, wipe=wipe)

    async def supervise(self) -> None:
        """Start a server again whenever it has ended without being told to, for ever."""
        servers = ((self.postgres, OWNER), (self.redis, "redis"))
        while True:
            await asyncio.sleep(SUPERVISE_SECONDS)
            for server, name in servers:
                if not server.has_ended:
                    continue
                log.warning("embedded_server_ended", server=name, pid=server.pid)
                self.restarts += 1
                try:
                    await server.start(self._passwords[name])
                except Misconfigured as error:  # its remains may still be ending: try again
                    log.warning("embedded_server_not_up", server=name, detail=str(error))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start both servers.

        Raises: Misconfigured naming the remedy, when another run holds the state folder, the
            extra ``embedded`` is missing or a server does not come up.
        """
        try:
            self._prepare()
            await self.postgres.start(self._passwords[OWNER])
            await self.redis.start(self._passwords["redis"])
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop both servers cleanly and remove what was not to be kept."""
        try:
            if self._redis is not None:
                await self._redis.stop()
            if self._postgres is not None:
                await self._postgres.stop()
        finally:
            self._postgres = self._redis = None
            self._cleanup.close()

    def _prepare(self) -> None:
        self.state = self._reachable_state()
        self._cleanup.enter_context(_locked(self.state / "lock"))
        folders = [self.state / "postgres", self.state / "redis"]
        for folder in folders:
            if self._fresh:
                shutil.rmtree(folder, ignore_errors=True)
            if not self._keep:
                self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        sockets = self._socket_folder(self.state / "sockets")
        self._passwords = {name: secrets.token_urlsafe(24) for name in (OWNER, "redis")}
        for folder in folders:
            self._user.make_folder(folder)
        self._write_passwords(sockets / "passwords")
        self._postgres = PostgresServer(folders[0], sockets, self._user, durable=self._durable)
        self._redis = RedisServer(folders[1], sockets, self._user)

    def _reachable_state(self) -> Path:
        """Return the wanted folder, or one under the temporary folder that the user can reach."""
        self._wanted.mkdir(mode=0o711, parents=True, exist_ok=True)
        if self._user.can("-x", self._wanted):
            return self._wanted
        digest = hashlib.sha256(str(self._wanted).encode()).hexdigest()[:12]
        moved = Path(tempfile.gettempdir()) / f"carrydesk-{os.geteuid()}-{digest}"
        moved.mkdir(mode=0o711, exist_ok=True)
        found = moved.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise Misconfigured(f"{moved} belongs to somebody else: remove it")
        if not self._user.can("-x", moved):
            raise Misconfigured(
                f"neither {self._wanted} nor {moved} can be opened by the servers' user: choose a "
                "state folder outside private home folders"
            )
        log.warning("embedded_state_moved", wanted=str(self._wanted), used=str(moved))
        return moved

    def _socket_folder(self, record: Path) -> Path:
        """Make the folder of the sockets, and remove the one that a killed run left behind."""
        if record.exists():
            left = Path(record.read_text())
            if left.name.startswith(SOCKET_FOLDER) and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER))
        if len(str(folder)) + LONGEST_SOCKET_NAME >= SOCKET_PATH_MAX or not self._user.can(
            "-x", folder.parent
        ):
            folder.rmdir()
            folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER, dir="/tmp"))
        self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        self._user.own(folder)
        record.write_text(str(folder))
        self._cleanup.callback(record.unlink, missing_ok=True)
        return folder

    def _write_passwords(self, path: Path) -> None:
        lines = [f"{name}:{password}\n" for name, password in self._passwords.items()]
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(lines)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"another Carrydesk runs on {path.parent}: stop it or choose another state folder"
            ) from None
        yield
