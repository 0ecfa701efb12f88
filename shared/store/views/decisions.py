"""Decisions as people read them: verdicts, the policy they were made under, what came of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from asyncpg import Connection

_COLUMNS: Final = """
    d.id, d.decided_at, d.policy_hash, d.inputs_hash, d.verdicts, d.correlation_id,
    p.body AS policy, n.hash IS NOT NULL AS inputs_kept,
    (SELECT jsonb_object_agg(pair, base) FROM market.symbol_identity) AS bases"""
_TABLES: Final = """
    strategy.decision d LEFT JOIN strategy.policy p ON p.hash = d.policy_hash
    LEFT JOIN strategy.decision_inputs n ON n.hash = d.inputs_hash"""
READ_NEWEST: Final = f"""
    SELECT {_COLUMNS} FROM {_TABLES} ORDER BY d.decided_at DESC LIMIT 1"""  # noqa: S608 - constants
READ_ONE: Final = f"""
    SELECT {_COLUMNS} FROM {_TABLES} WHERE d.id = $1"""  # noqa: S608 - constants of this file
READ_INTENTS: Final = """
    SELECT i.id, i.pair, i.quantity, i.until_at, i.reason, i.correlation_id, p.id AS plan_id,
           p.state AS plan_state, p.reason AS plan_reason
    FROM strategy.intent i LEFT JOIN execution.plan p ON p.intent_id = i.id
    WHERE i.decision_id = $1 ORDER BY i.pair"""


@dataclass(frozen=True)
class DecisionRow:
    """One decision; ``verdicts`` and ``policy`` as stored, decimals as text; ``bases`` by pair."""

    id: str
    decided_at: datetime
    policy_hash: str
    inputs_hash: str
    correlation_id: str
    inputs_kept: bool
    verdicts: Mapping[str, Any]
    policy: Mapping[str, Any]
    bases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IntentOutcome:
    """One target of a decision, and the plan the executor made of it; None before that."""

    id: str
    pair: str
    quantity: Decimal
    until_at: datetime | None
    reason: str
    correlation_id: str
    plan_id: str | None
    plan_state: str | None
    plan_reason: str | None


async def read_newest_decision(connection: Connection) -> DecisionRow | None:
    """Return the newest decision; None before the first."""
    row = await connection.fetchrow(READ_NEWEST)
    return None if row is None else _decision(row)


async def read_decision_row(connection: Connection, decision_id: str) -> DecisionRow | None:
    """Return one decision; None when there is none of that id."""
    row = await connection.fetchrow(READ_ONE, decision_id)
    return None if row is None else _decision(row)


async def read_intents(connection: Connection, decision_id: str) -> list[IntentOutcome]:
    """Return the targets of one decision, by pair."""
    return [IntentOutcome(**dict(row)) for row in await connection.fetch(READ_INTENTS, decision_id)]


def _decision(row: Mapping[str, Any]) -> DecisionRow:
    values = dict(row)
    decoded = {
        name: json.loads(values.pop(name) or "{}") for name in ("verdicts", "policy", "bases")
    }
    return DecisionRow(**values, **decoded)
