"""What happened last: plans and their ends, funding received, alarms; newest first."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from asyncpg import Connection

READ_PLANS: Final = """
    SELECT p.pair, coalesce(o.base, p.pair) AS base, p.target_quantity, p.perp_at_start, p.state,
           p.reason, p.decided_at, coalesce(p.finished_venue_at, p.decided_at) AS finished_venue_at
    FROM execution.plan p LEFT JOIN execution.position o ON o.pair = p.pair
    ORDER BY p.created_at DESC, p.pair LIMIT $1"""
READ_FUNDING: Final = """
    SELECT max(g.venue_at) AS at, -sum(e.amount) AS amount, count(DISTINCT g.pair) AS pairs
    FROM (SELECT id, pair, venue_at FROM ledger.posting_group WHERE kind = 'funding'
          ORDER BY venue_at DESC LIMIT 500) g
    JOIN ledger.entry e ON e.group_id = g.id
    WHERE e.account = 'funding' AND e.asset = 'USDT'
    GROUP BY date_bin('1 minute', g.venue_at, 'epoch'::timestamptz)
    ORDER BY 1 DESC LIMIT $1"""
# An alarm carries wall time; what is valued at both clocks says where the venue stood by then.
READ_ALARMS: Final = """
    SELECT coalesce(at.venue_at, (SELECT max(venue_at) FROM market.quote_latest),
                    a.raised_at) AS at, a.name, a.detail, a.pair
    FROM (SELECT (m.body ->> 'raised_at')::timestamptz AS raised_at, m.body ->> 'name' AS name,
                 m.body ->> 'detail' AS detail, m.body ->> 'pair' AS pair, m.sequence
          FROM (SELECT convert_from(body, 'UTF8')::jsonb AS body, sequence FROM ops.outbox
                WHERE stream = 'execution.events' ORDER BY sequence DESC LIMIT 500) m
          WHERE m.body ->> 'type' = 'alarm_raised.v1' ORDER BY m.sequence DESC LIMIT $1) a
    LEFT JOIN LATERAL (SELECT e.venue_at FROM ledger.equity e WHERE e.recorded_at <= a.raised_at
                       ORDER BY e.venue_at DESC LIMIT 1) at ON true
    ORDER BY a.sequence DESC"""
KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class PlanEnd:
    """One plan: what was decided, and its end so far; quantities in base units."""

    pair: str
    base: str
    target_quantity: Decimal
    perp_at_start: Decimal
    state: str
    reason: str
    decided_at: datetime
    finished_venue_at: datetime


@dataclass(frozen=True, slots=True)
class FundingRow:
    """Funding of all pairs at one settlement; USDT, received positive."""

    at: datetime
    amount: Decimal
    pairs: int


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """One alarm, at the venue instant that was reached when it was raised."""

    at: datetime
    name: str
    detail: str
    pair: str | None


async def read_plans(connection: Connection, limit: int = KEPT) -> tuple[PlanEnd, ...]:
    """Return the newest plans, newest first."""
    return tuple(PlanEnd(**dict(row)) for row in await connection.fetch(READ_PLANS, limit))


async def read_funding(connection: Connection, limit: int = KEPT) -> tuple[FundingRow, ...]:
    """Return the newest settlements that were booked, newest first."""
    return tuple(FundingRow(**dict(row)) for row in await connection.fetch(READ_FUNDING, limit))


async def read_alarms(connection: Connection, limit: int = KEPT) -> tuple[AlarmRow, ...]:
    """Return the newest alarms among the last 500 events of the executor, newest first."""
    return tuple(AlarmRow(**dict(row)) for row in await connection.fetch(READ_ALARMS, limit))
