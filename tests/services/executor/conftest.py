"""A pool of the executor's own role on a fresh database."""

from collections.abc import AsyncIterator

import pytest

from shared.store.pool import WritePool, open_pool
from tests.support.servers import Database


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[WritePool]:
    dsn = database.dsn_for("carry_executor")
    async with open_pool(dsn, application="executor-test", min_size=2, max_size=8) as opened:
        yield opened
