"""Products, their rules and which spot belongs to which perpetual; written by the collector."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import structlog
from asyncpg import Connection

from shared.domain.instrument import Category, Instrument, Pair
from shared.store.pool import ReadPool

INSTRUMENT_COLUMNS: Final = (
    "category", "symbol", "base", "quote", "status", "tick", "step", "min_quantity",
    "max_quantity", "min_notional", "funding_interval_minutes", "funding_cap", "delivery_at",
)  # fmt: skip
UPSERT_INSTRUMENTS: Final = """
    INSERT INTO market.instrument (category, symbol, base, quote, status, tick, step, min_quantity,
                                   max_quantity, min_notional, funding_interval_minutes,
                                   funding_cap, delivery_at, fetched_at)
    SELECT *, $14::timestamptz
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::numeric[],
                $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[], $11::int[],
                $12::numeric[], $13::timestamptz[])
    ON CONFLICT (category, symbol) DO UPDATE SET
        base = excluded.base, quote = excluded.quote, status = excluded.status,
        tick = excluded.tick, step = excluded.step, min_quantity = excluded.min_quantity,
        max_quantity = excluded.max_quantity, min_notional = excluded.min_notional,
        funding_interval_minutes = excluded.funding_interval_minutes,
        funding_cap = excluded.funding_cap, delivery_at = excluded.delivery_at,
        fetched_at = excluded.fetched_at"""
TOUCH_INSTRUMENTS: Final = """
    UPDATE market.instrument SET fetched_at = $3 WHERE category = $1 AND symbol = ANY($2)"""
READ_INSTRUMENTS: Final = """
    SELECT category, symbol, base, quote, status, tick, step, min_quantity, max_quantity,
           min_notional, funding_interval_minutes, funding_cap, delivery_at
    FROM market.instrument
    WHERE $1::text IS NULL OR category = $1
    ORDER BY category, symbol"""
UPSERT_IDENTITY: Final = """
    INSERT INTO market.symbol_identity (pair, base, spot_symbol, perp_symbol, multiplier,
                                        price_ratio, proven_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (pair) DO UPDATE SET
        base = excluded.base, spot_symbol = excluded.spot_symbol,
        perp_symbol = excluded.perp_symbol, multiplier = excluded.multiplier,
        price_ratio = excluded.price_ratio, proven_at = excluded.proven_at"""
READ_IDENTITIES: Final = """
    SELECT pair, spot_symbol, perp_symbol, multiplier FROM market.symbol_identity
    WHERE $1::text[] IS NULL OR pair = ANY($1)
    ORDER BY pair"""


LOOK_SECONDS: Final = 0.2
PATIENCE_LOOKS: Final = 150

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """Proof that two symbols are one asset: perpetual over spot price, times the multiplier, ~1."""

    pair: str
    base: str
    spot_symbol: str
    perp_symbol: str
    multiplier: Decimal
    price_ratio: Decimal
    proven_at: datetime


async def upsert_instruments(
    connection: Connection, instruments: Sequence[Instrument], fetched_at: datetime
) -> None:
    """Store rules, replacing what was known; the caller owns the transaction."""
    if not instruments:
        return
    rows = [tuple(getattr(i, name) for name in INSTRUMENT_COLUMNS) for i in instruments]
    columns = [list(column) for column in zip(*rows, strict=True)]
    await connection.execute(UPSERT_INSTRUMENTS, *columns, fetched_at)


async def touch_instruments(
    connection: Connection, category: Category, symbols: Sequence[str], fetched_at: datetime
) -> None:
    """Say that unchanged rules were seen again."""
    await connection.execute(TOUCH_INSTRUMENTS, category.value, list(symbols), fetched_at)


async def read_instruments(
    connection: Connection, category: Category | None = None
) -> list[Instrument]:
    """Return every stored product, of one category or both."""
    value = None if category is None else category.value
    return [_instrument(row) for row in await connection.fetch(READ_INSTRUMENTS, value)]


async def upsert_identity(connection: Connection, identity: Identity) -> None:
    """Remember a proven pair."""
    await connection.execute(
        UPSERT_IDENTITY,
        identity.pair,
        identity.base,
        identity.spot_symbol,
        identity.perp_symbol,
        identity.multiplier,
        identity.price_ratio,
        identity.proven_at,
    )


async def read_pairs(connection: Connection, pairs: Sequence[str] | None = None) -> list[Pair]:
    """Return the proven pairs with both legs' rules, by name; all of them or those named."""
    known = {(i.category, i.symbol): i for i in await read_instruments(connection)}
    names = None if pairs is None else list(pairs)
    found = []
    for row in await connection.fetch(READ_IDENTITIES, names):
        spot = known.get((Category.SPOT, row["spot_symbol"]))
        perp = known.get((Category.LINEAR, row["perp_symbol"]))
        if spot is not None and perp is not None:
            found.append(Pair(spot, perp, row["multiplier"]))
    return found


async def wait_for_pairs(
    pool: ReadPool, names: Sequence[str], sleep: Callable[[float], Awaitable[None]]
) -> list[Pair]:
    """Return the pairs ``names`` once all are proven, or after a while those that are.

    What is not proven by then is named in the log and left alone until the next start.
    """
    looks = 0
    while True:
        async with pool.acquire() as connection:
            pairs = await read_pairs(connection, names)
        if len(pairs) == len(names):
            return pairs
        if pairs and looks >= PATIENCE_LOOKS:
            missing = sorted(set(names) - {pair.name for pair in pairs})
            log.error("pairs_not_proven", symbols=missing)
            return pairs
        looks += 1
        await sleep(LOOK_SECONDS)


def _instrument(row: Any) -> Instrument:
    fields = {name: row[name] for name in INSTRUMENT_COLUMNS}
    return Instrument(**{**fields, "category": Category(row["category"])})
