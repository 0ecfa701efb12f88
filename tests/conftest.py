"""Fixtures for everybody: a fresh migrated ``database`` and an empty ``redis`` for each test.

Both servers are started once a session, embedded. ``CARRY_TEST_TIMESCALEDB_IMAGE`` names an image
to run the database from instead; ``CARRY_TEST_DSN`` (an owner who may create databases and roles)
and ``CARRY_TEST_REDIS_URL`` use servers that are there.
"""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from services.carry.embedded import EmbeddedServers
from services.carry.embedded.redis import RedisServer
from shared.bus.redis import open_redis
from tests.support.servers import (
    TIMESCALEDB_IMAGE_KEY,
    Database,
    Postgres,
    embedded,
    timescaledb,
    wait,
)


@pytest.fixture(scope="session")
def servers() -> Iterator[EmbeddedServers]:
    """Both embedded servers, started on first use."""
    with embedded() as running:
        yield running


@pytest.fixture(scope="session")
def owner_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the database server's owner connects."""
    if image := os.environ.get(TIMESCALEDB_IMAGE_KEY):
        with timescaledb(image) as dsn:
            yield dsn
    else:
        yield os.environ.get("CARRY_TEST_DSN") or request.getfixturevalue("servers").owner_dsn


@pytest.fixture(scope="session")
def postgres(owner_dsn: str) -> Iterator[Postgres]:
    """The database server with a migrated template."""
    server = Postgres(owner_dsn)
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
