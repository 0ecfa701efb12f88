"""Hourly bars as they close: inserted once, and the basis at the settlements read from them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from asyncpg import Connection

from shared.domain.instrument import Pair
from shared.domain.market import BasisLevel, basis_of
from shared.store.copy import Row, copy_new_rows
from shared.store.history import BarRow
from shared.store.tables import BAR

READ_NEWEST: Final = """
    SELECT opened_at FROM market.bar WHERE series = $1 AND symbol = $2
    ORDER BY opened_at DESC LIMIT 1"""
READ_CLOSES: Final = """
    SELECT 'spot' AS leg, opened_at, close FROM market.bar
    WHERE series = 'spot' AND symbol = $1 AND opened_at = ANY($3::timestamptz[])
    UNION ALL SELECT 'perp', opened_at, close FROM market.bar
    WHERE series = 'linear' AND symbol = $2 AND opened_at = ANY($3::timestamptz[])
    ORDER BY 2"""
HOUR: Final = timedelta(hours=1)


async def insert_bars(connection: Connection, rows: Sequence[BarRow], received_at: datetime) -> int:
    """Insert what is not stored yet and return its count; the caller owns the transaction."""
    stamped: list[Row] = [(*row, received_at) for row in rows]
    return await copy_new_rows(connection, BAR, stamped)


async def read_newest_bar(connection: Connection, series: str, symbol: str) -> datetime | None:
    """Return when the newest bar stored of a series (spot, linear, mark) opened."""
    opened_at: datetime | None = await connection.fetchval(READ_NEWEST, series, symbol)
    return opened_at


async def read_basis_levels(
    connection: Connection, pair: Pair, instants: Sequence[datetime]
) -> list[BasisLevel]:
    """Return the basis at full hours, oldest first, of the closes of the hour that ends then.

    Where one of the two closes is missing there is none.
    """
    opened = [at - HOUR for at in instants]
    rows = await connection.fetch(READ_CLOSES, pair.spot.symbol, pair.perp.symbol, opened)
    spot, perp = (
        {row["opened_at"]: row["close"] for row in rows if row["leg"] == leg}
        for leg in ("spot", "perp")
    )
    return [
        BasisLevel(pair.name, at + HOUR, basis_of(close, perp[at]))
        for at, close in spot.items()
        if at in perp
    ]
