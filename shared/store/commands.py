"""What a person asks of the executor about a stranger's doing: adopt it or ignore it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asyncpg import Connection

DONE: Final = "done"
INSERT_COMMAND: Final = """
    INSERT INTO execution.command (kind, pair, reason, asked_by, asked_at)
    VALUES ($1, $2, $3, $4, $5) RETURNING id"""
READ_COMMANDS: Final = """
    SELECT id, kind, pair, reason FROM execution.command WHERE done_at IS NULL ORDER BY id"""
FINISH_COMMAND: Final = """
    UPDATE execution.command SET done_at = $2, outcome = $3 WHERE id = $1 AND done_at IS NULL"""
READ_OUTCOME: Final = "SELECT outcome FROM execution.command WHERE id = $1"
# A stranger's fill pauses its pair until a later command settles it; what the opening balances
# hold already was settled by them.
READ_FOREIGN_PAIRS: Final = """
    SELECT DISTINCT f.pair FROM execution.fill f
    WHERE (f.correlation_id = 'foreign' OR (f.plan_id IS NULL AND f.exec_type = 'Trade'))
      AND NOT EXISTS (SELECT 1 FROM execution.command c
                      WHERE c.pair = f.pair AND c.outcome = 'done' AND c.done_at >= f.booked_at)
      AND NOT EXISTS (SELECT 1 FROM ledger.log_row r
                      WHERE r.exec_id = f.exec_id AND r.category = f.category AND r.is_seen)"""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing asked for; ``kind`` is adopt or ignore."""

    id: int
    kind: str
    pair: str
    reason: str


async def insert_command(
    connection: Connection, kind: str, pair: str, reason: str, asked_by: str, now: datetime
) -> int:
    """Ask for something and return the id to ask after."""
    asked: int = await connection.fetchval(INSERT_COMMAND, kind, pair, reason, asked_by, now)
    return asked


async def read_commands(connection: Connection) -> Sequence[Command]:
    """Return what was asked for and not done yet, oldest first."""
    return [Command(**dict(row)) for row in await connection.fetch(READ_COMMANDS)]


async def finish_command(connection: Connection, command: int, outcome: str, now: datetime) -> None:
    """Say what came of it: ``done``, or why not."""
    await connection.execute(FINISH_COMMAND, command, now, outcome)


async def read_outcome(connection: Connection, command: int) -> str | None:
    """Return what came of a command; None while it is not done."""
    outcome: str | None = await connection.fetchval(READ_OUTCOME, command)
    return outcome


async def read_foreign_pairs(connection: Connection) -> set[str]:
    """Return the pairs in which somebody else has traded since the last command about them."""
    return {row["pair"] for row in await connection.fetch(READ_FOREIGN_PAIRS)}
