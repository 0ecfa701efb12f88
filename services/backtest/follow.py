"""Follows what the decisions passed over, from the journal, for the holds they would have had."""

from datetime import datetime, timedelta
from typing import Final

import structlog

from services.backtest.skips import new_holds, outcomes
from shared.runtime.clock import Clock
from shared.store.funding import read_settlements
from shared.store.pool import UNAVAILABLE, WritePool
from shared.store.skips import (
    complete_skips,
    insert_skips,
    is_ours_to_follow,
    read_decided_until,
    read_due_skips,
    read_last_skip,
    read_newest_skips,
    read_passed_over,
)

LOOK_SECONDS: Final = 10.0
DECISIONS_MOST: Final = 60
DUE_MOST: Final = 200
LATE_VENUE: Final = timedelta(hours=1)
"""How long after a hold's end its last settlement may still come in."""
BEFORE_VENUE: Final = timedelta(days=2)
"""A settlement in so long before a hold proves that the pair's funding was recorded by then."""

log = structlog.get_logger()


class Follower:
    """Reads the decision journal and writes ``research.skip``; nothing else is touched."""

    def __init__(self, pool: WritePool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._seen: datetime | None = None

    async def run(self) -> None:
        """Look for new decisions and ended holds for ever; a store that is away is waited for."""
        while True:
            try:
                while await self.step():
                    await self._clock.sleep(0)
            except UNAVAILABLE as error:
                log.warning("store_unavailable", detail=type(error).__name__)
            await self._clock.sleep(LOOK_SECONDS)

    async def step(self) -> bool:
        """Take in a few decisions and a few ended holds; False when there are none."""
        taken = await self._take()
        return await self._follow() or taken

    async def _take(self) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            if not await is_ours_to_follow(connection):
                return False
            stored = await read_last_skip(connection)
            if self._seen is None or (stored is not None and stored > self._seen):
                self._seen = stored  # another worker may have been here
            until, found = await read_passed_over(connection, self._seen, DECISIONS_MOST)
            if until is None:
                return False
            begun = new_holds(await read_newest_skips(connection), found)
            if begun:
                await insert_skips(connection, begun)
        self._seen = until
        return True

    async def _follow(self) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            until = await read_decided_until(connection)
            if until is None:
                return False
            due = await read_due_skips(connection, until - LATE_VENUE, DUE_MOST)
            if not due:
                return False
            names = sorted({row["symbol"] for row in due})
            since = min(row["decided_at"] for row in due) - BEFORE_VENUE
            settled = await read_settlements(connection, names, since)
            await complete_skips(connection, outcomes(due, settled, until), self._clock.now())
        log.info("skips_followed", count=len(due))
        return True
