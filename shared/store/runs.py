"""Back-test runs: queued by whoever wants one, claimed by one worker at a time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from asyncpg import Connection

LEASE: Final = timedelta(seconds=30)

QUEUE: Final = """
    INSERT INTO research.run (id, kind, state, parameters, created_at)
    VALUES ($1, $2, 'queued', $3::jsonb, $4)"""
INSERT: Final = """
    INSERT INTO research.run (id, kind, state, parameters, result, created_at, finished_at)
    VALUES ($1, $2, 'done', $3::jsonb, $4::jsonb, $5, $5)"""
CLAIM: Final = """
    UPDATE research.run SET state = 'running', claimed_at = $1
    WHERE id = (SELECT id FROM research.run
                WHERE state = 'queued' OR (state = 'running' AND claimed_at < $2)
                ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, parameters"""
RENEW: Final = """
    UPDATE research.run SET claimed_at = $3
    WHERE id = $1 AND state = 'running' AND claimed_at = $2 RETURNING claimed_at"""
FINISH: Final = """
    UPDATE research.run SET state = $3, result = $4::jsonb, detail = $5, finished_at = $6
    WHERE id = $1 AND state = 'running' AND claimed_at = $2 RETURNING id"""


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that is ours until ``claimed_at`` (wall time) is older than ``LEASE``."""

    id: str
    kind: str
    parameters: Mapping[str, Any]
    claimed_at: datetime


async def queue_run(
    connection: Connection, run_id: str, kind: str, parameters: Mapping[str, Any], now: datetime
) -> None:
    """Queue a run of ``kind``; ``parameters`` are plain JSON values."""
    await connection.execute(QUEUE, run_id, kind, json.dumps(dict(parameters)), now)


async def insert_run(
    connection: Connection,
    run_id: str,
    kind: str,
    parameters: Mapping[str, Any],
    result: Mapping[str, Any],
    now: datetime,
) -> None:
    """Store a run that was done on a command line; both are plain JSON values."""
    given, found = json.dumps(dict(parameters)), json.dumps(dict(result))
    await connection.execute(INSERT, run_id, kind, given, found, now)


async def claim_run(connection: Connection, now: datetime) -> ClaimedRun | None:
    """Take the oldest run that nobody works on; None when there is none."""
    row = await connection.fetchrow(CLAIM, now, now - LEASE)
    if row is None:
        return None
    return ClaimedRun(row["id"], row["kind"], json.loads(row["parameters"]), now)


async def renew_run(connection: Connection, run: ClaimedRun, now: datetime) -> ClaimedRun | None:
    """Say that the run is still worked on; None when it is no longer ours."""
    if await connection.fetchval(RENEW, run.id, run.claimed_at, now) is None:
        return None
    return ClaimedRun(run.id, run.kind, run.parameters, now)


async def finish_run(
    connection: Connection,
    run: ClaimedRun,
    now: datetime,
    *,
    result: Mapping[str, Any] | None = None,
    failure: str | None = None,
) -> bool:
    """Store what became of a run, ``result`` or ``failure``; False when it is no longer ours."""
    state = "failed" if result is None else "done"
    kept = None if result is None else json.dumps(dict(result))
    row = await connection.fetchval(FINISH, run.id, run.claimed_at, state, kept, failure, now)
    return row is not None
