"""Each entry exactly once, in order, whatever happens to Redis and to the connections."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from services.carry.embedded.redis import RedisServer
from shared.bus.consumer import Consumer
from shared.bus.messages import FundingSettled, Message
from shared.bus.outbox import Relay, enqueue
from shared.bus.streams import EXECUTION_EVENTS, MARKET_FUNDING
from shared.domain.errors import InvariantViolation, Malformed
from shared.runtime.clock import SystemClock
from shared.store.pool import UNAVAILABLE, WritePool, open_pool
from tests.support.bus import funding, running, until
from tests.support.servers import Database, connected

EPOCH = 1772366400
NAME = "strategy.funding"


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[WritePool]:
    async with open_pool(database.dsn_for("carry_collector"), application="writer") as opened:
        yield opened


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[WritePool]:
    async with connected(database.owner_dsn) as owner:
        await owner.execute("CREATE TABLE strategy.seen (number int, sequence bigint)")
        await owner.execute("GRANT SELECT, INSERT ON strategy.seen TO carry_strategy")
    async with open_pool(database.dsn_for("carry_strategy"), application="reader") as opened:
        yield opened


class Book:
    """A handler with an effect in the database and a memory that follows commits."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.memory: list[tuple[int, int]] = []

    async def handle(self, connection: Any, message: Message, sequence: int) -> None:
        assert isinstance(message, FundingSettled)
        number = int(message.rate.scaleb(18))
        self.calls.append(number)
        await connection.execute("INSERT INTO strategy.seen VALUES ($1, $2)", number, sequence)

    def remember(self, message: Message, sequence: int) -> None:
        assert isinstance(message, FundingSettled)
        self.memory.append((int(message.rate.scaleb(18)), sequence))


def consumer(pool: WritePool, redis: Redis, stream: str = MARKET_FUNDING) -> Consumer:
    return Consumer(pool, redis, EPOCH, NAME, stream, SystemClock())


def relay(writer: WritePool, redis: Redis) -> Relay:
    return Relay(writer, redis, EPOCH, [MARKET_FUNDING], SystemClock())


async def put(writer: WritePool, *numbers: int) -> None:
    async with writer.acquire() as connection, connection.transaction():
        await enqueue(connection, MARKET_FUNDING, [funding(number) for number in numbers])


async def seen(pool: WritePool) -> list[tuple[int, int]]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT * FROM strategy.seen ORDER BY sequence, number")
    return [tuple(row) for row in rows]


async def cursor(pool: WritePool) -> int | None:
    async with pool.acquire() as connection:
        found: int | None = await connection.fetchval("SELECT sequence FROM ops.cursor")
    return found


async def insert_raw(database: Database, stream: str, sequence: int, body: bytes) -> None:
    async with connected(database.owner_dsn) as owner:
        await owner.execute(
            "INSERT INTO ops.outbox VALUES ($1, $2, $3, now())", stream, sequence, body
        )
        await owner.execute(
            "INSERT INTO ops.outbox_sequence VALUES ($1, $2) "
            "ON CONFLICT (stream) DO UPDATE SET last = excluded.last",
            stream,
            sequence,
        )


async def test_entries_stored_before_the_start_are_read_from_the_table(
    writer: WritePool, pool: WritePool, redis: Redis
) -> None:
    await put(writer, *range(1, 501))
    book = Book()
    async with running(consumer(pool, redis).run(book.handle, book.remember)):
        await until(lambda: cursor(pool), 500)
    assert await seen(pool) == [(n, n) for n in range(1, 501)]
    assert book.memory == [(n, n) for n in range(1, 501)]


async def test_entries_rung_by_redis_arrive_without_waiting_for_the_timer(
    writer: WritePool, pool: WritePool, redis: Redis
) -> None:
    book, bell = Book(), relay(writer, redis)
    async with running(bell.run()), running(consumer(pool, redis).run(book.handle, book.remember)):
        await put(writer, 1)
        bell.notify()
        await until(lambda: cursor(pool), 1)
        began = asyncio.get_running_loop().time()
        for number in range(2, 22):
            await put(writer, number)
            bell.notify()
            await until(lambda: cursor(pool), number)
        assert asyncio.get_running_loop().time() - began < 5  # twenty timers would take 20 s
    assert book.memory == [(n, n) for n in range(1, 22)]


async def test_a_restarted_consumer_goes_on_after_its_cursor(
    writer: WritePool, pool: WritePool, redis: Redis
) -> None:
    await put(writer, 1, 2)
    first, second = Book(), Book()
    async with running(consumer(pool, redis).run(first.handle)):
        await until(lambda: cursor(pool), 2)
    await put(writer, 3)
    async with running(consumer(pool, redis).run(second.handle)):
        await until(lambda: cursor(pool), 3)
    assert (first.calls, second.calls) == ([1, 2], [3])


async def test_s1_every_entry_counts_once_while_redis_is_killed_again_and_again(
    writer: WritePool, pool: WritePool, redis: Redis, redis_server: RedisServer
) -> None:
    book, bell = Book(), relay(writer, redis)
    async with running(bell.run()), running(consumer(pool, redis).run(book.handle, book.remember)):
        number = 0
        for wipe in (False, True, False, True):
            for _ in range(40):
                number += 1
                await put(writer, number)
                bell.notify()
            await redis_server.kill()
            for _ in range(20):
                number += 1
                await put(writer, number)
                bell.notify()
            await redis_server.restart(wipe=wipe)
        await until(lambda: cursor(pool), 240)
    assert await seen(pool) == [(n, n) for n in range(1, 241)]
    assert book.memory == [(n, n) for n in range(1, 241)]


async def test_s1_without_any_redis_everything_still_arrives(
    writer: WritePool, pool: WritePool, redis: Redis, redis_server: RedisServer
) -> None:
    await redis_server.kill()
    book = Book()
    async with running(consumer(pool, redis).run(book.handle)):
        await put(writer, 1, 2)
        await until(lambda: cursor(pool), 2)
        await put(writer, 3)
        await until(lambda: cursor(pool), 3)
    assert book.calls == [1, 2, 3]


async def test_a_gap_in_redis_is_filled_from_the_table(
    writer: WritePool, pool: WritePool, redis: Redis
) -> None:
    book, bell = Book(), relay(writer, redis)
    await put(writer, 1)
    async with running(consumer(pool, redis).run(book.handle)):
        await until(lambda: cursor(pool), 1)
        await put(writer, 2, 3, 4)
        async with writer.acquire() as connection:
            row = await connection.fetch("SELECT sequence, body FROM ops.outbox WHERE sequence = 4")
        await bell._add(MARKET_FUNDING, row)
        await until(lambda: cursor(pool), 4)
    assert book.calls == [1, 2, 3, 4]


async def test_entries_of_another_installation_are_not_believed(
    writer: WritePool, pool: WritePool, redis: Redis
) -> None:
    await redis.xadd(MARKET_FUNDING, {"b": b"{}"}, id=f"{EPOCH + 5}-1")
    book = Book()
    async with running(consumer(pool, redis).run(book.handle)):
        await put(writer, 1)
        await until(lambda: cursor(pool), 1)
    assert book.calls == [1]


async def test_s2_a_handler_that_fails_leaves_neither_effect_nor_cursor(
    writer: WritePool, pool: WritePool, redis: Redis
) -> None:
    await put(writer, 1, 2)
    book = Book()

    async def fail_at_two(connection: Any, message: Message, sequence: int) -> None:
        await book.handle(connection, message, sequence)
        if sequence == 2:
            raise InvariantViolation("two")

    with pytest.raises(InvariantViolation, match="two"):
        await consumer(pool, redis).run(fail_at_two, book.remember)
    assert (await seen(pool), await cursor(pool), book.memory) == ([(1, 1)], 1, [(1, 1)])


async def test_s9_connections_cut_at_any_moment_repeat_no_effect(
    writer: WritePool, pool: WritePool, redis: Redis, database: Database
) -> None:
    book = Book()
    await put(writer, *range(1, 301))
    async with (
        connected(database.owner_dsn) as owner,
        running(consumer(pool, redis).run(book.handle, book.remember)),
    ):
        for _ in range(8):
            await asyncio.sleep(0.02)
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND usename = 'carry_strategy'"
            )
        await until(lambda: _cursor_of(database), 300)
    async with connected(database.owner_dsn) as owner:
        rows = await owner.fetch("SELECT * FROM strategy.seen ORDER BY sequence, number")
    assert [tuple(row) for row in rows] == [(n, n) for n in range(1, 301)]
    assert book.memory == [(n, n) for n in range(1, 301)]


class CutAfterCommit:
    """A pool whose connection reports a failure although the commit of one entry happened."""

    def __init__(self, pool: WritePool, commits: int) -> None:
        self._pool = pool
        self._commits = commits

    def acquire(self) -> "CutAfterCommit":
        self._lent = self._pool.acquire()
        return self

    async def __aenter__(self) -> "CutAfterCommit":
        self._connection = await self._lent.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._lent.__aexit__(*error)

    def transaction(self) -> "Transaction":
        return Transaction(self, self._connection.transaction())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def committed(self) -> None:
        self._commits -= 1
        if self._commits == 0:
            raise asyncpg.ConnectionDoesNotExistError("cut after the commit")


class Transaction:
    def __init__(self, pool: CutAfterCommit, real: Any) -> None:
        self._pool = pool
        self._real = real

    async def __aenter__(self) -> None:
        await self._real.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self._real.__aexit__(*error)
        self._pool.committed()


@pytest.mark.parametrize("commits", [1, 2])
async def test_s9_a_commit_whose_answer_is_lost_is_remembered_and_not_repeated(
    writer: WritePool, pool: WritePool, redis: Redis, commits: int
) -> None:
    await put(writer, 1, 2, 3)
    book = Book()
    cut: Any = CutAfterCommit(pool, commits)
    async with running(consumer(cut, redis).run(book.handle, book.remember)):
        await until(lambda: cursor(pool), 3)
    assert await seen(pool) == [(1, 1), (2, 2), (3, 3)]
    assert book.calls == [1, 2, 3]
    assert book.memory == [(1, 1), (2, 2), (3, 3)]


async def test_an_undecodable_market_entry_is_set_aside_and_passed(
    writer: WritePool, pool: WritePool, redis: Redis, database: Database
) -> None:
    await put(writer, 1)
    await insert_raw(database, MARKET_FUNDING, 2, b'{"type":"unheard_of.v1"}')
    await put(writer, 3)
    book = Book()
    async with running(consumer(pool, redis).run(book.handle, book.remember)):
        await until(lambda: cursor(pool), 3)
    assert book.memory == [(1, 1), (3, 3)]
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT consumer, stream, entry, body FROM ops.dead_letter")
    assert [tuple(row) for row in rows] == [
        (NAME, MARKET_FUNDING, f"{EPOCH}-2", b'{"type":"unheard_of.v1"}')
    ]


async def test_s4_an_undecodable_entry_stops_a_consumer_that_moves_money(
    pool: WritePool, redis: Redis, database: Database
) -> None:
    await insert_raw(database, EXECUTION_EVENTS, 1, b"not json")
    book = Book()
    with pytest.raises(Malformed, match=r"execution.events 1"):
        await consumer(pool, redis, EXECUTION_EVENTS).run(book.handle)
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM ops.dead_letter") == 0
    assert await cursor(pool) == 0


async def test_s5_a_gap_in_the_table_stops_the_consumer(
    writer: WritePool, pool: WritePool, redis: Redis, database: Database
) -> None:
    await put(writer, 1, 2, 3)
    async with connected(database.owner_dsn) as owner:
        await owner.execute("DELETE FROM ops.outbox WHERE sequence = 2")
    book = Book()
    with pytest.raises(InvariantViolation, match="the outbox has 3 after 1"):
        await consumer(pool, redis).run(book.handle)
    assert book.calls == [1]


async def test_a_new_consumer_begins_with_the_oldest_row_there_is(
    writer: WritePool, pool: WritePool, redis: Redis
) -> None:
    await put(writer, 1, 2, 3)
    async with writer.acquire() as connection:
        await connection.execute("DELETE FROM ops.outbox WHERE sequence < 3")
    book = Book()
    async with running(consumer(pool, redis).run(book.handle)):
        await until(lambda: cursor(pool), 3)
    assert book.calls == [3]


async def test_two_processes_under_one_name_never_share_an_entry(
    writer: WritePool, pool: WritePool, redis: Redis
) -> None:
    books = [Book(), Book()]
    tasks = [asyncio.create_task(consumer(pool, redis).run(book.handle)) for book in books]
    await put(writer, *range(1, 101))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    for task in done:
        with pytest.raises(InvariantViolation, match="another process consumes"):
            task.result()
    assert len(pending) == 1
    await until(lambda: cursor(pool), 100)
    pending.pop().cancel()
    assert await seen(pool) == [(n, n) for n in range(1, 101)]


async def _cursor_of(database: Database) -> int | None:
    try:
        async with connected(database.owner_dsn) as owner:
            found: int | None = await owner.fetchval("SELECT sequence FROM ops.cursor")
            return found
    except UNAVAILABLE:
        return None
