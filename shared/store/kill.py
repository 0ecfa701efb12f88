"""The kill switch: rows that anybody may insert and one function of the database lifts."""

from dataclasses import dataclass
from typing import Final

from asyncpg import Connection

DOORBELL: Final = "execution_kill"
"""The channel on which the database says that a kill was pressed or lifted."""

PRESS: Final = """
    INSERT INTO execution.kill (level, reason, pressed_by, pressed_at, pair)
    VALUES ($1, $2, $3, clock_timestamp(), $4) RETURNING id"""
PRESS_ONCE: Final = """
    INSERT INTO execution.kill (level, reason, pressed_by, pressed_at)
    SELECT $1, $2::text, $3::text, clock_timestamp()
    WHERE NOT EXISTS (
        SELECT 1 FROM execution.kill
        WHERE lifted_at IS NULL AND level >= $1 AND pressed_by = $3
          AND split_part(reason, ':', 1) = split_part($2, ':', 1))
    RETURNING id"""
LIFT: Final = "SELECT execution.lift_kill($1, $2, $3)"
READ_STANDING: Final = """
    SELECT id, level, pair, reason FROM execution.kill WHERE lifted_at IS NULL
    ORDER BY level DESC, id"""
READ_FORBIDDING: Final = "SELECT execution.forbidding($1, $2)"


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill that stands. Levels: 0 pauses ``pair``, 1 forbids new risk, 2 cancels all that
    rests, 3 flattens both legs of every pair, 4 ends the executor but for its safe mode.
    """

    id: int
    level: int
    pair: str | None
    reason: str

    def __str__(self) -> str:
        return f"kill {self.id} of level {self.level}: {self.reason}"


async def press_kill(
    connection: Connection, level: int, reason: str, by: str, pair: str | None = None
) -> int:
    """Press the kill switch and return the row's id; it stands until somebody lifts it."""
    kill_id: int = await connection.fetchval(PRESS, level, reason, by, pair)
    return kill_id


async def press_kill_once(connection: Connection, level: int, reason: str, by: str) -> int | None:
    """Press it unless ``by`` has one standing for the same cause: ``reason`` up to its colon."""
    kill_id: int | None = await connection.fetchval(PRESS_ONCE, level, reason, by)
    return kill_id


async def lift_kill(connection: Connection, kill_id: int, by: str, reason: str) -> None:
    """Lift one kill.

    Raises: asyncpg.PostgresError, whose text is one sentence, when it does not stand or when the
    executor does not say that books and positions agree with the venue's.
    """
    await connection.execute(LIFT, kill_id, by, reason)


async def read_standing_kills(connection: Connection) -> list[Kill]:
    """Return the kills that stand, the highest level first."""
    return [Kill(**dict(row)) for row in await connection.fetch(READ_STANDING)]


async def read_forbidding(connection: Connection, level: int, pair: str) -> str | None:
    """Return which kill forbids ``pair`` what ``level`` and above forbid; None when none does."""
    said: str | None = await connection.fetchval(READ_FORBIDDING, level, pair)
    return said
