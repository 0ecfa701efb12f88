"""Connections to PostgreSQL: one type for a role that writes, one for a role that only reads.

``jsonb`` travels as text both ways, which is asyncpg's own way: whoever reads it decodes it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from shared.domain.errors import Misconfigured, StoreUnavailable

UNAVAILABLE: Final = (
    OSError,  # covers refused connections and TimeoutError
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a backend ended while idle looks like at the next use
    asyncpg.OperatorInterventionError,  # shutdown, start-up, statement time-out
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""What says nothing about our data: the same work may be tried again on a new connection."""

CLOSE_SECONDS: Final = 5.0


class ReadPool:
    """Connections of a role that may only read."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def acquire(self) -> Any:
        """Return an async context manager that lends one asyncpg connection."""
        return self._pool.acquire()


class WritePool(ReadPool):
    """Connections of a role that writes its own tables; it may read too."""


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    application: str,
    min_size: int = 1,
    max_size: int = 5,
    command_timeout: float = 30.0,
) -> AsyncIterator[WritePool]:
    """Open connections of one service's role for the time of a block.

    Raises: Misconfigured when the server refuses the role, StoreUnavailable when nothing answers.
    """
    async with _opened(dsn, application, min_size, max_size, command_timeout, {}) as pool:
        yield WritePool(pool)


@asynccontextmanager
async def open_read_pool(
    dsn: str,
    *,
    application: str,
    min_size: int = 1,
    max_size: int = 5,
    command_timeout: float = 10.0,
) -> AsyncIterator[ReadPool]:
    """Open connections that refuse to write, whatever the role may do; raises as open_pool."""
    settings = {"default_transaction_read_only": "on"}
    async with _opened(dsn, application, min_size, max_size, command_timeout, settings) as pool:
        yield ReadPool(pool)


@asynccontextmanager
async def _opened(
    dsn: str,
    application: str,
    min_size: int,
    max_size: int,
    command_timeout: float,
    settings: dict[str, str],
) -> AsyncIterator[Any]:
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            command_timeout=command_timeout,
            server_settings={"application_name": application, "timezone": "UTC", **settings},
        )
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        raise Misconfigured(f"the database refuses {application}: {error}") from error
    except UNAVAILABLE as error:
        raise StoreUnavailable(f"the database does not answer {application}: {error}") from error
    try:
        yield pool
    finally:
        await _close(pool)


async def _close(pool: Any) -> None:
    """Close politely, then not: a close may wait for ever behind a connection in trouble."""
    try:
        await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
    except TimeoutError:
        pool.terminate()
