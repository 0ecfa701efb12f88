"""Real servers for tests: one PostgreSQL and one Redis a session, one database a test."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from services.carry.embedded import EmbeddedServers
from shared.store.migrate import ROLES, migrate, role_dsn, set_passwords

T = TypeVar("T")
TIMESCALEDB_IMAGE_KEY = "CARRY_TEST_TIMESCALEDB_IMAGE"


@dataclass(frozen=True)
class Database:
    """One migrated database; the owner's DSN and one for each service role."""

    owner_dsn: str = field(repr=False)
    passwords: dict[str, str] = field(repr=False)

    def dsn_for(self, role: str) -> str:
        return role_dsn(self.owner_dsn, role, self.passwords[role])


class Postgres:
    """A server with a migrated template database, from which each test gets a copy."""

    def __init__(self, admin_dsn: str) -> None:
        self._admin_dsn = admin_dsn
        self._template = f"carry_template_{os.getpid()}"
        self._numbers = count(1)
        self._passwords = {role: secrets.token_urlsafe(12) for role in ROLES}

    def make_template(self) -> None:
        template = with_database(self._admin_dsn, self._template)
        self.execute(f"CREATE DATABASE {self._template}")
        wait(migrate(template))
        wait(set_passwords(template, self._passwords))
        # TimescaleDB's own workers come into every database, and one in use cannot be copied.
        self.execute(f"ALTER DATABASE {self._template} ALLOW_CONNECTIONS false")
        self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            f"WHERE datname = '{self._template}'"
        )

    def drop_template(self) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {self._template} WITH (FORCE)")

    @contextmanager
    def database(self, *, empty: bool = False) -> Iterator[Database]:
        """Make a migrated database (or an ``empty`` one) for the time of a block."""
        name = f"carry_test_{os.getpid()}_{next(self._numbers)}"
        source = "template0" if empty else self._template
        self.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
        try:
            yield Database(with_database(self._admin_dsn, name), self._passwords)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        wait(_execute(self._admin_dsn, statement))


@contextmanager
def embedded() -> Iterator[EmbeddedServers]:
    """Run both servers without fsync, on a folder that goes away."""
    with made_folder() as state:
        servers = EmbeddedServers(state, keep=False, durable=False)
        try:
            wait(servers.start())
            yield servers
        finally:
            wait(servers.stop())


@contextmanager
def timescaledb(image: str) -> Iterator[str]:
    """Run the database in a container; yield where its owner connects."""
    from testcontainers.core.container import DockerContainer

    password = secrets.token_urlsafe(16)
    container = DockerContainer(image).with_exposed_ports(5432)
    with container.with_env("POSTGRES_PASSWORD", password) as running:
        address = f"{running.get_container_host_ip()}:{running.get_exposed_port(5432)}"
        dsn = f"postgresql://postgres:{password}@{address}/postgres"
        wait(_until_up(dsn))
        yield dsn


async def _until_up(dsn: str) -> None:
    """The entry point serves once for its own set-up, on its socket alone, and then for good."""
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError, asyncpg.PostgresError):
                await _execute(dsn, "SELECT 1")
                return
            await asyncio.sleep(0.2)


@contextmanager
def made_folder() -> Iterator[Path]:
    """Make a folder that the servers' user can pass through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="carry-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end outside any loop, leaving pytest's own loop setting alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    """Lend one plain connection."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def _execute(dsn: str, statement: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute(statement)
