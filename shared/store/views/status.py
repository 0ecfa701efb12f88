"""Who was heard of when, and how new the market data is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asyncpg import Connection

READ_HEARTBEATS: Final = """
    SELECT service, ready, detail, seen_at FROM ops.heartbeat ORDER BY service"""
READ_MARKET: Final = """
    WITH newest AS (SELECT max(venue_at) AS venue_at, max(received_at) AS received_at
                    FROM market.quote_latest)
    SELECT n.venue_at, n.received_at, min(q.next_funding_at) AS next_settlement_at
    FROM newest n LEFT JOIN market.quote_latest q
                         ON q.category = 'linear' AND q.next_funding_at > n.venue_at
    GROUP BY n.venue_at, n.received_at"""


@dataclass(frozen=True, slots=True)
class HeartbeatRow:
    """The last that one service said of itself; ``seen_at`` is wall time."""

    service: str
    ready: bool
    detail: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class MarketClock:
    """The newest stamp of the venue, when it came (wall time), and the next settlement ahead."""

    venue_at: datetime | None
    received_at: datetime | None
    next_settlement_at: datetime | None


async def read_heartbeats(connection: Connection) -> list[HeartbeatRow]:
    """Return the last heartbeat of each service."""
    return [HeartbeatRow(**dict(row)) for row in await connection.fetch(READ_HEARTBEATS)]


async def read_market_clock(connection: Connection) -> MarketClock:
    """Return how new the market data is; all None before the first quote."""
    return MarketClock(**dict(await connection.fetchrow(READ_MARKET)))
