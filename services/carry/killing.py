"""``carry kill`` and ``carry lift``: the kill switch from the host, needing the database alone."""

import contextlib
import getpass
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from rich.console import Console

from services.carry.demo.supervisor import DEMO, READER, read_secrets
from shared.domain.errors import Misconfigured, Transient
from shared.store.kill import lift_kill, press_kill
from shared.store.migrate import role_dsn

ROLE = "carry_commander"
CONNECT_SECONDS = 5.0

console = Console(highlight=False, soft_wrap=True)


async def press(level: int, reason: str, pair: str | None, dsn: str | None, state: Path) -> int:
    """Press the switch and print the kill's id; raises Misconfigured, or Transient without it."""
    if (level == 0) != (pair is not None):
        raise Misconfigured("Level 0 pauses one pair and needs --pair; no other level takes it.")
    async with _connected(dsn, state / DEMO) as connection:
        kill_id = await press_kill(connection, level, reason, _who(), pair)
    console.print(f"kill {kill_id} of level {level} stands: {reason}", markup=False)
    return 0


async def lift(kill_id: int, reason: str, dsn: str | None, state: Path) -> int:
    """Lift one kill; return 1 after printing why when it is refused."""
    async with _connected(dsn, state / DEMO) as connection:
        try:
            await lift_kill(connection, kill_id, _who(), reason)
        except asyncpg.PostgresError as error:
            console.print(f"carry lift: {error}.", markup=False)
            return 1
    console.print(f"kill {kill_id} is lifted: {reason}", markup=False)
    return 0


@contextlib.asynccontextmanager
async def _connected(dsn: str | None, demo: Path) -> AsyncIterator[asyncpg.Connection]:
    """Lend the stated database or the running demo's."""
    if dsn is None:
        if not (demo / READER).exists():
            raise Misconfigured(
                f"No database is named and no demo runs in {demo}: set CARRY_DATABASE_URL."
            )
        dsn = role_dsn((demo / READER).read_text(), ROLE, read_secrets(demo).passwords[ROLE])
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
    except (OSError, asyncpg.PostgresError) as error:
        raise Transient(f"the database does not answer ({type(error).__name__})") from error
    try:
        yield connection
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Misconfigured(f"The database refuses this kill: {error}.") from error
    finally:
        await connection.close()


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
