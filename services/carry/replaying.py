"""``carry replay``: fetch a journaled decision and decide it again."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from rich.console import Console

from services.carry.demo.supervisor import DEMO, READER, SERVERS, read_secrets
from services.carry.embedded import EmbeddedServers
from services.strategy.replay import replay
from shared.domain.errors import Misconfigured
from shared.store.decisions import read_decision
from shared.store.migrate import role_dsn

LAST = "last"
READ_LAST = "SELECT id FROM strategy.decision ORDER BY decided_at DESC, id DESC LIMIT 1"

console = Console(highlight=False, soft_wrap=True)


async def replay_decision(decision_id: str, dsn: str | None, state: Path) -> int:
    """Print whether the decision (``last``: the newest) comes out the same; return 0 if so."""
    async with connected(dsn, state / DEMO) as connection:
        if decision_id == LAST:
            decision_id = await connection.fetchval(READ_LAST) or LAST
        stored = await read_decision(connection, decision_id)
    if stored is None:
        console.print(f"carry replay: there is no decision {decision_id}.", markup=False)
        return 1
    try:
        answer = replay(stored)
    except LookupError as error:
        console.print(f"carry replay: {error}", markup=False)
        return 1
    if answer.difference is not None:
        console.print(f"not equal: {decision_id}: {answer.difference}", markup=False)
        return 1
    said = stored.verdicts
    console.print(
        f"equal: {decision_id} of {stored.decided_at.isoformat()}, policy {stored.policy_hash}: "
        f"{len(said['appraisals'])} pairs appraised, {len(said['intents'])} targets said",
        markup=False,
    )
    return 0


@contextlib.asynccontextmanager
async def connected(
    dsn: str | None, demo: Path, role: str = "carry_reader"
) -> AsyncIterator[asyncpg.Connection]:
    """Lend the stated database, the running demo's, or that of the demo that ended.

    ``role`` is who we are where the demo's secrets are at hand. Raises: Misconfigured.
    """
    if dsn is None and (demo / READER).exists():
        reader = (demo / READER).read_text()
        dsn = role_dsn(reader, role, read_secrets(demo).passwords[role])
    if dsn is not None:
        async with _connection(dsn) as connection:
            yield connection
        return
    if not (demo / SERVERS).exists():
        raise Misconfigured(
            f"No database is named and no demo ran in {demo}: set CARRY_DATABASE_URL, "
            "or run `make demo` first."
        )
    async with EmbeddedServers(demo / SERVERS, keep=True) as servers:
        password = read_secrets(demo).passwords[role]
        async with _connection(servers.dsn(role, password)) as connection:
            yield connection


@contextlib.asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError) as error:
        raise Misconfigured(f"The database does not answer ({type(error).__name__}).") from error
    try:
        yield connection
    finally:
        await connection.close()
