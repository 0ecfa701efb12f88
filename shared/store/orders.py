"""The order journal: plans, attempts and fills. Every caller owns the transaction."""

from dataclasses import astuple, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from asyncpg import Connection

from shared.domain.order import Fill

TERMINAL_ATTEMPTS: Final = ("filled", "cancelled", "rejected", "absent")

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
    UPDATE execution.plan SET state = 'working', first_leg = $2, spot_at_start = $3,
           perp_at_start = $4
    WHERE id = $1 AND state = 'planned' RETURNING id"""
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
CLAIM_ATTEMPT: Final = """
    WITH held AS (SELECT epoch FROM execution.lease
                  WHERE name = 'executor' AND epoch = $1 FOR SHARE),
         killed AS (SELECT coalesce(max(level), 0) AS level FROM execution.kill
                    WHERE lifted_at IS NULL),
         made AS (
             INSERT INTO execution.attempt (
                 link_id, plan_id, leg, number, category, symbol, side, quantity, limit_price,
                 reduce_only, purpose, state, lease_epoch, sends, signed_at, filled_quantity,
                 filled_value, correlation_id, created_at, updated_at, reference_price)
             SELECT $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'submitting', held.epoch, 1,
                    $14, 0, 0, $15, $14, $14, $16
             FROM held, killed WHERE killed.level < $2 RETURNING 1)
    SELECT (SELECT count(*) FROM held) AS held, (SELECT level FROM killed) AS level,
           (SELECT count(*) FROM made) AS made"""
RESEND_ATTEMPT: Final = """
    UPDATE execution.attempt SET sends = sends + 1, signed_at = $2, updated_at = $2
    WHERE link_id = $1 AND state = 'submitting'"""
ANSWER_ATTEMPT: Final = """
    UPDATE execution.attempt SET state = $2, order_id = coalesce(order_id, $3), venue_code = $4,
           venue_message = $5, updated_at = $6
    WHERE link_id = $1 AND state IN ('submitting', 'unknown', 'live')"""
END_ATTEMPT: Final = """
    UPDATE execution.attempt SET state = $2, order_id = coalesce(order_id, $3),
           venue_message = coalesce($4, venue_message), updated_at = $5
    WHERE link_id = $1 AND state NOT IN ('filled', 'cancelled', 'rejected')"""
BOOK_FILL: Final = """
    WITH new AS (
            INSERT INTO execution.fill (
                category, exec_id, link_id, order_id, plan_id, leg, pair, symbol, side, quantity,
                price, value, fee, fee_currency, exec_type, is_maker, venue_at, correlation_id,
                booked_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                    $18, $19)
            ON CONFLICT (category, exec_id) DO NOTHING RETURNING 1),
         moved AS (
            UPDATE execution.position SET spot_quantity = spot_quantity + $20,
                   perp_quantity = perp_quantity + $21, spot_value = spot_value + $22,
                   perp_value = perp_value + $23, updated_at = $19
            WHERE pair = $7 AND EXISTS (SELECT 1 FROM new)
            RETURNING spot_quantity, perp_quantity, spot_value, perp_value),
         counted AS (
            UPDATE execution.attempt SET filled_quantity = filled_quantity + $10,
                   filled_value = filled_value + $12, order_id = coalesce(order_id, $4),
                   updated_at = $19
            WHERE link_id = $3 AND EXISTS (SELECT 1 FROM new)
            RETURNING filled_quantity, state)
    SELECT m.spot_quantity, m.perp_quantity, m.spot_value, m.perp_value,
           c.filled_quantity, c.state
    FROM new LEFT JOIN moved m ON true LEFT JOIN counted c ON true"""
READ_ATTEMPTS: Final = """
    SELECT link_id, plan_id, leg, number, category, symbol, quantity, purpose, state, signed_at,
           filled_quantity, correlation_id
    FROM execution.attempt WHERE state <> ALL($1) ORDER BY created_at"""
READ_TRIES: Final = """
    SELECT purpose FROM execution.attempt WHERE plan_id = $1 ORDER BY number"""
READ_OWNER: Final = """
    SELECT a.link_id, a.plan_id, a.leg, a.correlation_id, a.state, p.pair
    FROM execution.attempt a JOIN execution.plan p ON p.id = a.plan_id WHERE a.link_id = $1"""
READ_ATTEMPT_TIMES: Final = """
    SELECT created_at FROM execution.attempt WHERE created_at >= $1 ORDER BY created_at"""
READ_NEWEST_FILL: Final = "SELECT max(venue_at) FROM execution.fill"


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


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One order of ours as journaled before it is sent.

    ``reference_price`` is the mid of its book at that moment: slippage counts from there.
    """

    link_id: str
    plan_id: str
    leg: str
    number: int
    category: str
    symbol: str
    side: str
    quantity: Decimal
    limit_price: Decimal
    reduce_only: bool
    purpose: str
    signed_at: datetime
    correlation_id: str
    reference_price: Decimal | None


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that had not come to its end."""

    link_id: str
    plan_id: str
    leg: str
    number: int
    category: str
    symbol: str
    quantity: Decimal
    purpose: str
    state: str
    signed_at: datetime
    filled_quantity: Decimal
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Which plan an attempt belongs to."""

    link_id: str
    plan_id: str
    leg: str
    correlation_id: str
    state: str
    pair: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of a claim: ``held`` false means that the lease is another's."""

    held: bool
    kill_level: int
    made: bool


@dataclass(frozen=True, slots=True)
class FillRow:
    """One execution to be booked, and how it moves what the pair owns (signed base and cash)."""

    fill: Fill
    link_id: str
    order_id: str
    plan_id: str | None
    leg: str | None
    pair: str
    exec_type: str
    is_maker: bool
    correlation_id: str
    spot_quantity: Decimal
    perp_quantity: Decimal
    spot_value: Decimal
    perp_value: Decimal


@dataclass(frozen=True, slots=True)
class Booked:
    """What is owned after a fill, and its attempt's total; None where there is no such row."""

    spot_quantity: Decimal | None
    perp_quantity: Decimal | None
    spot_value: Decimal | None
    perp_value: Decimal | None
    filled_quantity: Decimal | None
    attempt_state: str | None


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
    connection: Connection, plan_id: str, first_leg: str, spot: Decimal, perp: Decimal
) -> bool:
    """Mark a plan as begun and return whether it still was to be begun."""
    return (await connection.fetchval(BEGIN_PLAN, plan_id, first_leg, spot, perp)) is not None


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


async def claim_attempt(
    connection: Connection, attempt: AttemptRow, *, epoch: int, kill_level: int
) -> Claim:
    """Journal one attempt unless the lease is lost or a kill of ``kill_level`` or more stands."""
    row = await connection.fetchrow(CLAIM_ATTEMPT, epoch, kill_level, *astuple(attempt))
    return Claim(row["held"] == 1, row["level"], row["made"] == 1)


async def resend_attempt(connection: Connection, link_id: str, signed_at: datetime) -> None:
    """Journal one more send of the same order."""
    await connection.execute(RESEND_ATTEMPT, link_id, signed_at)


async def answer_attempt(
    connection: Connection,
    link_id: str,
    state: str,
    now: datetime,
    *,
    order_id: str | None = None,
    code: int | None = None,
    message: str | None = None,
) -> None:
    """Store what the venue answered: live, rejected, unknown or absent."""
    await connection.execute(ANSWER_ATTEMPT, link_id, state, order_id, code, message, now)


async def end_attempt(
    connection: Connection,
    link_id: str,
    state: str,
    now: datetime,
    *,
    order_id: str | None,
    message: str | None,
) -> None:
    """Store that an order is final and all its executions are booked."""
    await connection.execute(END_ATTEMPT, link_id, state, order_id, message, now)


async def book_fill(connection: Connection, row: FillRow, now: datetime) -> Booked | None:
    """Store one execution with everything it moves; None when it was stored before."""
    fill = row.fill
    found = await connection.fetchrow(
        BOOK_FILL,
        fill.category.value,
        fill.exec_id,
        row.link_id,
        row.order_id,
        row.plan_id,
        row.leg,
        row.pair,
        fill.symbol,
        fill.side.value,
        fill.quantity,
        fill.price,
        fill.value,
        fill.fee,
        fill.fee_currency,
        row.exec_type,
        row.is_maker,
        fill.venue_at,
        row.correlation_id,
        now,
        row.spot_quantity,
        row.perp_quantity,
        row.spot_value,
        row.perp_value,
    )
    return None if found is None else Booked(*found)


async def read_open_attempts(connection: Connection) -> list[OpenAttempt]:
    """Return the attempts that have not come to their end, oldest first."""
    rows = await connection.fetch(READ_ATTEMPTS, list(TERMINAL_ATTEMPTS))
    return [OpenAttempt(**dict(row)) for row in rows]


async def read_tries(connection: Connection, plan_id: str) -> list[str]:
    """Return the purposes of a plan's attempts, in order."""
    return [row["purpose"] for row in await connection.fetch(READ_TRIES, plan_id)]


async def read_owner(connection: Connection, link_id: str) -> Owner | None:
    """Return whose an order is; None when it is not one we journaled."""
    row = await connection.fetchrow(READ_OWNER, link_id)
    return None if row is None else Owner(**dict(row))


async def read_attempt_times(connection: Connection, since: datetime) -> list[datetime]:
    """Return when each attempt since ``since`` was made (wall time), oldest first."""
    return [row["created_at"] for row in await connection.fetch(READ_ATTEMPT_TIMES, since)]


async def read_newest_fill(connection: Connection) -> datetime | None:
    """Return the venue instant of the newest stored execution."""
    at: datetime | None = await connection.fetchval(READ_NEWEST_FILL)
    return at
