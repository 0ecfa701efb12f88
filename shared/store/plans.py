"""The order journal: plans and their two legs. Every caller owns the transaction.

States move only as ``execution.transition`` allows; the database refuses anything else.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from asyncpg import Connection

INSERT_PLAN: Final = """
    INSERT INTO execution.plan (id, intent_id, pair, target_quantity, first_leg, state, reason,
                                spot_at_start, perp_at_start, unhedged_seconds, decided_at,
                                correlation_id, created_at)
    SELECT $1, $2, p.pair, $4, '', 'planned', $5, p.spot_quantity, p.perp_quantity, 0, $6, $7, $8
    FROM execution.position p WHERE p.pair = $3
    ON CONFLICT DO NOTHING RETURNING id"""
IS_OVERTAKEN: Final = """
    SELECT EXISTS (SELECT 1 FROM execution.plan
                   WHERE pair = $1 AND id <> $2 AND decided_at > $3)"""
SUPERSEDE_PLANS: Final = """
    UPDATE execution.plan SET state = 'refused', reason = 'superseded', finished_at = $4
    WHERE pair = $1 AND state = 'planned' AND id <> $2 AND decided_at <= $3
    RETURNING id, intent_id, pair, target_quantity, first_leg, state, reason, decided_at,
              correlation_id, NULL::timestamptz AS until_at, created_at"""
BEGIN_PLAN: Final = """
    WITH begun AS (
            UPDATE execution.plan SET state = 'working', first_leg = $2, spot_at_start = $5,
                   perp_at_start = $6
            WHERE id = $1 AND state = 'planned' RETURNING id, target_quantity)
    INSERT INTO execution.leg (plan_id, leg, category, symbol, start_quantity, goal_quantity,
                               net_filled, value)
    SELECT id, 's', 'spot', $3, $5, target_quantity, 0, 0 FROM begun
    UNION ALL SELECT id, 'p', 'linear', $4, $6, -target_quantity, 0, 0 FROM begun
    RETURNING plan_id"""
FINISH_PLAN: Final = """
    UPDATE execution.plan SET state = $2, reason = $3, unhedged_seconds = $4,
           finished_venue_at = $5, finished_at = $6
    WHERE id = $1 AND finished_at IS NULL RETURNING id"""
READ_UNFINISHED: Final = """
    SELECT p.id, p.intent_id, p.pair, p.target_quantity, p.first_leg, p.state, p.reason,
           p.decided_at, p.correlation_id, i.until_at, p.created_at
    FROM execution.plan p LEFT JOIN strategy.intent i ON i.id = p.intent_id
    WHERE p.finished_at IS NULL ORDER BY p.decided_at, p.created_at"""
READ_UNHEDGED_SINCE: Final = """
    SELECT min(booked_at) FROM execution.fill WHERE plan_id = $1"""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One plan as stored; ``target_quantity`` in base units, zero closes the pair."""

    id: str
    intent_id: str
    pair: str
    target_quantity: Decimal
    first_leg: str
    state: str
    reason: str
    decided_at: datetime
    correlation_id: str
    until_at: datetime | None
    created_at: datetime


async def insert_plan(
    connection: Connection,
    *,
    plan_id: str,
    intent_id: str,
    pair: str,
    target_quantity: Decimal,
    reason: str,
    decided_at: datetime,
    correlation_id: str,
    now: datetime,
) -> bool:
    """Insert a plan and return whether it is new; the pair's position row must exist."""
    values = (plan_id, intent_id, pair, target_quantity, reason, decided_at, correlation_id, now)
    return await connection.fetchval(INSERT_PLAN, *values) is not None


async def is_overtaken(
    connection: Connection, pair: str, plan_id: str, decided_at: datetime
) -> bool:
    """Return whether a plan of the pair was decided later."""
    overtaken: bool = await connection.fetchval(IS_OVERTAKEN, pair, plan_id, decided_at)
    return overtaken


async def supersede_plans(
    connection: Connection, pair: str, plan_id: str, decided_at: datetime, now: datetime
) -> list[PlanRow]:
    """End every other plan of the pair that was not begun, and return them."""
    rows = await connection.fetch(SUPERSEDE_PLANS, pair, plan_id, decided_at, now)
    return [PlanRow(**dict(row)) for row in rows]


async def begin_plan(
    connection: Connection,
    plan_id: str,
    first_leg: str,
    *,
    spot_symbol: str,
    perp_symbol: str,
    spot: Decimal,
    perp: Decimal,
) -> bool:
    """Mark a plan as begun, write its two legs, and return whether it still was to be begun.

    ``spot`` and ``perp`` are what the pair owns now, signed base units.
    """
    values = (plan_id, first_leg, spot_symbol, perp_symbol, spot, perp)
    return (await connection.fetchval(BEGIN_PLAN, *values)) is not None


async def finish_plan(
    connection: Connection,
    *,
    plan_id: str,
    state: str,
    reason: str,
    unhedged_seconds: Decimal,
    venue_at: datetime | None,
    now: datetime,
) -> bool:
    """End a plan and return whether it was still running."""
    values = (plan_id, state, reason, unhedged_seconds, venue_at, now)
    return (await connection.fetchval(FINISH_PLAN, *values)) is not None


async def read_unfinished_plans(connection: Connection) -> list[PlanRow]:
    """Return the plans that have not ended, in the order of their decisions."""
    return [PlanRow(**dict(row)) for row in await connection.fetch(READ_UNFINISHED)]


async def read_first_booked_at(connection: Connection, plan_id: str) -> datetime | None:
    """Return when the first fill of a plan was stored (wall time)."""
    at: datetime | None = await connection.fetchval(READ_UNHEDGED_SINCE, plan_id)
    return at
