"""Settled funding rates: the past at start, each new one the moment it is there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final

import structlog

from services.collector.seams import Doorbell
from shared.bus.messages import FundingSettled
from shared.bus.outbox import enqueue
from shared.bus.streams import MARKET_FUNDING
from shared.domain.errors import Transient
from shared.domain.funding import FundingSettlement, newest_passed
from shared.exchange.ports import FeedQuote, MarketFeed
from shared.runtime.clock import Clock
from shared.runtime.retry import retry_transient
from shared.store.funding import insert_settlements, read_recent_settlements
from shared.store.pool import UNAVAILABLE, WritePool

ASK_AGAIN_SECONDS: Final = 0.2
ALARM_SECONDS: Final = 5.0
READ_DEADLINE_SECONDS: Final = 60.0
WINDOW: Final = timedelta(days=50)  # a page of eight-hour rates
ANNOUNCED: Final = 63
"""Rates per symbol that a backfill also says on the stream, for whoever started before it."""
MILLISECOND: Final = timedelta(milliseconds=1)

log = structlog.get_logger()


class FundingRecorder:
    """Inserts settled rates once each; the row and its event are one transaction.

    ``observe`` is called with every quote and never waits; ``record`` does the work. ``before`` is
    awaited with symbol and instant before a new settlement is stored, and never raises.
    ``on_alarm`` is told the symbol whose due rate the venue did not show in time, ``on_stored`` how
    many seconds (wall) after its announcement a rate was stored.
    """

    def __init__(
        self,
        *,
        feed: MarketFeed,
        pool: WritePool,
        doorbell: Doorbell,
        clock: Clock,
        draw: Callable[[], float],
        before: Callable[[str, datetime], Awaitable[None]],
        on_alarm: Callable[[str], None],
        on_stored: Callable[[float], None],
    ) -> None:
        self._feed = feed
        self._pool = pool
        self._doorbell = doorbell
        self._clock = clock
        self._draw = draw
        self._before = before
        self._on_alarm = on_alarm
        self._on_stored = on_stored
        self._newest: dict[str, FundingSettlement] = {}
        self._next: dict[str, datetime] = {}
        self._wanted: dict[str, tuple[datetime, float]] = {}
        self._rung = asyncio.Event()
        self.backfilled = False

    async def backfill(self, symbols: Sequence[str], history: timedelta) -> int:
        """Fetch what is missing since the newest stored rate, oldest first; return the new rows.

        Each window is committed by itself, so that a restart goes on where this one ended.
        """
        end = await self.venue_now()
        async with self._pool.acquire() as connection:
            stored = await read_recent_settlements(connection, symbols, 1)
        starts = {
            symbol: rows[-1].settled_at + MILLISECOND if rows else end - history
            for symbol, rows in stored.items()
        }
        self._newest |= {symbol: rows[-1] for symbol, rows in stored.items() if rows}
        counts = await asyncio.gather(
            *(self._backfill(symbol, start, end) for symbol, start in starts.items())
        )
        self.backfilled = True
        log.info("funding_backfilled", rows=sum(counts), symbols=len(starts))
        return sum(counts)

    def observe(self, quotes: Sequence[FeedQuote]) -> None:
        """Notice when a ticker names a new next settlement: the one before it has happened.

        The first one seen counts as new: the backfill may have ended just before it.
        """
        for quote in quotes:
            next_at, before = quote.next_funding_at, self._next.get(quote.symbol)
            if next_at is None or (before is not None and next_at <= before):
                continue
            self._next[quote.symbol] = next_at
            hours = quote.funding_interval_hours
            interval = None if hours is None else timedelta(seconds=int(hours * 3600))
            due_at = newest_passed(before, next_at, interval, quote.ticker_at or quote.venue_at)
            if due_at is not None:
                self._wanted[quote.symbol] = (due_at, self._clock.monotonic())
                self._rung.set()

    async def record(self) -> None:
        """Fetch each due rate at once, all symbols in parallel, without end."""
        async with asyncio.TaskGroup() as group:
            running: dict[str, asyncio.Task[None]] = {}
            while True:
                await self._rung.wait()
                self._rung.clear()
                for symbol in [s for s in self._wanted if s not in running]:
                    running[symbol] = group.create_task(self._settle(symbol))
                    running[symbol].add_done_callback(partial(self._ended, symbol, running))

    def _ended(
        self, symbol: str, running: dict[str, asyncio.Task[None]], _: asyncio.Task[None]
    ) -> None:
        del running[symbol]
        if symbol in self._wanted:
            self._rung.set()

    async def _settle(self, symbol: str) -> None:
        """Ask until the history reaches the settlement that is due, or a later one is due."""
        due_at, since = self._wanted.pop(symbol)
        if self._reaches(symbol, due_at):
            return
        alarmed = False
        while symbol not in self._wanted:
            try:
                if await self._fetch_new(symbol, due_at):
                    self._on_stored(self._clock.monotonic() - since)
                    return
            except (Transient, *UNAVAILABLE) as error:
                log.warning("funding_unavailable", symbol=symbol, detail=str(error))
            if not alarmed and self._clock.monotonic() - since > ALARM_SECONDS:
                alarmed = True
                self._on_alarm(symbol)
                log.error("funding_missing", symbol=symbol, settled_at=due_at.isoformat())
            await self._clock.sleep(ASK_AGAIN_SECONDS)

    async def _fetch_new(self, symbol: str, due_at: datetime) -> bool:
        """Store what is newer than the newest known; whether that reaches ``due_at``."""
        newest = self._newest.get(symbol)
        start = due_at - WINDOW if newest is None else newest.settled_at + MILLISECOND
        settled = await self._feed.fetch_funding_rate_history(symbol, start, due_at)
        if settled:
            await self._before(symbol, settled[-1].settled_at)
        await self._insert(settled, announce=len(settled))
        return self._reaches(symbol, due_at)

    def _reaches(self, symbol: str, due_at: datetime) -> bool:
        newest = self._newest.get(symbol)
        return newest is not None and newest.settled_at >= due_at

    async def venue_now(self) -> datetime:
        """Return venue time, waiting until the feed shows one."""
        while (now := await self._feed.venue_time()) is None:
            await self._clock.sleep(0.05)
        return now

    async def _backfill(self, symbol: str, start: datetime, end: datetime) -> int:
        count = 0
        while start <= end:
            until = min(start + WINDOW, end)

            async def fetch(first: datetime = start, last: datetime = until) -> Settled:
                return await self._feed.fetch_funding_rate_history(symbol, first, last)

            settled = await retry_transient(
                fetch,
                clock=self._clock,
                draw=self._draw,
                deadline_seconds=READ_DEADLINE_SECONDS,
            )
            count += len(settled)
            await self._insert(settled, announce=ANNOUNCED if until == end else 0)
            start = until + MILLISECOND
        return count

    async def _insert(self, settled: Sequence[FundingSettlement], *, announce: int) -> None:
        if not settled:
            return
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            new = await insert_settlements(connection, settled, now)
            if new and announce:
                messages = [_message(s, now) for s in new[-announce:]]
                await enqueue(connection, MARKET_FUNDING, messages)
        if new and announce:
            self._doorbell.notify()
        for settlement in settled:
            known = self._newest.get(settlement.symbol)
            if known is None or settlement.settled_at > known.settled_at:
                self._newest[settlement.symbol] = settlement


Settled = Sequence[FundingSettlement]


def _message(settlement: FundingSettlement, now: datetime) -> FundingSettled:
    return FundingSettled(
        symbol=settlement.symbol,
        rate=settlement.rate,
        settled_at=settlement.settled_at,
        interval_hours=Decimal(settlement.interval // timedelta(seconds=1)) / 3600,
        received_at=now,
    )
