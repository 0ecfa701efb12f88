"""Outbox, relay and consumer on real servers: gapless, each once, whatever becomes of Redis."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from redis.asyncio import Redis

from services.carry.embedded.redis import RedisServer
from shared.bus.consumer import Consumer
from shared.bus.messages import FundingBooked, Message
from shared.bus.outbox import Relay, enqueue
from shared.bus.redis import open_redis
from shared.domain.errors import Malformed
from shared.runtime.clock import SystemClock
from shared.store.pool import WritePool, open_pool
from tests.support.servers import Database, connected

STREAM = "execution.events"
EPOCH = 1_700_000_000
AT = datetime(2023, 11, 11, tzinfo=UTC)


def funding(amount: int) -> FundingBooked:
    return FundingBooked("BTCUSDT", Decimal(amount), "USDT", AT)


async def say(pool: WritePool, *amounts: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await enqueue(connection, STREAM, [funding(a) for a in amounts])


class Heard:
    """What a consumer committed, and a way to wait for it."""

    def __init__(self) -> None:
        self.amounts: list[Decimal] = []
        self._changed = asyncio.Event()

    def add(self, message: Message, sequence: int) -> None:
        assert isinstance(message, FundingBooked)
        self.amounts.append(message.amount)
        self._changed.set()

    async def count(self, wanted: int) -> None:
        async with asyncio.timeout(20):
            while len(self.amounts) < wanted:
                self._changed.clear()
                await self._changed.wait()


async def stopped(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until nothing runs: redis-py may turn a cancellation into a time-out of its own."""
    running = set(tasks)
    async with asyncio.timeout(20):
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=1)


async def test_sequences_have_no_gap_under_concurrency_and_rollback(database: Database) -> None:
    async with open_pool(
        database.dsn_for("carry_executor"), application="test", max_size=8
    ) as pool:

        async def abandoned() -> None:
            async with pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await enqueue(connection, STREAM, [funding(-1)])
                await transaction.rollback()

        await asyncio.gather(*(say(pool, n, n) for n in range(10)), *(abandoned() for _ in "abc"))
    async with connected(database.owner_dsn) as connection:
        rows = await connection.fetch("SELECT sequence FROM ops.outbox ORDER BY sequence")
    assert [r["sequence"] for r in rows] == list(range(1, 21))


async def test_each_message_takes_effect_once_while_redis_dies_and_comes_back_empty(
    database: Database, redis_url: str, redis: Redis, redis_server: RedisServer
) -> None:
    heard = Heard()
    clock = SystemClock()

    async def handle(connection: Any, message: Message, sequence: int) -> None:
        await connection.execute("SELECT 1")

    async with (
        open_pool(database.dsn_for("carry_executor"), application="writer") as writer,
        open_pool(database.dsn_for("carry_strategy"), application="reader") as reader,
        open_redis(redis_url) as out,
        open_redis(redis_url) as into,
    ):
        relay = Relay(writer, out, EPOCH, [STREAM], clock)
        consumer = Consumer(reader, into, EPOCH, "strategy", STREAM, clock)
        tasks = [
            asyncio.create_task(relay.run()),
            asyncio.create_task(consumer.run(handle, heard.add)),
        ]
        try:
            await say(writer, 1, 2)
            relay.notify()
            await heard.count(2)
            await redis_server.restart(kill=True, wipe=True)
            await say(writer, 3, 4)
            relay.notify()
            await heard.count(4)
            await say(writer, 5)
            relay.notify()
            await heard.count(5)
        finally:
            await stopped(tasks)
    assert heard.amounts == [1, 2, 3, 4, 5]
    async with connected(database.owner_dsn) as connection:
        cursor = await connection.fetchval("SELECT sequence FROM ops.cursor")
    assert cursor == 5


async def test_a_consumer_that_moves_money_stops_at_what_it_cannot_read(
    database: Database, redis_url: str
) -> None:
    async def handle(connection: Any, message: Message, sequence: int) -> None:
        raise AssertionError(message)

    async with (
        open_pool(database.dsn_for("carry_executor"), application="test") as pool,
        open_redis(redis_url) as redis,
    ):
        await say(pool, 1)
        async with connected(database.owner_dsn) as connection:
            await connection.execute("UPDATE ops.outbox SET body = 'nonsense'::bytea")
        consumer = Consumer(pool, redis, EPOCH, "executor", STREAM, SystemClock())
        with pytest.raises(Malformed):
            async with asyncio.timeout(20):
                await consumer.run(handle)
