"""Settlements that a held position should have been paid for, and was not."""

from datetime import datetime
from typing import Final

from asyncpg import Connection

# Held: just before the instant and a little after, so that a fill at the instant itself, of which
# only the venue knows on which side of it it counts, expects nothing.
READ_MISSING: Final = """
    WITH moves AS (
        SELECT symbol, venue_at, CASE side WHEN 'Sell' THEN -quantity ELSE quantity END AS quantity
        FROM ledger.log_row
        WHERE category = 'linear' AND NOT is_seen AND kind NOT IN ('SETTLEMENT', 'ADOPT'))
    SELECT s.symbol, s.settled_at
    FROM market.funding_settlement s
    WHERE s.settled_at > $1 AND s.settled_at <= $2 AND s.rate <> 0
      AND (SELECT sum(m.quantity) FROM moves m
           WHERE m.symbol = s.symbol AND m.venue_at < s.settled_at - interval '5 seconds') <> 0
      AND (SELECT sum(m.quantity) FROM moves m
           WHERE m.symbol = s.symbol AND m.venue_at <= s.settled_at + interval '5 seconds') <> 0
      AND NOT EXISTS (SELECT 1 FROM ledger.log_row f
                      WHERE f.symbol = s.symbol AND f.kind = 'SETTLEMENT'
                        AND f.venue_at BETWEEN s.settled_at - interval '1 minute'
                                           AND s.settled_at + interval '30 minutes')
    ORDER BY s.settled_at, s.symbol"""


async def read_missing_funding(
    connection: Connection, since: datetime, until: datetime
) -> list[tuple[str, datetime]]:
    """Return symbol and instant of each settlement in (since, until] that is not booked.

    Instants are the venue's. Whoever holds the position is paid: the whole account's counts.
    """
    rows = await connection.fetch(READ_MISSING, since, until)
    return [(row["symbol"], row["settled_at"]) for row in rows]
