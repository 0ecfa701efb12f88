"""The merged top of every book, conflated: newer overwrites older until somebody takes it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from shared.domain.errors import Malformed
from shared.domain.instrument import Category
from shared.exchange.bybit.frames import PublicData, PublicFrame
from shared.exchange.bybit.parse import decimal_of, instant
from shared.exchange.ports import FeedQuote

Key = tuple[Category, str]
Side = tuple[Decimal, Decimal]

MILLISECONDS_MAX: Final = 10**14
"""The year 5138: a stamp beyond is no instant."""


@dataclass(slots=True)
class _State:
    """What is known of one product since the stream was connected."""

    bid: Side | None = None
    ask: Side | None = None
    book_ms: int = 0
    ticker: PublicData | None = None
    ticker_ms: int = 0
    told: FeedQuote | None = None


class QuoteBoard:
    """Merges tickers and books per (category, symbol); ``changed`` is set while there is news.

    A linear quote is as old as the older of its two parts, so that a book that ran ahead of its
    mark price never makes an instant look complete.
    """

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.malformed = 0
        self.newest_ms = 0
        self._states: dict[Key, _State] = {}
        self._dirty: dict[Key, None] = {}

    @property
    def venue_at(self) -> datetime | None:
        """The newest stamp of any message; None before the first."""
        return instant(self.newest_ms) if self.newest_ms else None

    def reset(self, category: Category) -> None:
        """Forget one stream's state: what follows a reconnect starts from snapshots."""
        for key in [key for key in self._states if key[0] is category]:
            del self._states[key]
            self._dirty.pop(key, None)

    def apply(self, category: Category, frame: PublicFrame) -> None:
        """Take in one public message; one that cannot be read is counted and set aside."""
        try:
            self._apply(category, frame)
        except Malformed:
            self.malformed += 1

    def take(self) -> list[FeedQuote]:
        """Return the newest quote of each book that changed since the last call."""
        self.changed.clear()
        dirty, self._dirty = self._dirty, {}
        quotes = []
        for key in dirty:
            state = self._states[key]
            try:
                quote = _quote(key, state)
            except Malformed:
                self.malformed += 1
                continue
            if quote is not None and quote != state.told:
                state.told = quote
                quotes.append(quote)
        return quotes

    def _apply(self, category: Category, frame: PublicFrame) -> None:
        kind, _, symbol = frame.topic.rpartition(".")
        if kind not in READERS:
            if not kind or frame.data is None:
                raise Malformed("a public message without topic or data")
            return
        key = (category, symbol)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State()
        READERS[kind](state, frame)
        if frame.ts > self.newest_ms:
            self.newest_ms = frame.ts
        self._dirty[key] = None
        self.changed.set()


def _merge_ticker(state: _State, frame: PublicFrame) -> None:
    data = _data(frame, state.ticker_ms)
    if frame.type == "snapshot":
        state.ticker = data
    elif state.ticker is None:
        raise Malformed("a ticker delta before its snapshot")
    else:
        state.ticker.merge(data)
    state.ticker_ms = frame.ts


def _replace_book(state: _State, frame: PublicFrame) -> None:
    """Take the level-1 book, which is only ever sent whole; anything else makes it unknown."""
    state.bid = state.ask = None
    data = _data(frame, state.book_ms)
    if frame.type != "snapshot":
        raise Malformed("a level-1 book that is no snapshot")
    bid, ask = _touch(data.b), _touch(data.a)
    if bid[0] >= ask[0]:
        raise Malformed("a crossed book")
    state.bid, state.ask, state.book_ms = bid, ask, frame.ts


READERS: Final = {"tickers": _merge_ticker, "orderbook.1": _replace_book}


def _data(frame: PublicFrame, last_ms: int) -> PublicData:
    if frame.data is None:
        raise Malformed("a public message without data")
    if not last_ms <= frame.ts < MILLISECONDS_MAX or frame.ts <= 0:
        raise Malformed("a topic that runs backwards or has no stamp")
    return frame.data


def _touch(levels: list[list[str]] | None) -> Side:
    if not levels or len(levels[0]) != 2:
        raise Malformed("a book without a side")
    price, size = decimal_of(levels[0][0], "price"), decimal_of(levels[0][1], "size")
    if price is None or size is None or price <= 0 or size <= 0:
        raise Malformed(f"{size} at {price} is no level")
    return price, size


def _quote(key: Key, state: _State) -> FeedQuote | None:
    category, symbol = key
    if state.bid is None or state.ask is None:
        return None
    if category is Category.SPOT:
        return FeedQuote(category, symbol, *state.bid, *state.ask, instant(state.book_ms))
    ticker = state.ticker
    if ticker is None:
        return None
    next_funding = ticker.next_funding_time
    return FeedQuote(
        category,
        symbol,
        *state.bid,
        *state.ask,
        instant(min(state.book_ms, state.ticker_ms)),
        mark=decimal_of(ticker.mark_price, "markPrice"),
        index=decimal_of(ticker.index_price, "indexPrice"),
        predicted_rate=decimal_of(ticker.funding_rate, "fundingRate"),
        next_funding_at=instant(next_funding) if next_funding else None,
        funding_interval_hours=decimal_of(ticker.funding_interval_hour, "fundingIntervalHour"),
        ticker_at=instant(state.ticker_ms),
    )
