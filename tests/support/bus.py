"""Messages, and loops that run for the time of a block."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.bus.messages import FundingSettled, Message, QuoteUpdated, decode

VENUE_AT = datetime(2023, 11, 11, 8, tzinfo=UTC)
RECEIVED_AT = datetime(2026, 3, 1, tzinfo=UTC)


def funding(number: int) -> FundingSettled:
    """A settled rate whose rate tells it from the others."""
    rate = Decimal(number).scaleb(-18)
    return FundingSettled("BTCUSDT", rate, VENUE_AT, Decimal(8), RECEIVED_AT)


def quote(number: int) -> QuoteUpdated:
    """A quote whose bid tells it from the others."""
    bid, size = Decimal(number), Decimal(1)
    return QuoteUpdated("spot", "BTCUSDT", bid, size, bid + 1, size, VENUE_AT, RECEIVED_AT)


async def entries(redis: Redis, stream: str) -> list[tuple[str, Message]]:
    """What the stream holds, as (id, message), oldest first."""
    found: Any = await redis.xrange(stream)
    return [(name.decode(), decode(fields[b"b"])) for name, fields in found]


async def until(read: Callable[[], Awaitable[Any]], wanted: Any, seconds: float = 20.0) -> None:
    """Wait until ``read`` returns ``wanted``; a Redis that is away is not there yet."""
    found = None
    async with asyncio.timeout(seconds):
        while found != wanted:
            with contextlib.suppress(RedisError, OSError):
                found = await read()
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(loop: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run an endless loop beside the block; its failure is the test's."""
    task = asyncio.create_task(loop)
    try:
        yield task
    finally:
        ended = task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not ended, "the loop ended by itself"
