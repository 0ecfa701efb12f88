"""Recorded history in the store: settled rates and hourly bars, copied in, never changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from asyncpg import Connection

from shared.store.copy import Row, copy_new_rows
from shared.store.tables import BAR, FUNDING_SETTLEMENT

READ_CONFLICTS: Final[Mapping[str, str]] = {
    "market.funding_settlement": """
        SELECT s.symbol, s.settled_at FROM market.funding_settlement s
        JOIN unnest($1::text[], $2::timestamptz[], $3::numeric[]) AS n (symbol, at, rate)
            ON n.symbol = s.symbol AND n.at = s.settled_at
        WHERE n.rate <> s.rate ORDER BY 2, 1 LIMIT 1""",
    "market.bar": """
        SELECT s.symbol, s.opened_at FROM market.bar s
        JOIN unnest($1::text[], $2::timestamptz[], $3::numeric[], $4::text[])
            AS n (symbol, at, close, series)
            ON n.series = s.series AND n.symbol = s.symbol AND n.at = s.opened_at
        WHERE n.close <> s.close ORDER BY 2, 1 LIMIT 1""",
}
READ_SETTLEMENTS: Final = """
    SELECT symbol, settled_at, rate, interval_hours FROM market.funding_settlement
    WHERE $1::text[] IS NULL OR symbol = ANY($1) ORDER BY symbol, settled_at"""
READ_BARS: Final = """
    SELECT symbol, opened_at,
           max(close) FILTER (WHERE series = 'spot') AS spot,
           max(close) FILTER (WHERE series = 'linear') AS perp,
           max(close) FILTER (WHERE series = 'mark') AS mark
    FROM market.bar WHERE $1::text[] IS NULL OR symbol = ANY($1)
    GROUP BY symbol, opened_at ORDER BY symbol, opened_at"""
INTERVALS: Final = """
    INSERT INTO market.interval_history (symbol, from_at, interval_hours, source)
    SELECT symbol, settled_at, interval_hours, 'settlements' FROM (
        SELECT symbol, settled_at, interval_hours,
               lag(interval_hours) OVER (PARTITION BY symbol ORDER BY settled_at) AS before
        FROM market.funding_settlement WHERE symbol = ANY($1)) AS rows
    WHERE before IS NULL OR before <> interval_hours
    ON CONFLICT (symbol, from_at) DO NOTHING"""

SettlementRow = tuple[str, datetime, Decimal, Decimal]
"""Symbol, instant, rate, interval in hours."""
BarRow = tuple[str, str, datetime, Decimal | None, Decimal | None, Decimal | None, Decimal,
               Decimal | None]  # fmt: skip
"""Series (spot, linear, mark), symbol, opening instant, open, high, low, close, volume."""


async def copy_settlements(
    connection: Connection, rows: Sequence[SettlementRow], received_at: datetime
) -> int:
    """Copy in what is not stored yet, with the interval changes it tells; return its count.

    Raises: ValueError, with symbol and instant, when a stored rate is another one.
    """
    if not rows:
        return 0
    symbols, stamps, rates, _ = (list(column) for column in zip(*rows, strict=True))
    await _refuse_conflict(connection, FUNDING_SETTLEMENT.fullname, symbols, stamps, rates)
    stamped: list[Row] = [(*row, received_at) for row in rows]
    count = await copy_new_rows(connection, FUNDING_SETTLEMENT, stamped)
    await connection.execute(INTERVALS, sorted(set(symbols)))
    return count


async def copy_bars(connection: Connection, rows: Sequence[BarRow], received_at: datetime) -> int:
    """Copy in what is not stored yet; return its count; raises as ``copy_settlements``."""
    if not rows:
        return 0
    series, symbols, stamps = ([row[n] for row in rows] for n in (0, 1, 2))
    closes = [row[6] for row in rows]
    await _refuse_conflict(connection, BAR.fullname, symbols, stamps, closes, series)
    stamped: list[Row] = [(*row, received_at) for row in rows]
    return await copy_new_rows(connection, BAR, stamped)


async def read_history_rows(
    connection: Connection, symbols: Sequence[str] | None
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return settlements and bars (closes of the three series), by symbol and instant."""
    wanted = None if symbols is None else list(symbols)
    return (
        await connection.fetch(READ_SETTLEMENTS, wanted),
        await connection.fetch(READ_BARS, wanted),
    )


async def _refuse_conflict(connection: Connection, table: str, *columns: Sequence[Any]) -> None:
    found = await connection.fetchrow(READ_CONFLICTS[table], *(list(c) for c in columns))
    if found is not None:
        raise ValueError(f"{found[0]} {found[1].isoformat()} is stored with another value")
