"""Pools, heartbeats and bulk copies against a real database."""

from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest

from shared.domain.errors import Misconfigured, StoreUnavailable
from shared.store.copy import copy_new_rows, copy_rows
from shared.store.heartbeat import beat
from shared.store.migrate import role_dsn
from shared.store.pool import open_pool, open_read_pool
from shared.store.tables import FUNDING_SETTLEMENT
from tests.support.servers import Database

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VENUE = datetime(2023, 11, 11, tzinfo=UTC)


def settled(symbol: str, rate: str) -> tuple[object, ...]:
    return (symbol, VENUE, Decimal(rate), Decimal(8), NOW)


async def test_a_read_pool_refuses_to_write_whatever_its_role_may(database: Database) -> None:
    dsn = database.dsn_for("carry_executor")
    async with open_read_pool(dsn, application="test") as pool, pool.acquire() as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("DELETE FROM ops.outbox")


async def test_a_connection_says_whose_it_is(database: Database) -> None:
    dsn = database.dsn_for("carry_executor")
    async with open_pool(dsn, application="executor") as pool, pool.acquire() as connection:
        assert await connection.fetchval("SHOW application_name") == "executor"


async def test_a_wrong_password_refuses_to_start(database: Database) -> None:
    dsn = role_dsn(database.owner_dsn, "carry_executor", "wrong")
    with pytest.raises(Misconfigured, match="the database refuses executor"):
        async with open_pool(dsn, application="executor"):
            raise AssertionError("a wrong password was let in")


async def test_an_absent_server_is_a_store_that_does_not_answer() -> None:
    dsn = "postgresql://carry_executor:x@/carry?host=/nonexistent"
    with pytest.raises(StoreUnavailable, match="does not answer"):
        async with open_pool(dsn, application="executor"):
            raise AssertionError("nothing can be connected")


async def test_the_newest_heartbeat_of_a_service_stays(database: Database) -> None:
    dsn = database.dsn_for("carry_strategy")
    async with open_pool(dsn, application="test") as pool:
        await beat(pool, "strategy", False, "starting", None, NOW)
        await beat(pool, "strategy", True, "", VENUE, NOW)
        async with pool.acquire() as connection:
            rows = await connection.fetch("SELECT * FROM ops.heartbeat")
    assert [tuple(row) for row in rows] == [("strategy", True, "", VENUE, NOW)]


async def test_copied_rows_keep_every_digit_and_a_known_one_refuses_all(database: Database) -> None:
    dsn = database.dsn_for("carry_collector")
    async with open_pool(dsn, application="test") as pool, pool.acquire() as connection:
        rate = "0.000100000000000000000001"
        assert await copy_rows(connection, FUNDING_SETTLEMENT, [settled("BTCUSDT", rate)]) == 1
        with pytest.raises(asyncpg.UniqueViolationError):
            await copy_rows(
                connection, FUNDING_SETTLEMENT, [settled("ETHUSDT", "1"), settled("BTCUSDT", "1")]
            )
        rows = await connection.fetch("SELECT symbol, rate FROM market.funding_settlement")
    assert [tuple(row) for row in rows] == [("BTCUSDT", Decimal(rate))]


async def test_a_copy_of_known_rows_adds_the_new_ones_alone(database: Database) -> None:
    dsn = database.dsn_for("carry_collector")
    async with open_pool(dsn, application="test") as pool, pool.acquire() as connection:
        async with connection.transaction():
            first = [settled("BTCUSDT", "1"), settled("ETHUSDT", "2")]
            assert await copy_new_rows(connection, FUNDING_SETTLEMENT, first) == 2
            again = [settled("BTCUSDT", "9"), settled("SOLUSDT", "3")]
            assert await copy_new_rows(connection, FUNDING_SETTLEMENT, again) == 1
            assert await copy_new_rows(connection, FUNDING_SETTLEMENT, []) == 0
        rows = await connection.fetch("SELECT symbol, rate FROM market.funding_settlement")
    assert {row["symbol"]: row["rate"] for row in rows} == {
        "BTCUSDT": 1, "ETHUSDT": 2, "SOLUSDT": 3,
    }  # fmt: skip
