"""The outbox and its relay, against a real database and a real Redis."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest
from redis.asyncio import Redis

from services.carry.embedded.redis import RedisServer
from shared.bus.messages import FundingSettled, InstrumentChanged, decode
from shared.bus.outbox import Relay, enqueue
from shared.bus.streams import MARKET_FUNDING, MARKET_INSTRUMENTS
from shared.domain.errors import Misconfigured
from shared.runtime.clock import SystemClock
from shared.store.pool import UNAVAILABLE, WritePool, open_pool
from tests.support.bus import entries, funding, running, until
from tests.support.servers import Database

EPOCH = 1772366400


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[WritePool]:
    dsn = database.dsn_for("carry_collector")
    async with open_pool(dsn, application="test", max_size=10) as opened:
        yield opened


def relay(pool: WritePool, redis: Redis, epoch: int = EPOCH) -> Relay:
    return Relay(pool, redis, epoch, [MARKET_FUNDING, MARKET_INSTRUMENTS], SystemClock())


async def put(pool: WritePool, *numbers: int) -> list[int]:
    async with pool.acquire() as connection, connection.transaction():
        return await enqueue(connection, MARKET_FUNDING, [funding(n) for n in numbers])


async def sequences(pool: WritePool) -> list[int]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT sequence FROM ops.outbox ORDER BY sequence")
    return [row["sequence"] for row in rows]


async def test_sequences_start_at_one_and_each_stream_has_its_own(pool: WritePool) -> None:
    changed = InstrumentChanged("linear", "BTCUSDT", ["tick"], datetime(2026, 3, 1, tzinfo=UTC))
    assert await put(pool, 10, 11) == [1, 2]
    assert await put(pool, 12) == [3]
    async with pool.acquire() as connection, connection.transaction():
        assert await enqueue(connection, MARKET_INSTRUMENTS, [changed]) == [1]
        assert await enqueue(connection, MARKET_INSTRUMENTS, []) == []


async def test_what_was_stored_is_the_message_to_the_digit(pool: WritePool) -> None:
    await put(pool, 7)
    async with pool.acquire() as connection:
        message = decode(await connection.fetchval("SELECT body FROM ops.outbox"))
    assert isinstance(message, FundingSettled)
    assert message.rate == Decimal("0.000000000000000007")


async def test_a_rollback_gives_its_sequences_back(pool: WritePool) -> None:
    await put(pool, 1)
    with contextlib.suppress(ZeroDivisionError):
        async with pool.acquire() as connection, connection.transaction():
            assert await enqueue(connection, MARKET_FUNDING, [funding(2), funding(3)]) == [2, 3]
            raise ZeroDivisionError
    assert await put(pool, 4) == [2]
    assert await sequences(pool) == [1, 2]


async def test_s5_sequences_stay_gapless_when_many_commit_and_fail_at_once(pool: WritePool) -> None:
    async def work(number: int) -> int:
        try:
            async with pool.acquire() as connection, connection.transaction():
                await enqueue(connection, MARKET_FUNDING, [funding(number), funding(-number)])
                await asyncio.sleep(0)
                if number % 3 == 0:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            return 0
        return 2

    committed = sum(await asyncio.gather(*(work(number) for number in range(60))))
    assert committed == 80  # a third of sixty fail
    assert await sequences(pool) == list(range(1, 81))


async def test_committed_rows_are_published_in_order_under_their_own_ids(
    pool: WritePool, redis: Redis
) -> None:
    await put(pool, *range(1, 1201))
    async with running(relay(pool, redis).run()):
        await until(lambda: _length(redis), 1200)
    found = await entries(redis, MARKET_FUNDING)
    assert [name for name, _ in found] == [f"{EPOCH}-{n}" for n in range(1, 1201)]
    assert [body for _, body in found] == [funding(n) for n in range(1, 1201)]


async def test_a_notified_relay_does_not_wait_for_its_timer(pool: WritePool, redis: Redis) -> None:
    mine = relay(pool, redis)
    async with running(mine.run()):
        await put(pool, 1)
        mine.notify()
        await until(lambda: _length(redis), 1)
        began = asyncio.get_running_loop().time()
        for count in range(2, 22):
            await put(pool, count)
            mine.notify()
            await until(lambda: _length(redis), count)
        assert asyncio.get_running_loop().time() - began < 5  # twenty timers would take 20 s


async def test_a_second_relay_adds_no_copies(pool: WritePool, redis: Redis) -> None:
    await put(pool, 1, 2, 3)
    async with running(relay(pool, redis).run()), running(relay(pool, redis).run()):
        await until(lambda: _length(redis), 3)
        await put(pool, 4, 5)
        await until(lambda: _length(redis), 5)
    async with running(relay(pool, redis).run()):
        await put(pool, 6)
        await until(lambda: _length(redis), 6)
    names = [name for name, _ in await entries(redis, MARKET_FUNDING)]
    assert names == [f"{EPOCH}-{n}" for n in range(1, 7)]


async def test_copies_that_redis_refuses_count_as_published(pool: WritePool, redis: Redis) -> None:
    await put(pool, 1, 2, 3)
    mine = relay(pool, redis)
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT sequence, body FROM ops.outbox ORDER BY sequence")
    await mine._add(MARKET_FUNDING, rows[:2])
    await mine._add(MARKET_FUNDING, rows)
    names = [name for name, _ in await entries(redis, MARKET_FUNDING)]
    assert names == [f"{EPOCH}-{n}" for n in (1, 2, 3)]


async def test_s1_a_redis_that_comes_back_empty_gets_everything_again(
    pool: WritePool, redis: Redis, redis_server: RedisServer
) -> None:
    await put(pool, 1, 2, 3)
    async with running(relay(pool, redis).run()):
        await until(lambda: _length(redis), 3)
        await redis_server.restart(wipe=True)
        await until(lambda: _length(redis), 3)
    names = [name for name, _ in await entries(redis, MARKET_FUNDING)]
    assert names == [f"{EPOCH}-{n}" for n in (1, 2, 3)]


async def test_s1_a_flush_between_two_commands_is_noticed(pool: WritePool, redis: Redis) -> None:
    await put(pool, 1, 2, 3)
    async with running(relay(pool, redis).run()):
        await until(lambda: _length(redis), 3)
        await redis.flushall()
        await until(lambda: _length(redis), 3)
    assert await _length(redis) == 3


async def test_s1_what_is_committed_while_redis_is_down_is_published_later(
    pool: WritePool, redis: Redis, redis_server: RedisServer
) -> None:
    mine = relay(pool, redis)
    async with running(mine.run()):
        await put(pool, 1)
        await until(lambda: _length(redis), 1)
        await redis_server.kill()
        for number in (2, 3, 4):
            await put(pool, number)
            mine.notify()
        await redis_server.restart()
        await until(lambda: _length(redis), 4)
    names = [name for name, _ in await entries(redis, MARKET_FUNDING)]
    assert names == [f"{EPOCH}-{n}" for n in (1, 2, 3, 4)]


async def test_a_relay_survives_the_loss_of_its_database_connections(
    pool: WritePool, redis: Redis, database: Database
) -> None:
    owner = await asyncpg.connect(database.owner_dsn)
    try:
        async with running(relay(pool, redis).run()):
            await put(pool, 1)
            await until(lambda: _length(redis), 1)
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND usename = 'carry_collector'"
            )
            await until_put(pool, 2)
            await until(lambda: _length(redis), 2)
    finally:
        await owner.close()


async def test_a_renewed_epoch_publishes_on_top_of_the_old_one(
    pool: WritePool, redis: Redis
) -> None:
    await redis.xadd(MARKET_FUNDING, {"b": b"{}"}, id=f"{EPOCH - 1}-900")
    await put(pool, 1)
    async with running(relay(pool, redis).run()):
        await until(lambda: _length(redis), 2)
    names = [name for name, _ in await redis.xrange(MARKET_FUNDING) or []]
    assert names == [f"{EPOCH - 1}-900".encode(), f"{EPOCH}-1".encode()]


async def test_a_redis_of_a_newer_installation_is_refused(pool: WritePool, redis: Redis) -> None:
    await redis.xadd(MARKET_FUNDING, {"b": b"{}"}, id=f"{EPOCH + 1}-1")
    with pytest.raises(Misconfigured, match="a Redis database of its own"):
        await asyncio.wait_for(relay(pool, redis).run(), 10)


async def _length(redis: Redis) -> int:
    return int(await redis.xlen(MARKET_FUNDING))


async def until_put(pool: WritePool, number: int) -> None:
    """Put once the pool has noticed that its connections are gone."""
    while True:
        try:
            await put(pool, number)
        except UNAVAILABLE:
            continue
        return


async def test_s1_a_flush_is_noticed_while_the_bell_never_rests(
    pool: WritePool, redis: Redis
) -> None:
    publisher = relay(pool, redis)

    async def ring() -> None:
        while True:
            publisher.notify()
            await asyncio.sleep(0.05)

    await put(pool, 1, 2, 3)
    async with running(publisher.run()), running(ring()):
        await until(lambda: _length(redis), 3)
        await redis.flushall()
        await until(lambda: _length(redis), 3)
    assert await _length(redis) == 3
