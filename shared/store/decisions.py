"""The decision journal: inputs once by content, decisions, intents, late instants."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from asyncpg import Connection

INSERT_INPUTS = """
    INSERT INTO strategy.decision_inputs (hash, body, created_at, keep_until)
    VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING"""
INSERT_DECISION = """
    INSERT INTO strategy.decision (id, decided_at, policy_hash, inputs_hash, verdicts, intents,
                                   correlation_id, created_at)
    VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)"""
INSERT_INTENTS = """
    INSERT INTO strategy.intent (id, decision_id, decided_at, pair, quantity, until_at, reason,
                                 correlation_id, created_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::numeric[],
                         $6::timestamptz[], $7::text[], $8::text[], $9::timestamptz[])"""
INSERT_POLICY = """
    INSERT INTO strategy.policy (hash, body, applied_at) VALUES ($1, $2::jsonb, $3)
    ON CONFLICT (hash) DO NOTHING"""
INSERT_LATE = """
    INSERT INTO strategy.late_instant (venue_at, reason, created_at)
    SELECT venue_at, $2, $3 FROM unnest($1::timestamptz[]) AS venue_at
    ON CONFLICT (venue_at) DO NOTHING"""
READ_LAST_INSTANT = "SELECT max(decided_at) FROM strategy.decision"
READ_TARGETS = """
    SELECT DISTINCT ON (i.pair) i.pair, i.id, i.quantity, i.decided_at, p.finished_at,
           abs(coalesce(o.perp_quantity, 0)) AS held
    FROM strategy.intent i
    LEFT JOIN execution.plan p ON p.intent_id = i.id
    LEFT JOIN execution.position o ON o.pair = i.pair
    ORDER BY i.pair, i.decided_at DESC, i.created_at DESC"""
READ_DECISION = """
    SELECT d.id, d.decided_at, d.policy_hash, d.inputs_hash, d.verdicts, n.body AS inputs
    FROM strategy.decision d LEFT JOIN strategy.decision_inputs n ON n.hash = d.inputs_hash
    WHERE d.id = $1"""


@dataclass(frozen=True, slots=True)
class IntentRow:
    """One intent as stored; ``quantity`` zero closes the pair."""

    id: str
    decision_id: str
    decided_at: datetime
    pair: str
    quantity: Decimal
    until_at: datetime | None
    reason: str
    correlation_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TargetRow:
    """The newest intent of a pair, and what its plan left the pair with once it ended."""

    pair: str
    intent_id: str
    quantity: Decimal
    decided_at: datetime
    plan_ended: bool
    held: Decimal


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision with its inputs; ``inputs`` is None when they were not kept."""

    id: str
    decided_at: datetime
    policy_hash: str
    verdicts: Mapping[str, Any]
    inputs: bytes | None


async def insert_policy(
    connection: Connection, policy_hash: str, body: Mapping[str, Any], now: datetime
) -> None:
    """Remember a policy under its hash."""
    await connection.execute(INSERT_POLICY, policy_hash, json.dumps(body), now)


async def insert_decision(
    connection: Connection,
    *,
    decision_id: str,
    decided_at: datetime,
    policy_hash: str,
    inputs_hash: str,
    inputs: bytes,
    keep_until: datetime | None,
    verdicts: Mapping[str, Any],
    intents: Sequence[IntentRow],
    now: datetime,
) -> None:
    """Store one decision with its inputs and intents; the caller owns the transaction."""
    await connection.execute(INSERT_INPUTS, inputs_hash, inputs, now, keep_until)
    await connection.execute(
        INSERT_DECISION,
        decision_id,
        decided_at,
        policy_hash,
        inputs_hash,
        json.dumps(verdicts),
        len(intents),
        decision_id,
        now,
    )
    if intents:
        rows = [
            (
                i.id,
                i.decision_id,
                i.decided_at,
                i.pair,
                i.quantity,
                i.until_at,
                i.reason,
                i.correlation_id,
                i.created_at,
            )
            for i in intents
        ]
        await connection.execute(INSERT_INTENTS, *map(list, zip(*rows, strict=True)))


async def insert_late_instants(
    connection: Connection, instants: Sequence[datetime], reason: str, now: datetime
) -> None:
    """Name instants that were not decided in time."""
    await connection.execute(INSERT_LATE, list(instants), reason, now)


async def read_last_instant(connection: Connection) -> datetime | None:
    """Return the newest instant decided; None before the first."""
    instant: datetime | None = await connection.fetchval(READ_LAST_INSTANT)
    return instant


async def read_targets(connection: Connection) -> list[TargetRow]:
    """Return the newest intent of each pair."""
    return [
        TargetRow(
            r["pair"],
            r["id"],
            r["quantity"],
            r["decided_at"],
            r["finished_at"] is not None,
            r["held"],
        )
        for r in await connection.fetch(READ_TARGETS)
    ]


async def read_decision(connection: Connection, decision_id: str) -> StoredDecision | None:
    """Return one decision with its inputs; None when there is none of that id."""
    row = await connection.fetchrow(READ_DECISION, decision_id)
    if row is None:
        return None
    stored = row["verdicts"]
    return StoredDecision(
        row["id"],
        row["decided_at"],
        row["policy_hash"],
        json.loads(stored) if isinstance(stored, str) else stored,
        None if row["inputs"] is None else bytes(row["inputs"]),
    )
