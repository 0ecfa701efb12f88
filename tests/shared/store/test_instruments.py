"""Proven pairs: waited for, but not for ever."""

from datetime import UTC, datetime
from decimal import Decimal

from shared.domain.instrument import Category
from shared.store.instruments import (
    PATIENCE_LOOKS,
    Identity,
    upsert_identity,
    upsert_instruments,
    wait_for_pairs,
)
from shared.store.pool import WritePool, open_pool
from tests.support.markets import instrument
from tests.support.servers import Database

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def prove(pool: WritePool, base: str) -> None:
    name = f"{base}USDT"
    async with pool.acquire() as connection:
        await upsert_instruments(connection, [instrument(c, base) for c in Category], NOW)
        one = Decimal(1)
        await upsert_identity(connection, Identity(name, base, name, name, one, one, NOW))


async def test_pairs_are_there_as_soon_as_all_are_proven(database: Database) -> None:
    async with open_pool(database.dsn_for("carry_collector"), application="test") as pool:
        await prove(pool, "BTC")

        async def sleep(_seconds: float) -> None:
            await prove(pool, "ETH")

        pairs = await wait_for_pairs(pool, ["BTCUSDT", "ETHUSDT"], sleep)
    assert [pair.name for pair in pairs] == ["BTCUSDT", "ETHUSDT"]


async def test_a_pair_that_is_never_proven_does_not_keep_the_others_waiting(
    database: Database,
) -> None:
    slept: list[float] = []
    async with open_pool(database.dsn_for("carry_collector"), application="test") as pool:

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == PATIENCE_LOOKS + 5:
                await prove(pool, "BTC")

        pairs = await wait_for_pairs(pool, ["BTCUSDT", "NOUSDT"], sleep)
    assert [pair.name for pair in pairs] == ["BTCUSDT"]
    assert len(slept) == PATIENCE_LOOKS + 5
