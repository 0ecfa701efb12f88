"""How new the data is: one cheap statement that tells whether an answer must be made again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asyncpg import Connection

READ_VERSION: Final = """
    SELECT (SELECT max(received_at) FROM market.quote_latest) AS quoted_at,
           (SELECT max(settled_at) FROM market.funding_settlement) AS settled_at,
           (SELECT max(proven_at) FROM market.symbol_identity) AS proven_at,
           (SELECT max(decided_at) FROM strategy.decision) AS decided_at,
           (SELECT max(venue_at) FROM ledger.equity) AS valued_at,
           (SELECT coalesce(max(id), 0) FROM ledger.posting_group) AS booked,
           (SELECT max(updated_at) FROM execution.position) AS moved_at,
           (SELECT count(*) FROM execution.attempt WHERE state = 'unknown') AS doubted,
           (SELECT count(*) FROM execution.kill WHERE lifted_at IS NULL) AS kills,
           (SELECT coalesce(sum(last), 0)::bigint FROM ops.outbox_sequence) AS said"""


@dataclass(frozen=True, slots=True)
class Version:
    """Equal versions mean equal answers; heartbeats, orders under way and runs are not in it."""

    quoted_at: datetime | None
    settled_at: datetime | None
    proven_at: datetime | None
    decided_at: datetime | None
    valued_at: datetime | None
    booked: int
    moved_at: datetime | None
    doubted: int
    kills: int
    said: int


async def read_version(connection: Connection) -> Version:
    """Return the version of everything stored now."""
    return Version(**dict(await connection.fetchrow(READ_VERSION)))
