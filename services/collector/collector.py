"""The collector's loops: quotes as they come, settlements as they fall, rules once an hour."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.collector.bars import BarRecorder
from services.collector.funding import FundingRecorder
from services.collector.instruments import InstrumentRecorder
from services.collector.pools import PoolWatch
from services.collector.seams import QuoteSink
from shared.bus.messages import QuoteUpdated
from shared.domain.errors import Misconfigured, Transient
from shared.domain.instrument import Category
from shared.domain.market import Pool
from shared.exchange.ports import FeedQuote, MarketFeed
from shared.runtime.clock import Clock
from shared.store.pool import UNAVAILABLE, WritePool
from shared.store.quotes import QuoteRow, write_quotes

FLUSH_SECONDS: Final = 0.5
RULES_SECONDS: Final = 3600.0
PENDING_MAX: Final = 50_000
HISTORY: Final = timedelta(days=365)
BUSY_RETRY_SECONDS: Final = 1.0

log = structlog.get_logger()


class Collector:
    """Brings one venue's public data into the store and onto the streams."""

    def __init__(
        self,
        *,
        feed: MarketFeed,
        pool: WritePool,
        quotes: QuoteSink,
        instruments: InstrumentRecorder,
        funding: FundingRecorder,
        bars: BarRecorder,
        clock: Clock,
        pools: PoolWatch,
        symbols: Sequence[str],
        history: timedelta = HISTORY,
    ) -> None:
        self._feed = feed
        self._pool = pool
        self._sink = quotes
        self._instruments = instruments
        self._funding = funding
        self._bars = bars
        self._clock = clock
        self._pools = pools
        self._symbols = tuple(symbols)
        self._history = history
        self._latest: dict[tuple[Category, str], FeedQuote] = {}
        self._pending: list[QuoteRow] = []
        self._proven = False
        self.published = 0
        self.dropped = 0

    async def begin(self) -> None:
        """Read the rules once, and leave out the pairs that have vanished since they were stored.

        A symbol that was never seen stays: the venue's own refusal says what is wrong. Raises:
        Misconfigured when nothing is left.
        """
        while True:
            try:
                await self._instruments.refresh()
                gone = await self._instruments.vanished(self._symbols)
                break
            except (Transient, *UNAVAILABLE) as error:
                log.warning("instruments_unavailable", detail=str(error))
                await self._clock.sleep(BUSY_RETRY_SECONDS)
        if gone:
            log.error("symbols_vanished", symbols=gone)
        self._symbols = tuple(symbol for symbol in self._symbols if symbol not in gone)
        if not self._symbols:
            raise Misconfigured(
                f"The venue no longer lists {', '.join(gone)}; name other pairs in CARRY_SYMBOLS."
            )
        await self._pools.look(self._symbols)

    @property
    def pools_are_lost(self) -> bool:
        """Whether the venue has not told of the insurance pools of late."""
        return self._pools.is_lost

    async def follow_pools(self) -> None:
        """Keep what is known of the insurance pools current, for ever."""
        await self._pools.follow(self._symbols)

    async def record_instruments(self) -> None:
        """Compare the rules at start and once an hour, and prove the pairs by their prices."""
        while True:
            try:
                await self._instruments.refresh()
                await self._instruments.prove(self._symbols, await self._funding.venue_now())
            except (Transient, *UNAVAILABLE) as error:
                log.warning("instruments_unavailable", detail=str(error))
                await self._clock.sleep(BUSY_RETRY_SECONDS)
                continue
            self._proven = True
            await self._clock.sleep(RULES_SECONDS)

    async def record_quotes(self) -> None:
        """Publish every change at once, and keep it for the store."""
        async for quotes in self._feed.quotes(self._symbols):
            self._funding.observe(quotes)
            now = self._clock.now()
            await self._sink.publish([self._message(quote, now) for quote in quotes])
            self.published += len(quotes)
            for quote in quotes:
                self._latest[quote.category, quote.symbol] = quote
                self._pending.append(_row(quote, now))
            self._drop_overflow()

    async def store_quotes(self) -> None:
        """Write what was published, twice a second; what does not fit is lost, not delayed."""
        while True:
            await self._clock.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except UNAVAILABLE as error:
                log.warning("quotes_not_stored", detail=str(error), pending=len(self._pending))

    async def flush(self) -> None:
        """Write the quotes received since the last call in one transaction; kept when it fails."""
        rows, self._pending = self._pending, []
        if not rows:
            return
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await write_quotes(connection, rows)
        except BaseException:
            self._pending = rows + self._pending
            raise

    async def record_settlements(self) -> None:
        """Fill in the past once, then store each new settlement the moment it is there."""
        await self._funding.backfill(self._symbols, self._history)
        await self._funding.record()

    async def record_bars(self) -> None:
        """Fill in past prices, then store each hour once it has closed."""
        await self._bars.record(self._symbols)

    def missing(self) -> list[str]:
        """Return why market data is not complete, one sentence each; nothing when it is.

        A venue whose time has not begun quotes nothing, and nothing is missing then.
        """
        reasons = []
        silent = [f"{c.value} {s}" for c, s in self._books() if (c, s) not in self._latest]
        if silent and self._latest:
            reasons.append(f"no quote yet of {', '.join(silent)}")
        if not self._funding.backfilled:
            reasons.append("funding history is being filled in")
        if not self._bars.backfilled:
            reasons.append("price history is being filled in")
        if not self._proven:
            reasons.append("pairs are not proven yet")
        return reasons

    def _books(self) -> list[tuple[Category, str]]:
        return [(category, symbol) for symbol in self._symbols for category in Category]

    def _message(self, quote: FeedQuote, now: datetime) -> QuoteUpdated:
        is_perp = quote.category is Category.LINEAR
        return QuoteUpdated(
            category=quote.category.value,
            symbol=quote.symbol,
            bid=quote.bid,
            bid_size=quote.bid_size,
            ask=quote.ask,
            ask_size=quote.ask_size,
            venue_at=quote.venue_at,
            received_at=now,
            mark=quote.mark,
            index=quote.index,
            predicted_rate=quote.predicted_rate,
            next_funding_at=quote.next_funding_at,
            funding_interval_hours=quote.funding_interval_hours,
            ticker_at=quote.ticker_at,
            pool=self._pools.of(quote.symbol) if is_perp else Pool.UNWATCHED,
        )

    def _drop_overflow(self) -> None:
        excess = len(self._pending) - PENDING_MAX
        if excess > 0:
            del self._pending[:excess]
            self.dropped += excess


def _row(quote: FeedQuote, now: datetime) -> QuoteRow:
    return QuoteRow(
        category=quote.category.value,
        symbol=quote.symbol,
        venue_at=quote.venue_at,
        bid=quote.bid,
        bid_size=quote.bid_size,
        ask=quote.ask,
        ask_size=quote.ask_size,
        mark=quote.mark,
        index=quote.index,
        predicted_rate=quote.predicted_rate,
        next_funding_at=quote.next_funding_at,
        funding_interval_hours=quote.funding_interval_hours,
        received_at=now,
    )
