"""The collector as a process, between a real simulator, a real database and a real Redis."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from services.carry.demo.children import free_port
from shared.bus.messages import FundingSettled, decode
from shared.bus.quotes import QuoteReader
from shared.bus.streams import BODY, MARKET_FUNDING
from shared.runtime.clock import SystemClock
from shared.store.migrate import claim_installation
from tests.support.servers import Database
from tests.support.simulator import Simulator, simulator

pytestmark = pytest.mark.slow

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT")
SETTLED_AT = datetime(2023, 11, 11, 8, tzinfo=UTC)


@dataclass
class Process:
    """A collector of its own process; ``log`` holds what it said."""

    environment: dict[str, str]
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.carry.cli", "collector"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def ready(self, seconds: float = 60) -> None:
        async with httpx.AsyncClient() as client:
            for _ in range(int(seconds / 0.05)):
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()[-2000:]
                try:
                    answer = await client.get(f"http://127.0.0.1:{self.port}/readyz")
                    if answer.status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(f"not ready:\n{self.log.read_text()[-2000:]}")

    async def metric(self, name: str) -> float:
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{self.port}/metrics")).text
        [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    await claim_installation(connection, "replay", "desk-1", datetime.now(UTC))
    yield connection
    await connection.close()


@asynccontextmanager
async def collecting(
    venue: Simulator, database: Database, redis_url: str
) -> AsyncIterator[Process]:
    port = free_port()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CARRY_")}
    own = {
        "CARRY_ENV_FILE": "",
        "CARRY_DATABASE_URL": database.dsn_for("carry_collector"),
        "CARRY_REDIS_URL": redis_url,
        "CARRY_VENUE_REST_URL": venue.rest,
        "CARRY_VENUE_WS_URL": venue.stream,
        "CARRY_HTTP_PORT": str(port),
    }
    process = Process({**inherited, **own}, venue.folder / "collector.log", port)
    try:
        process.start()
        yield process
    finally:
        process.kill()


async def test_quotes_and_a_settlement_of_five_symbols_arrive(
    database: Database, owner: asyncpg.Connection, redis: Redis, redis_url: str
) -> None:
    with simulator(start="2023-11-11T06:00:00Z") as venue:
        async with collecting(venue, database, redis_url) as collector:
            await collector.ready()
            venue.release()
            instants = await quoted_instants(redis)
            said = await settled(redis)
            assert {m.symbol for m in said} == set(SYMBOLS)
            assert {SETTLED_AT + timedelta(minutes=1), SETTLED_AT - timedelta(minutes=59)} <= (
                instants
            )
            rows = await owner.fetch(
                "SELECT symbol, rate FROM market.funding_settlement WHERE settled_at = $1",
                SETTLED_AT,
            )
            assert {row["symbol"]: row["rate"] for row in rows} == {m.symbol: m.rate for m in said}
            assert await owner.fetchval("SELECT count(*) FROM market.symbol_identity") == 5
            assert await owner.fetchval("SELECT count(*) FROM market.quote_latest") == 10
            assert await collector.metric("carry_collector_funding_missing_total") == 0
            count = await collector.metric("carry_collector_funding_delay_seconds_count")
            total = await collector.metric("carry_collector_funding_delay_seconds_sum")
            assert count == 5
            assert total / count < 0.5


async def test_a_backfill_that_was_killed_goes_on_and_ends_complete(
    database: Database, owner: asyncpg.Connection, redis: Redis, redis_url: str
) -> None:
    count = "SELECT count(*) FROM market.funding_settlement"
    with simulator() as venue:
        async with collecting(venue, database, redis_url) as collector:
            async with asyncio.timeout(20):
                while await owner.fetchval(count) == 0:  # noqa: ASYNC110 - a database has none
                    await asyncio.sleep(0.001)
            collector.kill()
            kept = await owner.fetchval(count)
            collector.start()
            await collector.ready()
    assert 0 < kept <= 5 * 1096 + 354
    rows = await owner.fetch(
        "SELECT symbol, count(*) AS n, max(settled_at) AS last, "
        "sum(interval_hours) AS hours FROM market.funding_settlement GROUP BY symbol"
    )
    # A year of eight hours; SOL has 39 days and 8 h of two hours in it, and six that are unknown.
    year, sol = (1096, 1096 * 8), (473 + 977, 473 * 2 + 977 * 8)
    assert {row["symbol"]: (row["n"], row["hours"]) for row in rows} == {
        **dict.fromkeys(SYMBOLS, year),
        "SOLUSDT": sol,
    }
    bars = await owner.fetch(
        "SELECT count(*) AS n, max(opened_at) - min(opened_at) AS span FROM market.bar "
        "WHERE series IN ('spot', 'linear') GROUP BY series, symbol"
    )
    assert len(bars) == 10
    assert {row["span"] == (row["n"] - 1) * timedelta(hours=1) for row in bars} == {True}
    assert min(row["n"] for row in bars) >= 8761  # the hours of a year, and the one before it


async def quoted_instants(redis: Redis) -> set[datetime]:
    """Read quotes until one follows the settlement; return every instant seen."""
    seen: set[datetime] = set()
    async with asyncio.timeout(15):
        async for batch in QuoteReader(redis, SystemClock()).batches():
            seen |= {quote.venue_at for quote in batch}
            if max(seen) > SETTLED_AT + timedelta(minutes=1):
                return seen
    raise AssertionError("the quotes ended")


async def settled(redis: Redis) -> list[FundingSettled]:
    """Return what is said of the settlement, once it is said of every symbol."""
    async with asyncio.timeout(20):
        while True:
            entries: Any = await redis.xrange(MARKET_FUNDING)
            messages = [decode(fields[BODY]) for _, fields in entries]
            said = [
                message
                for message in messages
                if isinstance(message, FundingSettled) and message.settled_at == SETTLED_AT
            ]
            if len(said) >= len(SYMBOLS):
                return said
            await asyncio.sleep(0.05)
