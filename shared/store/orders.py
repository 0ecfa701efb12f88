"""The order journal: attempts, sends and fills. Every caller owns the transaction.

States move only as ``execution.transition`` allows; the database refuses anything else.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from asyncpg import Connection

from shared.domain.order import Fill

TERMINAL_ATTEMPTS: Final = ("filled", "cancelled", "rejected", "absent")

CLAIM_ATTEMPT: Final = """
    WITH held AS (SELECT epoch FROM execution.lease
                  WHERE name = 'executor' AND epoch = $1 FOR SHARE),
         killed AS (SELECT execution.forbidding($2, $3) AS said),
         made AS (
             INSERT INTO execution.attempt (
                 link_id, plan_id, leg, number, category, symbol, side, quantity, limit_price,
                 reduce_only, purpose, state, lease_epoch, sends, signed_at, filled_quantity,
                 filled_value, correlation_id, created_at, updated_at, book_behind_seconds,
                 book_silent_seconds, reference_price)
             SELECT $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'submitting', held.epoch, 1,
                    $15, 0, 0, $16, $15, $15, $17, $18, $19
             FROM held, killed WHERE killed.said IS NULL
             RETURNING link_id, sends, signed_at, lease_epoch),
         sent AS (
             INSERT INTO execution.send (link_id, number, signed_at, lease_epoch)
             SELECT link_id, sends, signed_at, lease_epoch FROM made RETURNING 1)
    SELECT EXISTS (SELECT 1 FROM held) AS held, EXISTS (SELECT 1 FROM sent) AS made,
           (SELECT said FROM killed) AS killed"""
RESEND_ATTEMPT: Final = """
    WITH sent AS (
            UPDATE execution.attempt a SET sends = sends + 1, signed_at = $2, updated_at = $2
            FROM execution.plan p
            WHERE a.link_id = $1 AND a.state IN ('submitting', 'unknown') AND p.id = a.plan_id
              AND execution.forbidding($4, p.pair) IS NULL
            RETURNING a.link_id, a.sends, a.signed_at)
    INSERT INTO execution.send (link_id, number, signed_at, lease_epoch)
    SELECT link_id, sends, signed_at, $3 FROM sent RETURNING number"""
ANSWER_ATTEMPT: Final = """
    UPDATE execution.attempt SET state = $2, order_id = coalesce(order_id, $3), venue_code = $4,
           venue_message = $5, updated_at = $6
    WHERE link_id = $1 AND state IN ('submitting', 'unknown', 'live')"""
END_ATTEMPT: Final = """
    UPDATE execution.attempt
       SET state = CASE WHEN $2 = 'rejected' AND sends > 1 THEN 'cancelled' ELSE $2 END,
           order_id = coalesce(order_id, $3), venue_message = coalesce($4, venue_message),
           updated_at = $5
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
         filled AS (
            UPDATE execution.leg SET value = value + $22 + $23,
                   net_filled = net_filled + $20 + $21
            WHERE plan_id = $5 AND leg = $6 AND EXISTS (SELECT 1 FROM new)),
         told AS (
            INSERT INTO execution.venue_event (key, link_id, body, booked_at)
            SELECT 'execution:' || $1 || ':' || $2, $3, $24::jsonb, $19 FROM new),
         was AS (SELECT state FROM execution.attempt WHERE link_id = $3),
         counted AS (
            UPDATE execution.attempt SET filled_quantity = filled_quantity + $10,
                   filled_value = filled_value + $12, order_id = coalesce(order_id, $4),
                   updated_at = $19,
                   state = CASE WHEN state NOT IN ('absent', 'rejected') THEN state
                                WHEN filled_quantity + $10 >= quantity THEN 'filled'
                                ELSE 'live' END
            WHERE link_id = $3 AND EXISTS (SELECT 1 FROM new)
            RETURNING filled_quantity)
    SELECT m.spot_quantity, m.perp_quantity, m.spot_value, m.perp_value,
           c.filled_quantity, (SELECT state FROM was) AS state
    FROM new LEFT JOIN moved m ON true LEFT JOIN counted c ON true"""
RELEASE_QUARANTINED: Final = """
    UPDATE execution.attempt a
       SET state = CASE WHEN filled_quantity > 0 THEN 'cancelled' ELSE 'absent' END, updated_at = $2
    FROM execution.plan p
    WHERE a.state = 'quarantined' AND p.id = a.plan_id AND p.pair = $1"""
INSERT_VENUE_EVENT: Final = """
    INSERT INTO execution.venue_event (key, link_id, body, booked_at)
    VALUES ($1, $2, $3::jsonb, $4) ON CONFLICT (key) DO NOTHING"""
READ_ATTEMPTS: Final = """
    SELECT link_id, plan_id, leg, number, category, symbol, quantity, purpose, state, signed_at,
           filled_quantity, correlation_id
    FROM execution.attempt WHERE state <> ALL($1) ORDER BY created_at"""
READ_DOUBTED: Final = """
    SELECT link_id FROM execution.attempt
    WHERE state IN ('submitting', 'unknown', 'quarantined') AND created_at < $1
    ORDER BY created_at"""
READ_TRIES: Final = """
    SELECT purpose FROM execution.attempt WHERE plan_id = $1 ORDER BY number"""
READ_OWNER: Final = """
    SELECT a.link_id, a.plan_id, a.leg, a.correlation_id, a.state, p.pair
    FROM execution.attempt a JOIN execution.plan p ON p.id = a.plan_id WHERE a.link_id = $1"""
READ_FILLED: Final = "SELECT filled_quantity FROM execution.attempt WHERE link_id = $1"
READ_NEWEST_FILL: Final = "SELECT max(venue_at) FROM execution.fill"


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One order of ours as journaled before it is sent.

    ``book_behind_seconds`` is how far the older book trailed the newest stamp (venue time),
    ``book_silent_seconds`` how long ago it last spoke (wall); None when a book is missing.
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
    book_behind_seconds: Decimal | None
    book_silent_seconds: Decimal | None
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
    """What became of a claim: ``held`` false means that the lease is another's.

    ``killed`` names the kill that forbids it.
    """

    held: bool
    made: bool
    killed: str | None


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
    """What is owned after a fill, and its attempt's total; None where there is no such row.

    ``attempt_state`` is the state that the fill came upon. ``absent`` or ``rejected`` is a
    surprise, after which the order is ``filled``, or ``live`` until its end is known.
    """

    spot_quantity: Decimal | None
    perp_quantity: Decimal | None
    spot_value: Decimal | None
    perp_value: Decimal | None
    filled_quantity: Decimal | None
    attempt_state: str | None


async def claim_attempt(
    connection: Connection, attempt: AttemptRow, *, pair: str, epoch: int, kill_level: int
) -> Claim:
    """Journal one attempt and its first send.

    Not when the lease is lost, nor when a kill of ``kill_level`` or more stands; a pause of the
    pair (level 0) forbids what level 1 forbids.
    """
    row = await connection.fetchrow(CLAIM_ATTEMPT, epoch, kill_level, pair, *astuple(attempt))
    return Claim(**dict(row))


async def resend_attempt(
    connection: Connection, link_id: str, signed_at: datetime, epoch: int, kill_level: int
) -> bool:
    """Journal one more send of the same order; False when nothing may be sent.

    Its end is known, or a kill of ``kill_level`` or more stands.
    """
    number = await connection.fetchval(RESEND_ATTEMPT, link_id, signed_at, epoch, kill_level)
    return number is not None


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
    """Store that an order is final and all its executions are booked.

    Shown as rejected after a re-send it ends as cancelled: dead, but not by its first send's word.
    """
    await connection.execute(END_ATTEMPT, link_id, state, order_id, message, now)


async def release_quarantined(connection: Connection, pair: str, now: datetime) -> None:
    """End the pair's orders in quarantine as a person says: what is booked of them is all."""
    await connection.execute(RELEASE_QUARANTINED, pair, now)


async def insert_venue_event(
    connection: Connection, key: str, link_id: str, body: Mapping[str, object], now: datetime
) -> None:
    """Store once what the venue said; ``key`` is what makes it unique there."""
    await connection.execute(INSERT_VENUE_EVENT, key, link_id, _json(body), now)


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
        _json(asdict(row)),
    )
    return None if found is None else Booked(*found)


async def read_open_attempts(connection: Connection) -> list[OpenAttempt]:
    """Return the attempts that have not come to their end, oldest first."""
    rows = await connection.fetch(READ_ATTEMPTS, list(TERMINAL_ATTEMPTS))
    return [OpenAttempt(**dict(row)) for row in rows]


async def read_doubted(connection: Connection, before: datetime) -> list[str]:
    """Return the orders made before ``before`` of which nobody knows what became."""
    return [row["link_id"] for row in await connection.fetch(READ_DOUBTED, before)]


async def read_tries(connection: Connection, plan_id: str) -> list[str]:
    """Return the purposes of a plan's attempts, in order."""
    return [row["purpose"] for row in await connection.fetch(READ_TRIES, plan_id)]


async def read_owner(connection: Connection, link_id: str) -> Owner | None:
    """Return whose an order is; None when it is not one we journaled."""
    row = await connection.fetchrow(READ_OWNER, link_id)
    return None if row is None else Owner(**dict(row))


async def read_filled(connection: Connection, link_id: str) -> Decimal:
    """Return how much of an attempt is stored as filled, base units."""
    filled: Decimal = await connection.fetchval(READ_FILLED, link_id)
    return filled


async def read_newest_fill(connection: Connection) -> datetime | None:
    """Return the venue instant of the newest stored execution."""
    at: datetime | None = await connection.fetchval(READ_NEWEST_FILL)
    return at


def _json(body: Mapping[str, object]) -> str:
    """Return JSON in which every number and instant is a string."""
    return json.dumps(body, default=str)
