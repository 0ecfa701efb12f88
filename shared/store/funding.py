"""Settled funding rates: inserted once, never changed; and each symbol's interval over time."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from asyncpg import Connection

from shared.domain.funding import FundingSettlement

INSERT_SETTLEMENTS: Final = """
    INSERT INTO market.funding_settlement (symbol, settled_at, rate, interval_hours, received_at)
    SELECT *, $5::timestamptz
    FROM unnest($1::text[], $2::timestamptz[], $3::numeric[], $4::numeric[])
    ON CONFLICT (symbol, settled_at) DO NOTHING
    RETURNING symbol, settled_at"""
INSERT_INTERVALS: Final = """
    INSERT INTO market.interval_history (symbol, from_at, interval_hours, source)
    SELECT *, 'settlements' FROM unnest($1::text[], $2::timestamptz[], $3::numeric[])
    ON CONFLICT (symbol, from_at) DO NOTHING"""
READ_LAST_INTERVALS: Final = """
    SELECT DISTINCT ON (symbol) symbol, interval_hours FROM market.interval_history
    WHERE symbol = ANY($1) ORDER BY symbol, from_at DESC"""
READ_SETTLEMENTS: Final = """
    SELECT symbol, settled_at, rate, interval_hours FROM market.funding_settlement
    WHERE symbol = ANY($1) AND settled_at >= $2
    ORDER BY symbol, settled_at"""
READ_RECENT: Final = """
    SELECT r.symbol, r.settled_at, r.rate, r.interval_hours
    FROM unnest($1::text[]) AS wanted(symbol)
    CROSS JOIN LATERAL (
        SELECT symbol, settled_at, rate, interval_hours FROM market.funding_settlement f
        WHERE f.symbol = wanted.symbol ORDER BY settled_at DESC LIMIT $2) AS r
    ORDER BY r.symbol, r.settled_at"""


async def insert_settlements(
    connection: Connection, settled: Sequence[FundingSettlement], received_at: datetime
) -> list[FundingSettlement]:
    """Insert what is not stored yet and return it, oldest first; the caller owns the transaction.

    A change of a symbol's interval is written to its interval history alongside.
    """
    if not settled:
        return []
    inserted = {
        (row["symbol"], row["settled_at"])
        for row in await connection.fetch(
            INSERT_SETTLEMENTS,
            [s.symbol for s in settled],
            [s.settled_at for s in settled],
            [s.rate for s in settled],
            [_hours(s.interval) for s in settled],
            received_at,
        )
    }
    new = sorted(
        (s for s in settled if (s.symbol, s.settled_at) in inserted),
        key=lambda s: (s.settled_at, s.symbol),
    )
    await _insert_interval_changes(connection, new)
    return new


async def read_settlements(
    connection: Connection, symbols: Sequence[str], since: datetime
) -> dict[str, list[FundingSettlement]]:
    """Return each symbol's settlements from ``since`` on, oldest first; every symbol is a key."""
    return _by_symbol(symbols, await connection.fetch(READ_SETTLEMENTS, list(symbols), since))


async def read_recent_settlements(
    connection: Connection, symbols: Sequence[str], count: int
) -> dict[str, list[FundingSettlement]]:
    """Return each symbol's last ``count`` settlements, oldest first; every symbol is a key."""
    return _by_symbol(symbols, await connection.fetch(READ_RECENT, list(symbols), count))


async def _insert_interval_changes(
    connection: Connection, settled: Sequence[FundingSettlement]
) -> None:
    """Note from which settlement on a symbol's interval differs from the one before."""
    symbols = sorted({s.symbol for s in settled})
    rows = await connection.fetch(READ_LAST_INTERVALS, symbols)
    last: dict[str, Decimal] = {row["symbol"]: row["interval_hours"] for row in rows}
    changes = []
    for settlement in settled:
        hours = _hours(settlement.interval)
        if last.get(settlement.symbol) != hours:
            last[settlement.symbol] = hours
            changes.append((settlement.symbol, settlement.settled_at, hours))
    if changes:
        columns = [list(column) for column in zip(*changes, strict=True)]
        await connection.execute(INSERT_INTERVALS, *columns)


def _by_symbol(
    symbols: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, list[FundingSettlement]]:
    found: dict[str, list[FundingSettlement]] = {symbol: [] for symbol in symbols}
    for row in rows:
        interval = timedelta(seconds=int(row["interval_hours"] * 3600))
        found[row["symbol"]].append(
            FundingSettlement(row["symbol"], row["rate"], row["settled_at"], interval)
        )
    return found


def _hours(interval: timedelta) -> Decimal:
    return Decimal(interval // timedelta(seconds=1)) / 3600
