"""Hourly bars of both legs and the mark: the past at start, then each hour once it has closed.

One loop fills in whatever is missing behind the newest stored bar, be it a year or an hour, so that
a start, a recovery and an ordinary hour are the same. The legs come first: decisions need no mark
bar, a back-test over the store does, so of the mark one pair's window is read at each look. Before
a settlement is stored its prices are asked for at once: whoever hears of the rate finds the basis
beside it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

import structlog

from shared.domain.errors import Transient
from shared.domain.instrument import Category
from shared.exchange.ports import Bar, MarketFeed
from shared.runtime.clock import Clock
from shared.runtime.retry import retry_transient
from shared.store.bars import insert_bars, read_newest_bar
from shared.store.history import BarRow
from shared.store.pool import UNAVAILABLE, WritePool

LEGS: Final = ("spot", "linear")
HOUR: Final = timedelta(hours=1)
WINDOW: Final = 2_999 * HOUR  # three pages of bars; each window is committed by itself
LOOK_SECONDS: Final = 20.0
BUSY_RETRY_SECONDS: Final = 1.0
READ_DEADLINE_SECONDS: Final = 60.0
SOON_SECONDS: Final = 3.0
"""How long (wall) a settlement waits for its prices; without them nothing is opened or left."""

log = structlog.get_logger()


class BarRecorder:
    """Inserts closed hours once each, oldest first; ``history`` is how far back they reach."""

    def __init__(
        self,
        *,
        feed: MarketFeed,
        pool: WritePool,
        clock: Clock,
        draw: Callable[[], float],
        history: timedelta,
    ) -> None:
        self._feed = feed
        self._pool = pool
        self._clock = clock
        self._draw = draw
        self._history = history
        self._newest: dict[tuple[str, str], datetime | None] = {}
        self._filling: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self.backfilled = False

    async def record(self, symbols: Sequence[str]) -> None:
        """Fill in what has closed, again and again; a venue or store that is away is waited for."""
        for turn in count():
            try:
                now = await self._venue_now()
                new = await _sum_of(self.fill(symbol, now) for symbol in symbols)
                if self.backfilled:
                    await self._fill("mark", symbols[turn % len(symbols)], _last(now), windows=1)
                else:
                    self.backfilled = True
                    log.info("bars_backfilled", rows=new, symbols=len(symbols))
            except (Transient, *UNAVAILABLE) as error:
                log.warning("bars_unavailable", detail=str(error))
                await self._clock.sleep(BUSY_RETRY_SECONDS)
                continue
            await self._clock.sleep(LOOK_SECONDS)

    async def fill(self, symbol: str, until: datetime) -> int:
        """Store the hours of both legs that had closed at ``until`` (venue time); return how many.

        Raises: Transient when the venue does not answer in time.
        """
        return await _sum_of(self._fill(leg, symbol, _last(until)) for leg in LEGS)

    async def before_settlement(self, symbol: str, settled_at: datetime) -> None:
        """Store the prices at a settlement if that can be had soon; the loop tries on if not."""
        try:
            async with asyncio.timeout(SOON_SECONDS):
                await self.fill(symbol, settled_at)
        except (TimeoutError, Transient, *UNAVAILABLE) as error:
            log.warning(
                "bars_late", symbol=symbol, settled_at=settled_at.isoformat(), detail=str(error)
            )

    async def _fill(
        self, series: str, symbol: str, last: datetime, windows: int | None = None
    ) -> int:
        """Store what is missing up to the hour ``last``, at most so many windows of it."""
        async with self._filling[series, symbol]:
            new, first = 0, await self._first(series, symbol, last)
            while first <= last and windows != 0:
                end = min(first + WINDOW, last)
                bars = await self._fetch(series, symbol, first, end)
                new += await self._insert(series, symbol, bars)
                first = end + HOUR
                windows = None if windows is None else windows - 1
            return new

    async def _first(self, series: str, symbol: str, last: datetime) -> datetime:
        """Return the hour after the newest bar; where there is none, where history begins."""
        key = series, symbol
        if key not in self._newest:
            async with self._pool.acquire() as connection:
                self._newest[key] = await read_newest_bar(connection, series, symbol)
        newest = self._newest[key]
        return last - self._history if newest is None else newest + HOUR

    async def _fetch(
        self, series: str, symbol: str, first: datetime, last: datetime
    ) -> Sequence[Bar]:
        async def fetch() -> Sequence[Bar]:
            if series == "mark":
                return await self._feed.fetch_mark_ohlcv(symbol, first, last)
            return await self._feed.fetch_ohlcv(Category(series), symbol, first, last)

        return await retry_transient(
            fetch, clock=self._clock, draw=self._draw, deadline_seconds=READ_DEADLINE_SECONDS
        )

    async def _insert(self, series: str, symbol: str, bars: Sequence[Bar]) -> int:
        if not bars:
            return 0
        rows: list[BarRow] = [
            (series, symbol, at, first, high, low, close, None if series == "mark" else volume)
            for at, first, high, low, close, volume in bars
        ]
        async with self._pool.acquire() as connection, connection.transaction():
            count = await insert_bars(connection, rows, self._clock.now())
        self._newest[series, symbol] = bars[-1][0]
        return count

    async def _venue_now(self) -> datetime:
        while (now := await self._feed.venue_time()) is None:
            await self._clock.sleep(0.05)
        return now


def _last(until: datetime) -> datetime:
    """Return when the last hour opened that had closed by then."""
    return until.replace(minute=0, second=0, microsecond=0) - HOUR


async def _sum_of(parts: Iterable[Coroutine[Any, Any, int]]) -> int:
    """Return the sum of all once every one has ended; raises what the first to fail did."""
    ended = await asyncio.gather(*parts, return_exceptions=True)
    failed = [one for one in ended if isinstance(one, BaseException)]
    if failed:
        raise failed[0]
    return sum(one for one in ended if isinstance(one, int))
