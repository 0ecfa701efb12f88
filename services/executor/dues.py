"""Alarms a settlement of a held position that the venue's log does not show (R:M11)."""

import asyncio
from collections import deque
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.executor.bookkeeper import Bookkeeper
from services.executor.journal import Journal
from services.executor.market import Market
from shared.domain.errors import Transient
from shared.runtime.clock import Clock
from shared.store.dues import read_missing_funding

LOOK_SECONDS: Final = 2.0
LATE: Final = timedelta(minutes=5)
LAG_SECONDS: Final = 5.0
LOOKS_BACK: Final = timedelta(days=7)

log = structlog.get_logger()


class FundingWatch:
    """A settlement is due five minutes after its instant, by the venue's clock.

    Where that clock runs faster than ours, five of our seconds more: in replay five minutes are a
    tenth of a second, in which no reading of the log can end.
    """

    def __init__(
        self,
        bookkeeper: Bookkeeper,
        *,
        journal: Journal,
        market: Market,
        clock: Clock,
        ready: asyncio.Event,
    ) -> None:
        self._bookkeeper = bookkeeper
        self._journal = journal
        self._market = market
        self._clock = clock
        self._ready = ready
        self._seen: deque[tuple[float, datetime]] = deque()
        self._paid_until: datetime | None = None

    async def run(self) -> None:
        """Look every two seconds, for ever; a missing one is alarmed again until it is there."""
        await self._ready.wait()
        while True:
            try:
                await self.look()
            except Transient as error:
                log.warning("funding_not_looked_for", detail=str(error))
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Alarm what is due and not booked."""
        due = self._due()
        opened = self._bookkeeper.opened_at
        if due is None or opened is None:
            return
        since = max(opened, self._paid_until or due - LOOKS_BACK)
        if since >= due:
            return
        await self._bookkeeper.read()
        async with self._journal.pool.acquire() as connection:
            missing = await read_missing_funding(connection, since, due)
        for symbol, settled_at in missing:
            at = settled_at.isoformat()
            await self._journal.alarm("funding_missing", f"{symbol} settled at {at}", symbol)
        self._paid_until = min((at for _, at in missing), default=due + timedelta(microseconds=1))
        self._paid_until -= timedelta(microseconds=1)

    def _due(self) -> datetime | None:
        """Return until when every settlement should be booked by now."""
        now = self._clock.monotonic()
        if self._market.venue_at is not None:
            self._seen.append((now, self._market.venue_at))
        due = None
        while self._seen and now - self._seen[0][0] >= LAG_SECONDS:
            due = self._seen.popleft()[1] - LATE
        return due
