"""Products and pairs: rules compared with what is stored, identity proven by price."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Final

import structlog

from services.collector.seams import Doorbell
from shared.bus.messages import InstrumentChanged
from shared.bus.outbox import enqueue
from shared.bus.streams import MARKET_INSTRUMENTS
from shared.domain.instrument import Category, Instrument
from shared.domain.money import ONE, ratio
from shared.exchange.ports import MarketFeed
from shared.runtime.clock import Clock
from shared.store.instruments import (
    Identity,
    read_instruments,
    touch_instruments,
    upsert_identity,
    upsert_instruments,
)
from shared.store.pool import WritePool

RATIO_MIN: Final = Decimal("0.9")
RATIO_MAX: Final = Decimal("1.1")
LOOK_BACK: Final = timedelta(days=7)
GONE: Final = "Gone"
"""Status of a product that the venue no longer lists as trading."""

log = structlog.get_logger()


class InstrumentRecorder:
    """Keeps ``market.instrument`` and ``market.symbol_identity`` equal to the venue."""

    def __init__(
        self, *, feed: MarketFeed, pool: WritePool, doorbell: Doorbell, clock: Clock
    ) -> None:
        self._feed = feed
        self._pool = pool
        self._doorbell = doorbell
        self._clock = clock

    async def refresh(self) -> int:
        """Fetch every product, store what changed with one event each, and return the count."""
        changed = 0
        for category in Category:
            fetched = await self._feed.fetch_instruments(category)
            changed += await self._store(category, fetched)
        if changed:
            self._doorbell.notify()
        return changed

    async def vanished(self, symbols: Sequence[str]) -> list[str]:
        """Return those of ``symbols`` that the venue used to list, and of which a leg is gone."""
        async with self._pool.acquire() as connection:
            gone = {i.symbol for i in await read_instruments(connection) if i.status == GONE}
        return [symbol for symbol in symbols if symbol in gone]

    async def prove(self, symbols: Sequence[str], venue_at: datetime) -> list[str]:
        """Store the pairs among ``symbols`` whose two prices agree, and return them.

        The prices are hourly closes of the last week, and half of the hours must agree: enough to
        tell two assets apart also while one of them falls apart.
        """
        async with self._pool.acquire() as connection:
            known = {(i.category, i.symbol): i for i in await read_instruments(connection)}
        legs = [found for symbol in symbols if (found := _legs(symbol, known)) is not None]
        ratios = await asyncio.gather(*(self._price_ratio(*pair, venue_at) for pair in legs))
        proven = []
        for (spot, perp), price_ratio in zip(legs, ratios, strict=True):
            if price_ratio is None:
                continue
            if not RATIO_MIN <= price_ratio <= RATIO_MAX:
                log.error("identity_doubtful", symbol=perp.symbol, price_ratio=str(price_ratio))
                continue
            proven.append(
                Identity(
                    pair=perp.symbol,
                    base=perp.base,
                    spot_symbol=spot.symbol,
                    perp_symbol=perp.symbol,
                    multiplier=ONE,
                    price_ratio=price_ratio,
                    proven_at=self._clock.now(),
                )
            )
        async with self._pool.acquire() as connection, connection.transaction():
            for identity in proven:
                await upsert_identity(connection, identity)
        return [identity.pair for identity in proven]

    async def _price_ratio(
        self, spot: Instrument, perp: Instrument, venue_at: datetime
    ) -> Decimal | None:
        """Return the median of perpetual over spot at common closes; None when there is none."""
        start = venue_at - LOOK_BACK
        spot_bars, perp_bars = await asyncio.gather(
            *(
                self._feed.fetch_ohlcv(leg.category, leg.symbol, start, venue_at)
                for leg in (spot, perp)
            )
        )
        closes = {bar[0]: bar[4] for bar in spot_bars}
        common = [ratio(bar[4], closes[bar[0]]) for bar in perp_bars if bar[0] in closes]
        return median(common) if common else None

    async def _store(self, category: Category, fetched: Sequence[Instrument]) -> int:
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            stored = {i.symbol: i for i in await read_instruments(connection, category)}
            changes = differences(stored, fetched)
            await upsert_instruments(connection, [i for i, _ in changes], now)
            await touch_instruments(connection, category, [i.symbol for i in fetched], now)
            if changes:
                messages = [
                    InstrumentChanged(category.value, i.symbol, names, now) for i, names in changes
                ]
                await enqueue(connection, MARKET_INSTRUMENTS, messages)
        for instrument, names in changes:
            if names != ["listed"]:
                log.warning("instrument_changed", symbol=instrument.symbol, changed=names)
        return len(changes)


def differences(
    stored: Mapping[str, Instrument], fetched: Sequence[Instrument]
) -> list[tuple[Instrument, list[str]]]:
    """Return what differs from ``stored``, with the names of the fields that do, by symbol.

    A product seen for the first time is ``listed``; one the venue no longer names gets status Gone.
    """
    found = {i.symbol: i for i in fetched}
    changes = []
    for symbol in sorted({*stored, *found}):
        before, after = stored.get(symbol), found.get(symbol)
        if before is None and after is not None:
            changes.append((after, ["listed"]))
        elif before is not None:
            after = after or replace(before, status=GONE)
            names = [f.name for f in fields(after) if getattr(before, f.name) != _of(after, f.name)]
            if names:
                changes.append((after, names))
    return changes


def _of(instrument: Instrument, name: str) -> object:
    return getattr(instrument, name)


def _legs(
    symbol: str, known: Mapping[tuple[Category, str], Instrument]
) -> tuple[Instrument, Instrument] | None:
    """Return spot and perpetual of the pair named ``symbol``; None when one is not listed."""
    perp = known.get((Category.LINEAR, symbol))
    if perp is None or perp.status == GONE:
        return None
    for (category, _), spot in sorted(known.items()):
        if category is Category.SPOT and spot.base == perp.base and spot.status != GONE:
            return spot, perp
    return None
