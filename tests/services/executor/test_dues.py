"""A settlement of a held position that the log does not show is alarmed (R:M11)."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from services.executor.dues import FundingWatch
from shared.store.dues import read_missing_funding
from shared.store.pool import WritePool
from tests.support.clock import ManualClock
from tests.support.executor import MS, Rig, running, venue
from tests.support.markets import INSTANT, MIDNIGHT
from tests.support.servers import Database, connected

SETTLED = MIDNIGHT + timedelta(hours=8)
SETTLED_MS = int(SETTLED.timestamp() * 1000)


async def settle_rate(database: Database, at: datetime = SETTLED, rate: str = "0.0001") -> None:
    """Store a rate as the collector does."""
    async with connected(database.dsn_for("carry_collector")) as connection:
        await connection.execute(
            "INSERT INTO market.funding_settlement VALUES ('BTCUSDT', $1, $2, 8, $1)",
            at,
            Decimal(rate),
        )


def watch(rig: Rig, clock: ManualClock) -> FundingWatch:
    return FundingWatch(
        rig.parts.bookkeeper,
        journal=rig.parts.journal,
        market=rig.market,
        clock=clock,
        ready=rig.parts.reconciler.armed,
    )


async def look(rig: Rig, watching: FundingWatch, clock: ManualClock, at: datetime) -> list[str]:
    """Let the venue's clock stand at ``at``, five seconds go by, and look."""
    rig.quote(at)
    await watching.look()
    await clock.advance(5.0)
    await watching.look()
    return await rig.alarms()


async def test_m11_a_missing_settlement_is_alarmed_five_minutes_after_its_instant(
    database: Database, pool: WritePool
) -> None:
    exchange, clock = venue(), ManualClock()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        await settle_rate(database)
        watching = watch(rig, clock)
        early = SETTLED + timedelta(minutes=4, seconds=59)
        assert await look(rig, watching, clock, early) == []
        assert await look(rig, watching, clock, SETTLED + timedelta(minutes=5)) == [
            "funding_missing"
        ]
        exchange.advance(SETTLED_MS)
        exchange.settle("BTCUSDT", Decimal("0.0001"))
        rig.gateway.push()
        await rig.parts.bookkeeper.read()
        async with pool.acquire() as connection:
            assert await read_missing_funding(connection, INSTANT, SETTLED) == []


async def test_m11_a_settlement_that_is_booked_or_was_not_held_is_not_missed(
    database: Database, pool: WritePool
) -> None:
    exchange, clock = venue(), ManualClock()
    async with running(pool, exchange) as rig:
        await settle_rate(database, INSTANT + timedelta(minutes=30))  # nothing was held yet
        exchange.advance(MS + 3_600_000)
        await rig.want("1", minutes=60)
        rig.quote(INSTANT + timedelta(minutes=60))
        await rig.finished(1)
        await settle_rate(database)
        await settle_rate(database, SETTLED + timedelta(hours=1), rate="0")  # nothing to be paid
        exchange.advance(SETTLED_MS)
        exchange.settle("BTCUSDT", Decimal("0.0001"))
        rig.gateway.push()
        at = SETTLED + timedelta(hours=2)
        assert await look(rig, watch(rig, clock), clock, at) == []


@pytest.mark.parametrize("held_seconds", [-2, 2])
async def test_m11_a_fill_at_the_instant_itself_expects_nothing(
    database: Database, pool: WritePool, held_seconds: int
) -> None:
    exchange = venue()
    exchange.advance(SETTLED_MS + held_seconds * 1000)
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        await settle_rate(database)
        async with pool.acquire() as connection:
            assert await read_missing_funding(connection, INSTANT, SETTLED) == []
