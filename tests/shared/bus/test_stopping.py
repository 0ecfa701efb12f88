"""A loop that survives every time-out still ends when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.bus.consumer import Consumer
from shared.bus.outbox import Relay
from shared.bus.quotes import QuoteReader
from shared.bus.streams import STRATEGY_INTENTS
from shared.runtime.clock import SystemClock
from shared.store.pool import WritePool, open_pool
from tests.support.servers import Database


class SwallowingRedis:
    """Answers a cancellation with a time-out, as redis-py may."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def xread(self, *_: Any, **__: Any) -> Any:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RedisTimeoutError("Timeout reading from socket") from None

    xrevrange = xinfo_stream = xread


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[WritePool]:
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as opened:
        yield opened


@pytest.mark.parametrize("kind", ["consumer", "relay", "quotes"])
async def test_a_cancellation_that_redis_swallowed_still_ends_the_loop(
    pool: WritePool, kind: str
) -> None:
    redis: Any = SwallowingRedis()
    task = asyncio.create_task(LOOPS[kind](pool, redis))
    await asyncio.wait_for(redis.asked.wait(), 10)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


async def consume(pool: WritePool, redis: Any) -> None:
    async def handle(*_: Any) -> None:
        raise AssertionError("there is nothing to handle")

    await Consumer(pool, redis, 1, "test", STRATEGY_INTENTS, SystemClock()).run(handle)


async def publish(pool: WritePool, redis: Any) -> None:
    await Relay(pool, redis, 1, [STRATEGY_INTENTS], SystemClock()).run()


async def read_quotes(_pool: WritePool, redis: Any) -> None:
    async for _ in QuoteReader(redis, SystemClock()).batches():
        raise AssertionError("there are no quotes")


LOOPS = {"consumer": consume, "relay": publish, "quotes": read_quotes}
