"""A MarketFeed in memory: what it knows is given, when it shows it is decided by the test."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.errors import ExchangeUnavailable
from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Category, Instrument
from shared.exchange.ports import FeedQuote


class FakeFeed:
    """Implements ``shared.exchange.ports.MarketFeed``."""

    def __init__(self, venue_at: datetime | None = None) -> None:
        self.venue_at = venue_at
        self.instruments: dict[Category, list[Instrument]] = {c: [] for c in Category}
        self.settled: dict[str, list[FundingSettlement]] = {}
        self.closes: dict[tuple[Category, str], list[Decimal]] = {}
        self.shown_until: datetime | None = None
        self.calls: list[tuple[str, datetime, datetime]] = []
        self.is_away = False
        self.short_pools: dict[str, bool] = {}
        self.subscribed: list[str] = []
        self.answers_left: int | None = None
        self.batches: asyncio.Queue[list[FeedQuote] | None] = asyncio.Queue()

    async def fetch_instruments(self, category: Category) -> list[Instrument]:
        if self.is_away:
            raise ExchangeUnavailable("scripted")
        return list(self.instruments[category])

    async def fetch_funding_rate_history(
        self, symbol: str, start: datetime, end: datetime
    ) -> list[FundingSettlement]:
        if self.answers_left == 0:
            raise ExchangeUnavailable("scripted")
        if self.answers_left is not None:
            self.answers_left -= 1
        self.calls.append((symbol, start, end))
        limit = end if self.shown_until is None else min(end, self.shown_until)
        return [s for s in self.settled.get(symbol, []) if start <= s.settled_at <= limit]

    async def fetch_ohlcv(
        self, category: Category, symbol: str, start: datetime, end: datetime
    ) -> list[tuple[datetime, Decimal, Decimal, Decimal, Decimal, Decimal]]:
        return [
            (start + timedelta(hours=hour), close, close, close, close, Decimal(1))
            for hour, close in enumerate(self.closes.get((category, symbol), ()))
        ]

    async def fetch_mark_ohlcv(
        self, symbol: str, start: datetime, end: datetime
    ) -> list[tuple[datetime, Decimal, Decimal, Decimal, Decimal, Decimal]]:
        return []

    async def fetch_short_pools(self, symbols: Sequence[str]) -> Mapping[str, bool]:
        if self.is_away:
            raise ExchangeUnavailable("scripted")
        return {s: short for s, short in self.short_pools.items() if s in symbols}

    async def venue_time(self) -> datetime | None:
        return self.venue_at

    async def quotes(self, symbols: Sequence[str]) -> AsyncIterator[list[FeedQuote]]:
        self.subscribed = list(symbols)
        while (batch := await self.batches.get()) is not None:
            self.venue_at = max(quote.venue_at for quote in batch)
            yield batch

    async def close(self) -> None:
        pass


def linear_quote(
    symbol: str,
    *,
    at: datetime,
    next_funding_at: datetime | None,
    price: str = "100",
    interval_hours: str | None = "8",
    ticker_at: datetime | None = None,
) -> FeedQuote:
    return FeedQuote(
        Category.LINEAR,
        symbol,
        Decimal(price),
        Decimal(5),
        Decimal(price) + Decimal("0.1"),
        Decimal(7),
        at,
        mark=Decimal(price),
        index=Decimal(price),
        predicted_rate=Decimal("0.0001"),
        next_funding_at=next_funding_at,
        funding_interval_hours=None if interval_hours is None else Decimal(interval_hours),
        ticker_at=at if ticker_at is None else ticker_at,
    )


def spot_quote(symbol: str, *, at: datetime, price: str = "100") -> FeedQuote:
    bid = Decimal(price)
    return FeedQuote(Category.SPOT, symbol, bid, Decimal(5), bid + Decimal("0.1"), Decimal(7), at)


def settled(symbol: str, first: datetime, count: int, hours: int = 8) -> list[FundingSettlement]:
    step = timedelta(hours=hours)
    return [
        FundingSettlement(symbol, Decimal(n + 1) / 10_000, first + step * n, step)
        for n in range(count)
    ]
