"""The merged top of every book, conflated: newer overwrites older until somebody takes it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.domain.errors import Malformed
from shared.domain.instrument import Category
from shared.exchange.bybit.parse import amount, optional_amount, optional_text, stamp
from shared.exchange.bybit.stream import Message
from shared.exchange.ports import FeedQuote

Key = tuple[Category, str]
Side = tuple[Decimal, Decimal]


@dataclass(slots=True)
class _State:
    """What is known of one product since the stream was connected."""

    bid: Side | None = None
    ask: Side | None = None
    book_at: datetime | None = None
    ticker: dict[str, Any] = field(default_factory=dict)
    ticker_at: datetime | None = None
    told: FeedQuote | None = None


class QuoteBoard:
    """Merges tickers and books per (category, symbol); ``changed`` is set while there is news.

    A linear quote is as old as the older of its two parts, so that a book that ran ahead of its
    mark price never makes an instant look complete.
    """

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.malformed = 0
        self.venue_at: datetime | None = None
        self._states: dict[Key, _State] = {}
        self._dirty: dict[Key, None] = {}

    def reset(self, category: Category) -> None:
        """Forget one stream's state: what follows a reconnect starts from snapshots."""
        for key in [key for key in self._states if key[0] is category]:
            del self._states[key]
            self._dirty.pop(key, None)

    def apply(self, category: Category, message: Message) -> None:
        """Take in one public message; one that cannot be read is counted and set aside."""
        try:
            self._apply(category, message)
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

    def _apply(self, category: Category, message: Message) -> None:
        kind, _, symbol = str(message.get("topic")).rpartition(".")
        data = message.get("data")
        if not symbol or not isinstance(data, dict):
            raise Malformed("a public message without topic or data")
        at = stamp(message, "ts")
        if self.venue_at is None or at > self.venue_at:
            self.venue_at = at
        key = (category, symbol)
        state = self._states.setdefault(key, _State())
        if kind == "tickers":
            _merge_ticker(state, message, data, at)
        elif kind == "orderbook.1":
            _replace_book(state, message, data, at)
        else:
            return
        self._dirty[key] = None
        self.changed.set()


def _merge_ticker(state: _State, message: Message, data: Mapping[str, Any], at: datetime) -> None:
    if message.get("type") == "snapshot":
        state.ticker = dict(data)
    elif state.ticker_at is None:
        raise Malformed("a ticker delta before its snapshot")
    elif at < state.ticker_at:
        raise Malformed("a ticker that runs backwards")
    else:
        state.ticker.update(data)
    state.ticker_at = at


def _replace_book(state: _State, message: Message, data: Mapping[str, Any], at: datetime) -> None:
    """Take the level-1 book, which is only ever sent whole; anything else makes it unknown."""
    state.bid = state.ask = None
    if message.get("type") != "snapshot":
        raise Malformed("a level-1 book that is no snapshot")
    if state.book_at is not None and at < state.book_at:
        raise Malformed("a book that runs backwards")
    bid, ask = _touch(data, "b"), _touch(data, "a")
    if bid[0] >= ask[0]:
        raise Malformed("a crossed book")
    state.bid, state.ask, state.book_at = bid, ask, at


def _touch(data: Mapping[str, Any], side: str) -> Side:
    levels = data.get(side)
    if not isinstance(levels, list) or not levels or not _is_pair(levels[0]):
        raise Malformed(f"a book without side {side}")
    level = {"price": levels[0][0], "size": levels[0][1]}
    price, size = amount(level, "price"), amount(level, "size")
    if price <= 0 or size <= 0:
        raise Malformed(f"{size} at {price} is no level")
    return price, size


def _is_pair(level: object) -> bool:
    return isinstance(level, list) and len(level) == 2


def _quote(key: Key, state: _State) -> FeedQuote | None:
    category, symbol = key
    if state.bid is None or state.ask is None or state.book_at is None:
        return None
    if category is Category.SPOT:
        return FeedQuote(category, symbol, *state.bid, *state.ask, state.book_at)
    if state.ticker_at is None:
        return None
    ticker = state.ticker
    next_funding = optional_text(ticker, "nextFundingTime")
    return FeedQuote(
        category,
        symbol,
        *state.bid,
        *state.ask,
        min(state.book_at, state.ticker_at),
        mark=optional_amount(ticker, "markPrice"),
        index=optional_amount(ticker, "indexPrice"),
        predicted_rate=optional_amount(ticker, "fundingRate"),
        next_funding_at=stamp(ticker, "nextFundingTime") if next_funding else None,
        funding_interval_hours=optional_amount(ticker, "fundingIntervalHour"),
        ticker_at=state.ticker_at,
    )
