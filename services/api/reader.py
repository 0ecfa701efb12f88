"""Reads with a deadline: whatever keeps the store from answering becomes ``StoreUnavailable``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Protocol

import asyncpg

from shared.domain.errors import StoreUnavailable
from shared.store.migrate import check_schema
from shared.store.pool import UNAVAILABLE

READ_SECONDS: Final = 2.0


class Connections(Protocol):
    """What is needed of ``shared.store.pool.ReadPool``."""

    def acquire(self) -> AbstractAsyncContextManager[Any]:
        """Lend one connection."""
        ...


class Reader:
    """Lends connections of the read-only role, each for ``seconds`` of wall time at most."""

    def __init__(self, pool: Connections, *, deadline_seconds: float = READ_SECONDS) -> None:
        self._pool = pool
        self._seconds = deadline_seconds

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Lend a connection for a block.

        Raises: StoreUnavailable when the store does not answer, or refuses, in time.
        """
        try:
            async with asyncio.timeout(self._seconds), self._pool.acquire() as connection:
                yield connection
        except TimeoutError as error:
            raise StoreUnavailable(
                f"The database did not answer in {self._seconds:g} s."
            ) from error
        except UNAVAILABLE as error:
            raise StoreUnavailable("The database does not answer.") from error
        except asyncpg.PostgresError as error:
            # Such as a schema that is not there yet: nothing that the caller asked wrongly.
            raise StoreUnavailable("The database refused to read.") from error

    async def check(self) -> None:
        """Raise StoreUnavailable or Misconfigured unless the expected schema can be read."""
        async with self.connection() as connection:
            await check_schema(connection)


class NoStore:
    """Connections that are never there, for printing the document without a database."""

    def acquire(self) -> AbstractAsyncContextManager[Any]:
        """Raise StoreUnavailable."""
        raise StoreUnavailable("There is no database.")
