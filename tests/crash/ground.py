"""What all worlds stand on: two servers, and a database in which the market is known already."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from services.carry.demo.children import Child, free_port, wait_until_ready
from services.carry.demo.supervisor import Secrets, read_secrets
from services.carry.embedded import EmbeddedServers
from shared.store.migrate import migrate, role_dsn, set_passwords
from shared.store.quotes import QuoteRow, write_quotes
from tests.support.servers import connected, with_database

READY_SECONDS = 60
BARE, SEEDED = "carry_bare", "carry_seeded"
REDIS_DATABASES = 16
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT")
COUNT_PROVEN = "SELECT count(*) FROM market.symbol_identity"

Environment = dict[str, str]


@dataclass
class Ground:
    """The servers, their secrets, and how a process of ours is told about them."""

    servers: EmbeddedServers
    folder: Path
    keys: Secrets
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _copying: asyncio.Lock = field(default_factory=asyncio.Lock)

    def owner_dsn(self, database: str) -> str:
        return with_database(self.servers.owner_dsn, database)

    def redis_url(self, number: int) -> str:
        return f"{self.servers.redis_url}?db={number}"

    def environment(
        self, folder: Path, venue_port: int, database: str, redis_url: str
    ) -> Environment:
        venue = f"127.0.0.1:{venue_port}"
        return {
            "CARRY_ENV_FILE": "",
            "CARRY_REDIS_URL": redis_url,
            "CARRY_DATABASE_URL": self.owner_dsn(database),
            "CARRY_VENUE_REST_URL": f"http://{venue}",
            "CARRY_VENUE_WS_URL": f"ws://{venue}",
            "CARRY_STATE_DIR": str(folder),
            "CARRY_MAX_ORDERS_PER_HOUR": "100000",
        }

    def child(
        self, name: str, environment: Environment, folder: Path, *arguments: str, port: int = 0
    ) -> Child:
        """Return a service that is not started yet, with its role's login and its own secrets."""
        port = port or free_port()
        own = {**environment, "CARRY_HTTP_PORT": str(port)}
        service = arguments[0] if arguments else name
        if service in ("executor", "simulator"):
            own |= {"CARRY_API_KEY": self.keys.api_key, "CARRY_API_SECRET": self.keys.api_secret}
        if service in ("executor", "strategy", "collector"):
            role = f"carry_{service}"
            own["CARRY_DATABASE_URL"] = role_dsn(
                own["CARRY_DATABASE_URL"], role, self.keys.passwords[role]
            )
        return Child(name, arguments or (name,), own, port, folder / f"{name}.log")

    @asynccontextmanager
    async def database(self, template: str) -> AsyncIterator[str]:
        """Lend a copy of a template; its number is also that of a Redis database."""
        name = f"carry_case_{next(self._numbers)}"
        async with self._copying:
            await self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def prepare(self) -> None:
        """Make the templates: a migrated database, and one that a collector has filled."""
        await self._execute(f"CREATE DATABASE {BARE}")
        await migrate(self.owner_dsn(BARE))
        await set_passwords(self.owner_dsn(BARE), self.keys.passwords)
        await self._execute(f"CREATE DATABASE {SEEDED} TEMPLATE {BARE}")
        folder = self.folder / "seed"
        folder.mkdir()
        port = free_port()
        environment = self.environment(folder, port, SEEDED, self.redis_url(0))
        venue = self.child("simulator", environment, folder, port=port)
        collector = self.child("collector", environment, folder)
        async with httpx.AsyncClient(timeout=5) as client:
            for child in (venue, collector):
                await child.start()
                await wait_until_ready([child], client, READY_SECONDS)
            quotes = [
                await _quote(client, venue.url, category, symbol)
                for symbol in SYMBOLS
                for category in ("spot", "linear")
            ]
        async with asyncio.timeout(READY_SECONDS), connected(self.owner_dsn(SEEDED)) as connection:
            while await connection.fetchval(COUNT_PROVEN) < len(SYMBOLS):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            async with connection.transaction():
                await write_quotes(connection, quotes)
        for child in (collector, venue):
            await child.stop()

    async def _execute(self, statement: str) -> None:
        async with connected(self.servers.owner_dsn) as connection:
            await connection.execute(statement)


async def _quote(client: httpx.AsyncClient, venue: str, category: str, symbol: str) -> QuoteRow:
    """Return the book that stands at the venue, whose time has not begun: no stream tells it."""

    async def read(path: str, **query: str) -> Any:
        answer = await client.get(
            f"{venue}/v5/market/{path}", params={"category": category, "symbol": symbol, **query}
        )
        return answer.json()["result"]

    book, row = await read("orderbook", limit="1"), (await read("tickers"))["list"][0]
    is_linear = category == "linear"
    at = datetime.fromtimestamp(book["ts"] / 1000, UTC)
    return QuoteRow(
        category=category,
        symbol=symbol,
        venue_at=at,
        bid=Decimal(book["b"][0][0]),
        bid_size=Decimal(book["b"][0][1]),
        ask=Decimal(book["a"][0][0]),
        ask_size=Decimal(book["a"][0][1]),
        mark=Decimal(row["markPrice"]) if is_linear else None,
        index=Decimal(row["indexPrice"]) if is_linear else None,
        predicted_rate=Decimal(row["fundingRate"]) if is_linear else None,
        next_funding_at=at + timedelta(hours=8) if is_linear else None,
        funding_interval_hours=Decimal(8) if is_linear else None,
        received_at=at,
    )


def number_of(database: str) -> int:
    """Return the Redis database of a copy: two run at a time, so sixteen are plenty."""
    return int(database.rpartition("_")[2]) % REDIS_DATABASES


@asynccontextmanager
async def open_ground(folder: Path) -> AsyncIterator[Ground]:
    """Run both servers, durable as the executor demands, for the time of a block."""
    async with EmbeddedServers(folder / "servers", keep=False) as servers:
        ground = Ground(servers, folder, read_secrets(folder))
        await ground.prepare()
        yield ground
