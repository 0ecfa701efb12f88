"""A collector's surroundings: a real database, a feed and a sink in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.bus.messages import Message, QuoteUpdated, decode
from shared.runtime.clock import SystemClock
from shared.store.pool import WritePool, open_pool
from tests.support.fake_feed import FakeFeed
from tests.support.servers import Database


@dataclass
class Bell:
    """Counts how often it was rung."""

    rung: int = 0

    def notify(self) -> None:
        self.rung += 1


@dataclass
class Sink:
    """Keeps what was published."""

    batches: list[list[QuoteUpdated]] = field(default_factory=list)

    async def publish(self, quotes: Sequence[QuoteUpdated]) -> None:
        self.batches.append(list(quotes))


@dataclass
class Kit:
    """Everything a part of the collector is made of."""

    pool: WritePool
    feed: FakeFeed = field(default_factory=FakeFeed)
    bell: Bell = field(default_factory=Bell)
    sink: Sink = field(default_factory=Sink)
    clock: SystemClock = field(default_factory=SystemClock)
    alarms: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    async def said(self, stream: str) -> list[Message]:
        """Return what was left in the outbox of ``stream``, in order."""
        async with self.pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT body FROM ops.outbox WHERE stream = $1 ORDER BY sequence", stream
            )
        return [decode(bytes(row["body"])) for row in rows]

    @contextlib.asynccontextmanager
    async def running(self, *loops: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Run endless loops inside the block."""
        tasks = [asyncio.create_task(loop()) for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return as soon as ``holds``; fails after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what it watches has no event
            await asyncio.sleep(0.002)


@pytest.fixture
async def kit(database: Database) -> AsyncIterator[Kit]:
    async with open_pool(database.dsn_for("carry_collector"), application="test") as pool:
        yield Kit(pool)
