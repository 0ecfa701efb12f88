"""Fixtures for everybody: a fresh migrated ``database`` and an empty ``redis`` for each test.

``CARRY_TEST_DSN`` (an owner who may create databases and roles) and ``CARRY_TEST_REDIS_URL`` use
servers that are there; else both are started once a session, embedded.
"""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from services.carry.embedded import EmbeddedServers
from services.carry.embedded.redis import RedisServer
from shared.bus.redis import open_redis
from tests.support.servers import Database, Postgres, embedded, wait


@pytest.fixture(scope="session")
def servers() -> Iterator[EmbeddedServers]:
    """Both embedded servers, started on first use."""
    with embedded() as running:
        yield running


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """The database server with a migrated template."""
    dsn = os.environ.get("CARRY_TEST_DSN") or request.getfixturevalue("servers").owner_dsn
    server = Postgres(dsn)
    try:
        server.make_template()
        yield server
    finally:
        server.drop_template()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """A migrated database of the test's own."""
    with postgres.database() as made:
        yield made


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[Database]:
    """A database of the test's own without any schema."""
    with postgres.database(empty=True) as made:
        yield made


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """Where Redis is."""
    found = os.environ.get("CARRY_TEST_REDIS_URL")
    return found or str(request.getfixturevalue("servers").redis_url)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    async with open_redis(redis_url) as client:
        await client.flushall()
        yield client


@pytest.fixture
def redis_server(servers: EmbeddedServers) -> Iterator[RedisServer]:
    """The embedded Redis, for tests that kill it; it runs again afterwards."""
    yield servers.redis
    if servers.redis.pid == 0:
        wait(servers.redis.restart())
