"""Forecasts of funding, stored before their outcome; the database refuses any other (F:A6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from asyncpg import Connection

# Only what settles on the grid of the forecasts is due, while its feed is alive and before its
# venue has come to the next end of the grid.
READ_DUE: Final = """
    SELECT q.symbol, l.settled_at
    FROM market.quote_latest q
    CROSS JOIN LATERAL (SELECT settled_at FROM market.funding_settlement f
                        WHERE f.symbol = q.symbol ORDER BY settled_at DESC LIMIT 1) l
    WHERE q.category = 'linear' AND q.received_at > $1 AND q.venue_at < l.settled_at + $2
      AND mod(extract(epoch FROM l.settled_at), extract(epoch FROM $2::interval)) = 0
      AND NOT EXISTS (SELECT FROM research.forecast r
                      WHERE r.symbol = q.symbol AND r.made_of = l.settled_at)
    ORDER BY q.symbol"""
INSERT: Final = """
    INSERT INTO research.forecast (symbol, made_of, horizon, mean, low, high, last, has_skill,
                                   settlements)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::smallint[], $4::float8[], $5::float8[],
                         $6::float8[], $7::float8[], $8::boolean[], $9::integer[])
    ON CONFLICT (symbol, made_of, horizon) DO NOTHING"""
READ: Final = """
    SELECT symbol, made_of, horizon, mean, low, high, last, has_skill FROM research.forecast
    WHERE $1::text[] IS NULL OR symbol = ANY($1) ORDER BY symbol, horizon, made_of"""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ForecastRow:
    """The mean rate of the next ``horizon`` ends of the grid, made of what settled by ``made_of``.

    Rates per end of the grid; ``low`` to ``high`` is None without enough past errors. ``last`` is
    the rate at ``made_of``, ``settlements`` how many rates it was made of.
    """

    symbol: str
    made_of: datetime
    horizon: int
    mean: float
    low: float | None
    high: float | None
    last: float
    has_skill: bool
    settlements: int


async def read_due_forecasts(
    connection: Connection, alive_since: datetime, grid: timedelta
) -> list[tuple[str, datetime]]:
    """Return the symbols whose newest settlement ends a ``grid`` and has no forecast yet.

    Only those whose newest quote came in after ``alive_since`` (wall time).
    """
    rows = await connection.fetch(READ_DUE, alive_since, grid)
    return [(row["symbol"], row["settled_at"]) for row in rows]


async def insert_forecasts(connection: Connection, made: Sequence[ForecastRow]) -> None:
    """Store forecasts.

    Raises: asyncpg.CheckViolationError when a symbol has settled since ``made_of``.
    """
    await connection.execute(
        INSERT,
        [f.symbol for f in made],
        [f.made_of for f in made],
        [f.horizon for f in made],
        [f.mean for f in made],
        [f.low for f in made],
        [f.high for f in made],
        [f.last for f in made],
        [f.has_skill for f in made],
        [f.settlements for f in made],
    )


async def read_forecasts(connection: Connection, symbols: Sequence[str] | None) -> list[Row]:
    """Return what was stored, by symbol, horizon and time."""
    rows: list[Row] = await connection.fetch(READ, None if symbols is None else list(symbols))
    return rows
