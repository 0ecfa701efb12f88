"""The Redis client: no hidden retries, which store a message twice, and a bound on each wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

UNAVAILABLE: Final = (RedisError, OSError)
"""What a call raises while Redis is away, full or starting; the doorbell is silent, no more."""

BLOCK_MILLISECONDS: Final = 1_000
ANSWER_SECONDS: Final = 5.0  # longer than a blocking read


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[redis.Redis]:
    """Open a client for ``unix://`` or ``redis://`` (password included) for the time of a block.

    Nothing is sent yet, so it may be opened while Redis is down.
    """
    client = redis.Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=2.0,
    )
    try:
        yield client
    finally:
        await client.aclose()


def stop_if_cancelled() -> None:
    """Raise CancelledError when this task was asked to stop; for the top of an endless loop.

    redis-py may answer a cancellation with a time-out of its own, and a loop that survives
    time-outs would then never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
