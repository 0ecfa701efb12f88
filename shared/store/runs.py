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
RECORD: Final = """
    INSERT INTO research.run
        (id, kind, state, parameters, result, detail, created_at, claimed_at, finished_at)
    VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6, $7, $7, $8)"""
BEGIN: Final = """
    INSERT INTO research.run (id, kind, state, parameters, created_at)
    VALUES ($1, $2, 'running', $3::jsonb, $4)
    ON CONFLICT (id) DO UPDATE SET state = 'running', result = NULL, detail = NULL,
        finished_at = NULL
    WHERE run.claimed_at IS NULL"""
END: Final = """
    UPDATE research.run SET state = $2, result = $3::jsonb, detail = $4, finished_at = $5
    WHERE id = $1 AND claimed_at IS NULL"""
CLAIM: Final = """
    UPDATE research.run SET state = 'running', claimed_at = $1, done = NULL, total = NULL
    WHERE id = (SELECT id FROM research.run
                WHERE state = 'queued' OR (state = 'running' AND claimed_at < $2)
                ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, parameters"""
RENEW: Final = """
    UPDATE research.run SET claimed_at = $3, done = $4, total = $5
    WHERE id = $1 AND state = 'running' AND claimed_at = $2 RETURNING claimed_at"""
FINISH: Final = """
    UPDATE research.run SET state = $3, result = $4::jsonb, detail = $5, finished_at = $6,
        done = coalesce($7, done), total = coalesce($8, total)
    WHERE id = $1 AND state = 'running' AND claimed_at = $2 RETURNING id"""

READ: Final = "SELECT state, result, detail FROM research.run WHERE id = $1"


Progress = tuple[int, int]
"""How many steps of how many are done."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What became of a run: ``result`` once it is done, ``detail`` when it failed."""

    state: str
    result: Mapping[str, Any] | None
    detail: str | None


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


async def record_run(
    connection: Connection,
    run_id: str,
    kind: str,
    parameters: Mapping[str, Any],
    started_at: datetime,
    finished_at: datetime,
    *,
    result: Mapping[str, Any] | None = None,
    failure: str | None = None,
) -> None:
    """Store a run that was worked off elsewhere, with its ``result`` or its ``failure``."""
    state = "failed" if result is None else "done"
    kept = None if result is None else json.dumps(dict(result))
    given = json.dumps(dict(parameters))
    await connection.execute(
        RECORD, run_id, kind, state, given, kept, failure, started_at, finished_at
    )


async def begin_run(
    connection: Connection, run_id: str, kind: str, parameters: Mapping[str, Any], now: datetime
) -> None:
    """Say that a run which no worker claims has begun, or goes on after it was stopped."""
    await connection.execute(BEGIN, run_id, kind, json.dumps(dict(parameters)), now)


async def end_run(
    connection: Connection,
    run_id: str,
    now: datetime,
    *,
    result: Mapping[str, Any] | None = None,
    failure: str | None = None,
) -> None:
    """Store what became of a run that was begun by ``begin_run``."""
    state = "failed" if result is None else "done"
    kept = None if result is None else json.dumps(dict(result))
    await connection.execute(END, run_id, state, kept, failure, now)


async def claim_run(connection: Connection, now: datetime) -> ClaimedRun | None:
    """Take the oldest run that nobody works on; None when there is none."""
    row = await connection.fetchrow(CLAIM, now, now - LEASE)
    if row is None:
        return None
    return ClaimedRun(row["id"], row["kind"], json.loads(row["parameters"]), now)


async def renew_run(
    connection: Connection, run: ClaimedRun, now: datetime, progress: Progress | None = None
) -> ClaimedRun | None:
    """Say that the run is still worked on, and how far it is; None when it is no longer ours."""
    done, total = progress or (None, None)
    if await connection.fetchval(RENEW, run.id, run.claimed_at, now, done, total) is None:
        return None
    return ClaimedRun(run.id, run.kind, run.parameters, now)


async def finish_run(
    connection: Connection,
    run: ClaimedRun,
    now: datetime,
    *,
    result: Mapping[str, Any] | None = None,
    failure: str | None = None,
    progress: Progress | None = None,
) -> bool:
    """Store what became of a run, ``result`` or ``failure``; False when it is no longer ours."""
    state = "failed" if result is None else "done"
    kept = None if result is None else json.dumps(dict(result))
    done, total = progress or (None, None)
    row = await connection.fetchval(
        FINISH, run.id, run.claimed_at, state, kept, failure, now, done, total
    )
    return row is not None


async def read_run(connection: Connection, run_id: str) -> StoredRun | None:
    """Return the run of that id; None when there is none."""
    row = await connection.fetchrow(READ, run_id)
    if row is None:
        return None
    result = None if row["result"] is None else json.loads(row["result"])
    return StoredRun(row["state"], result, row["detail"])
