"""The application over a real database, asked in process."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from services.api.app import create_app
from services.api.options import ApiOptions
from shared.store.pool import ReadPool, open_read_pool
from tests.services.api.seeds import WALL, seed_desk
from tests.support.clock import ManualClock
from tests.support.servers import Database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(WALL)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Any]:
    """A connection that may write anything."""
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def desk(owner: Any) -> Any:
    """The owner's connection once two pairs are held."""
    async with owner.transaction():
        await seed_desk(owner)
    return owner


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[ReadPool]:
    async with open_read_pool(database.dsn_for("carry_reader"), application="test") as opened:
        yield opened


@pytest.fixture
def app(pool: ReadPool, clock: ManualClock) -> FastAPI:
    options = ApiOptions(venue="replay", version="1.2.3", replay_speed=Decimal(3600))
    return create_app(pool=pool, clock=clock, options=options)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as opened:
        yield opened
