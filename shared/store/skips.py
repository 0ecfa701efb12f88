"""Candidates that were passed over, followed for the hold they would have had (F:A8)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from asyncpg import Connection

READ_BATCH_END: Final = """
    SELECT max(decided_at) FROM (SELECT decided_at FROM strategy.decision
        WHERE $1::timestamptz IS NULL OR decided_at > $1 ORDER BY decided_at LIMIT $2) t"""
# The expected change of the basis is no part of the cost: what the basis did is known afterwards.
READ_PASSED_OVER: Final = """
    SELECT a.appraisal ->> 'pair' AS symbol, a.appraisal ->> 'reason' AS reason, d.decided_at,
           d.id AS decision_id, (d.verdicts ->> 'hold_hours')::integer AS hold_hours,
           (a.appraisal ->> 'fee_cost')::numeric + (a.appraisal ->> 'slippage_cost')::numeric
               AS cost
    FROM strategy.decision d
    CROSS JOIN LATERAL jsonb_array_elements(d.verdicts -> 'appraisals') AS a (appraisal)
    WHERE ($1::timestamptz IS NULL OR d.decided_at > $1) AND d.decided_at <= $2
      AND (d.verdicts ->> 'hold_hours')::integer > 0
      AND a.appraisal ->> 'verdict' = 'passed_over'
    ORDER BY d.decided_at, symbol"""
READ_NEWEST: Final = """
    SELECT DISTINCT ON (symbol, reason) symbol, reason, decided_at, decision_id, hold_hours, cost
    FROM research.skip ORDER BY symbol, reason, decided_at DESC"""
READ_LAST: Final = "SELECT max(decided_at) FROM research.skip"
LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('research.skip', 0))"
READ_DECIDED_UNTIL: Final = "SELECT max(decided_at) FROM strategy.decision"
INSERT: Final = """
    INSERT INTO research.skip (symbol, reason, decided_at, decision_id, hold_hours, cost)
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::integer[],
                         $6::numeric[])
    ON CONFLICT (symbol, reason, decided_at) DO NOTHING"""
_BASIS: Final = """
    (SELECT (a.appraisal ->> 'basis_rate')::numeric
     FROM (SELECT verdicts FROM strategy.decision WHERE {when}
           ORDER BY decided_at DESC LIMIT 1) d
     CROSS JOIN LATERAL jsonb_array_elements(d.verdicts -> 'appraisals') AS a (appraisal)
     WHERE a.appraisal ->> 'pair' = s.symbol)"""
_THEN: Final = _BASIS.format(when="decided_at = s.decided_at")
_AFTER: Final = _BASIS.format(
    when="decided_at <= s.ends_at AND decided_at > s.ends_at - interval '1 hour'"
)
READ_DUE: Final = f"""
    SELECT s.symbol, s.reason, s.decided_at, s.hold_hours, s.cost, s.ends_at,
           {_THEN} AS basis_then, {_AFTER} AS basis_after
    FROM (SELECT *, decided_at + hold_hours * interval '1 hour' AS ends_at FROM research.skip
          WHERE followed_at IS NULL) s
    WHERE s.ends_at <= $1 ORDER BY s.ends_at, s.symbol, s.reason
    LIMIT $2"""  # noqa: S608 - constants of this file
COMPLETE: Final = """
    UPDATE research.skip s SET funding = n.funding, basis_gain = n.basis_gain, earned = n.earned,
        followed_at = $7
    FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[],
                $6::numeric[]) AS n (symbol, reason, decided_at, funding, basis_gain, earned)
    WHERE s.symbol = n.symbol AND s.reason = n.reason AND s.decided_at = n.decided_at"""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SkipRow:
    """One would-be hold; ``cost`` is a fraction of notional, None where no book told it."""

    symbol: str
    reason: str
    decided_at: datetime
    decision_id: str
    hold_hours: int
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What a would-be hold came to, fractions of notional, earned positive; None is not known."""

    symbol: str
    reason: str
    decided_at: datetime
    funding: Decimal | None
    basis_gain: Decimal | None
    earned: Decimal | None


async def read_passed_over(
    connection: Connection, after: datetime | None, decisions: int
) -> tuple[datetime | None, list[SkipRow]]:
    """Return what the next ``decisions`` after an instant passed over, and the last one's instant.

    The instant is None when there is no decision; venue time.
    """
    until = await connection.fetchval(READ_BATCH_END, after, decisions)
    if until is None:
        return None, []
    rows = await connection.fetch(READ_PASSED_OVER, after, until)
    return until, [SkipRow(**dict(row)) for row in rows]


async def read_newest_skips(connection: Connection) -> list[SkipRow]:
    """Return the newest would-be hold of each symbol and reason."""
    return [SkipRow(**dict(row)) for row in await connection.fetch(READ_NEWEST)]


async def is_ours_to_follow(connection: Connection) -> bool:
    """Whether nobody else takes skips in until the transaction ends."""
    ours: bool = await connection.fetchval(LOCK)
    return ours


async def read_last_skip(connection: Connection) -> datetime | None:
    """Return the instant up to which decisions were looked at; None before the first."""
    last: datetime | None = await connection.fetchval(READ_LAST)
    return last


async def read_decided_until(connection: Connection) -> datetime | None:
    """Return the newest instant decided, venue time; None before the first."""
    until: datetime | None = await connection.fetchval(READ_DECIDED_UNTIL)
    return until


async def insert_skips(connection: Connection, skips: Sequence[SkipRow]) -> None:
    """Store would-be holds; those that are there stay."""
    await connection.execute(
        INSERT,
        [s.symbol for s in skips],
        [s.reason for s in skips],
        [s.decided_at for s in skips],
        [s.decision_id for s in skips],
        [s.hold_hours for s in skips],
        [s.cost for s in skips],
    )


async def read_due_skips(connection: Connection, until: datetime, limit: int) -> list[Row]:
    """Return would-be holds that ended by ``until`` and were not followed yet, oldest end first.

    ``basis_then`` is of their own decision, ``basis_after`` of the last one in the hour before the
    end; None where it was not known.
    """
    rows: list[Row] = await connection.fetch(READ_DUE, until, limit)
    return rows


async def complete_skips(
    connection: Connection, outcomes: Sequence[OutcomeRow], now: datetime
) -> None:
    """Store what would-be holds came to."""
    await connection.execute(
        COMPLETE,
        [o.symbol for o in outcomes],
        [o.reason for o in outcomes],
        [o.decided_at for o in outcomes],
        [o.funding for o in outcomes],
        [o.basis_gain for o in outcomes],
        [o.earned for o in outcomes],
        now,
    )
