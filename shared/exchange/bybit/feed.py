"""``BybitFeed``: instruments, funding history, bars and conflated quotes from the public side."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from shared.domain.errors import CarryError, Malformed
from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Category, Instrument
from shared.exchange.bybit.board import QuoteBoard
from shared.exchange.bybit.budget import Budget
from shared.exchange.bybit.budgeted import BudgetedRest
from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.frames import as_frame
from shared.exchange.bybit.liveness import Liveness
from shared.exchange.bybit.parse import (
    Row,
    milliseconds,
    parse_bars,
    parse_instrument,
    parse_rates,
    parse_time,
    pool_is_short,
    rows,
    stamp,
)
from shared.exchange.bybit.picows_socket import connect_picows
from shared.exchange.bybit.rest import Rest, RestClient
from shared.exchange.bybit.stream import Connect, SupervisedStream
from shared.exchange.ports import Bar, FeedQuote
from shared.runtime.clock import Clock

HOUR: Final = timedelta(hours=1)
FUNDING_PAGE: Final = 200
KLINE_PAGE: Final = 1_000
MILLISECOND: Final = timedelta(milliseconds=1)


class BybitFeed:
    """Implements ``MarketFeed``. ``rest`` and ``connect`` are the seams for another library."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        clock: Clock,
        draw: Callable[[], float],
        rest: Rest | None = None,
        connect: Connect = connect_picows,
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._draw = draw
        self._connect = connect
        self._rest = BudgetedRest(
            rest or RestClient(endpoints.rest, None, clock=clock), Budget(clock), clock
        )
        self._board = QuoteBoard()
        self._streams: list[SupervisedStream] = []
        self._listening: dict[Category, Liveness] = {}
        self._heard_at: float | None = None
        self._probe = "BTCUSDT"

    @property
    def malformed(self) -> int:
        """How many public messages could not be read."""
        return self._board.malformed

    async def fetch_instruments(self, category: Category) -> list[Instrument]:
        """Return every product of the category that trades USDT; perpetuals only of linear."""
        query: dict[str, str | int] = {"category": category.value, "limit": 1000}
        found: list[Row] = []
        while True:
            result = await self._rest.read("get_instruments_info", **query)
            page = rows(result)
            found += page
            cursor = str(result.get("nextPageCursor") or "")
            if category is Category.SPOT or not page or cursor in ("", query.get("cursor")):
                break
            query["cursor"] = cursor
        return [parse_instrument(row, category) for row in found if _is_ours(row, category)]

    async def fetch_funding_rate_history(
        self, symbol: str, start: datetime, end: datetime
    ) -> list[FundingSettlement]:
        """Return settled rates in [start, end], oldest first, all pages.

        The venue gives no interval: it is the distance to the row before. One row before ``start``
        is read for that; the very first settlement takes the instrument's present interval.
        """
        known: dict[datetime, Decimal] = {}
        until = end
        while True:
            page = await self._funding_page(symbol, start, until)
            known.update(page)
            if not page or min(page) < start:
                break
            until = min(page) - MILLISECOND
        stamps = sorted(known)
        first = [] if not stamps or stamps[0] < start else [stamps[0]]
        spans = [(at, await self._interval(symbol)) for at in first]
        spans += [(at, at - before) for before, at in pairwise(stamps)]
        return [
            FundingSettlement(symbol, known[at], at, span)
            for at, span in spans
            if start <= at <= end
        ]

    async def fetch_short_pools(self, symbols: Sequence[str]) -> Mapping[str, bool]:
        """Return whether the insurance pool behind each perpetual is short; all in one call."""
        told = rows(await self._rest.read("get_adl_alert"))
        ours = {row["symbol"]: row for row in told if row.get("symbol") in symbols}
        return {symbol: pool_is_short(row) for symbol, row in ours.items()}

    async def fetch_ohlcv(
        self, category: Category, symbol: str, start: datetime, end: datetime
    ) -> list[Bar]:
        """Return closed hourly bars (open time, open, high, low, close, volume), oldest first.

        Bars that open in [start, end]; volume in base units. Whether the newest one is closed is
        judged by the venue's own clock.
        """
        return await self._fetch_bars("get_kline", category, symbol, start, end)

    async def fetch_mark_ohlcv(self, symbol: str, start: datetime, end: datetime) -> list[Bar]:
        """Return closed hourly bars of a perpetual's mark price, oldest first; they have no volume.

        Bars that open in [start, end].
        """
        return await self._fetch_bars("get_mark_price_kline", Category.LINEAR, symbol, start, end)

    async def _fetch_bars(
        self, method: str, category: Category, symbol: str, start: datetime, end: datetime
    ) -> list[Bar]:
        now = parse_time(await self._rest.read("get_server_time"))
        bars: dict[datetime, Bar] = {}
        until = end
        while until >= start:
            result = await self._rest.read(
                method,
                category=category.value,
                symbol=symbol,
                interval="60",
                start=milliseconds(max(start, until - HOUR * (KLINE_PAGE - 1))),
                end=milliseconds(until),
                limit=KLINE_PAGE,
            )
            page = parse_bars(result)
            bars |= {bar[0]: bar for bar in page if start <= bar[0] <= end and bar[0] + HOUR <= now}
            until = min([until - HOUR * (KLINE_PAGE - 1), *(bar[0] for bar in page)]) - MILLISECOND
        return [bars[at] for at in sorted(bars)]

    @property
    def is_listening(self) -> bool:
        """Whether both public streams have confirmed their topics, once at least."""
        return set(self._listening) == set(Category)

    def unheard_topics(self) -> list[str]:
        """Return the topics, as category/topic, without a message since the last connection."""
        return [
            f"{category.value}/{topic}"
            for category, liveness in self._listening.items()
            for topic in liveness.unheard()
        ]

    def stale_topics(self, behind: timedelta) -> list[str]:
        """Return the topics, as category/topic, that have fallen silent or back by ``behind``.

        ``behind`` is venue time: a topic may be so old beside the newest stamp of any.
        """
        now, newest_ms = self._clock.monotonic(), self._board.newest_ms
        return [
            f"{category.value}/{topic}"
            for category, liveness in self._listening.items()
            for topic in liveness.stale(now, newest_ms, behind // MILLISECOND)
        ]

    def silence_seconds(self) -> float | None:
        """Return the wall time since the last public message; None before the first."""
        return None if self._heard_at is None else self._clock.monotonic() - self._heard_at

    async def venue_time(self) -> datetime | None:
        """Return the newest stamp of the public feed; None while nothing shows one.

        Before the streams have spoken it is the stamp inside a book that is asked for: envelopes
        and /market/time carry wall time.
        """
        if self._board.venue_at is None:
            with contextlib.suppress(CarryError):
                book = await self._rest.read(
                    "get_orderbook", category="linear", symbol=self._probe, limit=1
                )
                return stamp(book, "ts")
        return self._board.venue_at

    async def quotes(self, symbols: Sequence[str]) -> AsyncIterator[list[FeedQuote]]:
        """Subscribe to both legs of ``symbols`` and yield what changed, conflated per book.

        Raises: Misconfigured when the venue does not know a symbol.
        """
        self._probe = symbols[0]
        books = [f"orderbook.1.{symbol}" for symbol in symbols]
        tickers = [f"tickers.{symbol}" for symbol in symbols]
        topics = {Category.SPOT: books, Category.LINEAR: [*tickers, *books]}
        pumps = [asyncio.create_task(self._pump(c, t)) for c, t in topics.items()]
        for pump in pumps:
            pump.add_done_callback(lambda _: self._board.changed.set())
        try:
            while True:
                await self._board.changed.wait()
                for pump in pumps:
                    if pump.done():
                        pump.result()
                        return
                quotes = self._board.take()
                if quotes:
                    yield quotes
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def close(self) -> None:
        """Let go of sockets and threads."""
        await asyncio.gather(*(stream.close() for stream in self._streams))
        await self._rest.close()

    async def _pump(self, category: Category, topics: Sequence[str]) -> None:
        url = self._endpoints.public(category.value)
        stream = SupervisedStream(url, topics, self._connect, clock=self._clock, draw=self._draw)
        self._streams.append(stream)
        async with contextlib.aclosing(stream.batches()) as batches:
            async for batch in batches:
                if batch.is_reset:
                    self._board.reset(category)
                    self._listening[category] = Liveness(topics)
                frames = [as_frame(message) for message in batch.messages]
                if frames:
                    self._heard_at = self._clock.monotonic()
                    self._listening[category].hear(frames, self._heard_at)
                for frame in frames:
                    self._board.apply(category, frame)

    async def _funding_page(
        self, symbol: str, start: datetime, until: datetime
    ) -> dict[datetime, Decimal]:
        """Return up to a page of rates up to ``until``, reaching one row before ``start``.

        Rates are an hour apart at the closest, so a short span needs only a short page.
        """
        hours = max(0, (until - start) // HOUR)
        result = await self._rest.read(
            "get_funding_rate_history",
            category="linear",
            symbol=symbol,
            endTime=milliseconds(until),
            limit=min(FUNDING_PAGE, hours + 2),
        )
        return parse_rates(result)

    async def _interval(self, symbol: str) -> timedelta:
        """Return the instrument's present funding interval, asked anew each time: it changes."""
        result = await self._rest.read("get_instruments_info", category="linear", symbol=symbol)
        for row in rows(result):
            minutes = parse_instrument(row, Category.LINEAR).funding_interval_minutes
            if minutes is not None:
                return timedelta(minutes=minutes)
        raise Malformed(f"{symbol} has no funding interval")


def _is_ours(row: Row, category: Category) -> bool:
    if row.get("quoteCoin") != "USDT":
        return False
    return category is Category.SPOT or (
        row.get("contractType") == "LinearPerpetual" and row.get("settleCoin") == "USDT"
    )
