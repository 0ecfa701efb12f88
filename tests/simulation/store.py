"""A real PostgreSQL, asked between two virtual instants, with the failures of a connection.

A transaction takes no virtual time: the wait lies before BEGIN and after COMMIT. Statements run on
a private loop of their own, so that the code under test and its driver are as in production.
"""

import asyncio
import contextlib
import re
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

from shared.store.pool import WritePool
from tests.simulation.clock import wall
from tests.simulation.loop import Process
from tests.simulation.world import World

TIME_SCHEMA: Final = """
    CREATE SCHEMA IF NOT EXISTS sim;
    GRANT USAGE ON SCHEMA sim TO PUBLIC;
    CREATE OR REPLACE FUNCTION sim.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        AS $$ SELECT current_setting('sim.now')::timestamptz $$;
    CREATE OR REPLACE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql STABLE
        AS $$ SELECT current_setting('sim.now')::timestamptz $$"""
"""The database's own clock, in virtual time: found before the built-in one by the search path."""

BEGIN: Final = "BEGIN; SET LOCAL sim.now = '{}'"
SET_NOW: Final = "SELECT set_config('sim.now', $1, false)"
SETTINGS: Final = {
    "search_path": "sim, pg_catalog",
    "timezone": "UTC",
    "synchronous_commit": "off",
    "lock_timeout": "100",
    "statement_timeout": "10000",
    "jit": "off",
}
TABLES: Final = """
    SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_catalog.pg_tables
    WHERE schemaname IN ('market', 'strategy', 'execution', 'ledger', 'research', 'ops')
      AND (schemaname, tablename) NOT IN (('execution', 'transition'), ('execution', 'gate'))
    ORDER BY 1"""
RESTART: Final = "SELECT setval(oid, 1, false) FROM pg_catalog.pg_class WHERE relkind = 'S'"
WRITES: Final = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+\.\w+)")
READS: Final = re.compile(r"(?:FROM|JOIN) (\w+\.\w+)")
CLAIMED: Final = "INSERT INTO execution.attempt"
READS_TIME: Final = re.compile(r"\b(?:clock_timestamp|now)\(\)")
CLEAN_EVERY: Final = 40


class Store:
    """One database and its connections by role; lent to one run after another."""

    def __init__(self, owner_dsn: str, dsns: Mapping[str, str]) -> None:
        self._real = asyncio.new_event_loop()
        self._dsns = dsns
        self._idle: dict[str, list[Any]] = {}
        self.owner = self.run_task(asyncpg.connect(owner_dsn))
        self.run(self.owner.execute(TIME_SCHEMA))
        self.run(self.owner.execute("SET session_replication_role = replica"))
        names = [row["name"] for row in self.run(self.owner.fetch(TABLES))]
        self._empty = ";".join([*(f"DELETE FROM {name}" for name in names), RESTART])
        self._clean = "VACUUM " + ",".join(names)
        self._runs = 0
        self._written: dict[str, int] = {}
        self._answers: dict[Any, tuple[list[int], Any]] = {}
        self._changes = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what ``work`` gives, with no virtual time passing.

        It is stepped without a task: that takes a third of the time of ``run_until_complete``.
        """
        virtual = asyncio._get_running_loop()
        asyncio._set_running_loop(self._real)
        try:
            while True:
                awaited = work.send(None)
                while awaited is not None and not awaited.done():
                    self._real._run_once()  # type: ignore[attr-defined]
        except StopIteration as ended:
            return ended.value
        finally:
            asyncio._set_running_loop(virtual)

    def run_task(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what ``work`` gives that needs a task of its own, as time-outs do."""
        virtual = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._real.run_until_complete(work)
        finally:
            asyncio._set_running_loop(virtual)

    def fetch(self, query: str, *values: object) -> list[Any]:
        """Return rows as the owner sees them; for checks."""
        rows: list[Any] = self.run(self.owner.fetch(query, *values))
        return rows

    def execute(self, query: str, *values: object) -> None:
        """Do something as the owner."""
        self.run(self.owner.execute(query, *values))
        self.wrote(parsed(query).writes)

    def act(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something as the owner that may write any table."""
        self.run(work)
        self._answers.clear()

    def wrote(self, tables: Sequence[str]) -> None:
        """Remember that these tables may have changed."""
        self._changes += 1
        for table in tables:
            self._written[table] = self._changes

    def remembered(self, tables: Sequence[str], key: Any, ask: Callable[[], Any]) -> Any:
        """Return what ``ask`` does, unasked when no table it reads was written since last time.

        Most of what a service asks is whether there is news; this halves the time of a run.
        """
        versions = [self._written.get(table, 0) for table in tables]
        known = self._answers.get(key)
        if known is None or known[0] != versions:
            known = self._answers[key] = (versions, ask())
        return known[1]

    def empty(self) -> None:
        """Make the database as if nothing had ever happened."""
        self.execute(self._empty)
        self._answers.clear()
        self._runs += 1
        if self._runs % CLEAN_EVERY == 0:
            self.execute(self._clean)

    def lend(self, role: str) -> Any:
        """Return an idle connection of a role, a new one when there is none."""
        idle = self._idle.setdefault(role, [])
        if idle:
            return idle.pop()
        return self.run_task(asyncpg.connect(self._dsns[role], server_settings=SETTINGS))

    def give_back(self, role: str, connection: Any) -> None:
        """Take a connection back, its transaction rolled back."""
        if connection.is_in_transaction():
            self.run(connection.execute("ROLLBACK"))
        self._idle[role].append(connection)

    def close(self) -> None:
        """End every connection."""
        for connection in [self.owner, *(c for idle in self._idle.values() for c in idle)]:
            with contextlib.suppress(OSError, asyncpg.InterfaceError):
                self.run_task(connection.close())
        self._real.close()


class Outages:
    """Until when the store answers nobody."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.until = 0.0

    @property
    def is_down(self) -> bool:
        """Whether it is away now."""
        return self._world.loop.time() < self.until


class SimPool(WritePool):
    """A process's pool: lends connections that fail as the run's faults say."""

    def __init__(
        self, world: World, process: Process, store: Store, role: str, outages: Outages
    ) -> None:
        super().__init__(None)
        self.world = world
        self.process = process
        self.store = store
        self.role = role
        self._outages = outages
        self._lent: list[SimConnection] = []
        dice = world.dice(f"store of {process.name}")
        self._latency = dice.pick((0.0005, 0.001, 0.003, 0.02))
        self._dice = dice
        process.on_death.append(self._abandon)

    def acquire(self) -> Any:
        """Lend a connection for the time of a block."""
        return self._lend()

    @contextlib.asynccontextmanager
    async def _lend(self) -> Any:
        if self.process.is_dead:
            raise asyncio.CancelledError
        connection = SimConnection(self)
        self._lent.append(connection)
        try:
            yield connection
        finally:
            if connection in self._lent:
                self._lent.remove(connection)
                connection.release()

    async def enter(self) -> None:
        """Reach the server."""
        await self.world.passing(self.process, "store before")
        await asyncio.sleep(self._latency * self._dice.between(0.5, 2.0))
        if self.process.is_dead:
            raise asyncio.CancelledError
        if self._outages.is_down or self.world.strikes("store_refused", self.process):
            raise ConnectionRefusedError("the store is away")

    async def leave(self, tables: tuple[str, ...]) -> None:
        """Hear that it is done, or do not; ``tables`` are those written."""
        what = " ".join(tables)
        if tables:
            self.world.tally[f"commit {what}"] += 1
            self.world.note(self.process, f"commit {what}")
            self.world.on_commit(self.process, tables)
        if self.world.strikes("commit_reply_lost", self.process):
            raise lost("the reply to the commit")
        if tables and self.world.strikes("stop_at_commit", self.process):
            self.process.stop(signal.SIGTERM)
        await self.world.passing(self.process, f"after {what}" if tables else "after read")
        await asyncio.sleep(self._latency * self._dice.between(0.5, 2.0))

    def _abandon(self) -> None:
        lent, self._lent = self._lent, []
        for connection in lent:
            connection.release()


class SimConnection:
    """Speaks as an asyncpg connection does."""

    def __init__(self, pool: SimPool) -> None:
        self.pool = pool
        self.depth = 0
        self.written: dict[str, None] = {}
        self._real: Any = pool.store.lend(pool.role)

    async def execute(self, query: str, *values: object, **options: Any) -> Any:
        """As asyncpg's."""
        return await self._ask("execute", query, values, options)

    async def fetch(self, query: str, *values: object, **options: Any) -> Any:
        """As asyncpg's."""
        return await self._ask("fetch", query, values, options)

    async def fetchrow(self, query: str, *values: object, **options: Any) -> Any:
        """As asyncpg's."""
        return await self._ask("fetchrow", query, values, options)

    async def fetchval(self, query: str, *values: object, **options: Any) -> Any:
        """As asyncpg's."""
        return await self._ask("fetchval", query, values, options)

    async def executemany(self, query: str, values: Any, **options: Any) -> Any:
        """As asyncpg's."""
        return await self._ask("executemany", query, (list(values),), options)

    async def copy_records_to_table(
        self, table: str, *, schema_name: str, records: Any, **options: Any
    ) -> Any:
        """As asyncpg's, inside a transaction."""
        if self._real is None:
            raise asyncpg.InterfaceError("the connection is closed")
        copied = self._real.copy_records_to_table(
            table, schema_name=schema_name, records=records, **options
        )
        done = self.pool.store.run_task(copied)
        written = (f"{schema_name}.{table}",)
        self.pool.store.wrote(written)
        self.written |= dict.fromkeys(written)
        return done

    def transaction(self, **_options: Any) -> "SimTransaction":
        """As asyncpg's."""
        return SimTransaction(self)

    async def add_listener(self, _channel: str, _callback: Any) -> None:
        """As asyncpg's, but the doorbell never rings: what listens looks each second as well."""

    async def remove_listener(self, _channel: str, _callback: Any) -> None:
        """As asyncpg's."""

    def add_termination_listener(self, _callback: Any) -> None:
        """As asyncpg's."""

    def remove_termination_listener(self, _callback: Any) -> None:
        """As asyncpg's."""

    def release(self) -> None:
        """Go back to the store."""
        if self._real is not None:
            self.pool.store.give_back(self.pool.role, self._real)
            self._real = None

    def do(self, method: str, *values: Any, **options: Any) -> Any:
        """Call the real connection and wait for it in no virtual time."""
        if self.pool.process.is_dead:
            raise asyncio.CancelledError
        if self._real is None:
            raise asyncpg.InterfaceError("the connection is closed")
        return self.pool.store.run(getattr(self._real, method)(*values, **options))

    def begin(self) -> None:
        """Open a transaction, or a savepoint in one."""
        now = wall(self.pool.world.loop).isoformat()
        self.do("execute", f"SAVEPOINT s{self.depth}" if self.depth else BEGIN.format(now))
        self.depth += 1

    def is_closed(self) -> bool:
        """Whether it was lost or given back."""
        return self._real is None

    def drop(self) -> None:
        """Lose the connection and what was not committed."""
        self.release()

    async def _ask(
        self, method: str, query: str, values: tuple[object, ...], options: Mapping[str, Any]
    ) -> Any:
        if not self.depth:
            await self.pool.enter()
        elif self.pool.world.strikes("store_dropped", self.pool.process):
            self.drop()
            raise lost("the connection")
        said = parsed(query)
        if CLAIMED in query and self.pool.world.strikes("killed_at_claim", self.pool.process):
            self.pool.world.press_kill(1)
        if said.reads_time and not self.depth:
            self.do("execute", SET_NOW, wall(self.pool.world.loop).isoformat())

        def ask() -> Any:
            return self.do(method, query, *values, **options)

        if said.is_lookup and not self.depth:
            key = (method, query, repr(values))
            answer = self.pool.store.remembered(said.reads, key, ask)
        else:
            answer = ask()
        self.pool.store.wrote(said.writes)
        if self.depth:
            self.written |= dict.fromkeys(said.writes)
        else:
            is_refused = CLAIMED in query and not answer["made"]  # which writes nothing
            await self.pool.leave(() if is_refused else said.writes)
        return answer


class SimTransaction:
    """Commits on a clean exit, with what may happen to a commit."""

    def __init__(self, connection: SimConnection) -> None:
        self._connection = connection

    async def __aenter__(self) -> Self:
        connection = self._connection
        if not connection.depth:
            await connection.pool.enter()
            connection.written = {}
        connection.begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection = self._connection
        connection.depth -= 1
        if kind is not None:
            if not connection.is_closed():
                depth = connection.depth
                connection.do("execute", f"ROLLBACK TO s{depth}" if depth else "ROLLBACK")
            return
        if connection.depth:
            connection.do("execute", f"RELEASE s{connection.depth}")
            return
        pool, written = connection.pool, tuple(connection.written)
        point = f"before {' '.join(written)}"
        await pool.world.passing(pool.process, point, freezes=False)  # it would hold its locks
        if pool.world.strikes("commit_rolled_back", pool.process):
            connection.drop()
            raise lost("the connection before the commit")
        connection.do("execute", "COMMIT")
        await pool.leave(written)


def lost(what: str) -> asyncpg.PostgresConnectionError:
    """Return what the driver says of a connection that went away."""
    return asyncpg.ConnectionDoesNotExistError(f"{what} was lost")


@dataclass(frozen=True, slots=True)
class Said:
    """What a statement does, from its words: tables written and read, and whether it needs time."""

    writes: tuple[str, ...]
    reads: tuple[str, ...]
    reads_time: bool

    @property
    def is_lookup(self) -> bool:
        """Whether the answer follows from the tables alone."""
        return bool(self.reads) and not self.writes and not self.reads_time


@lru_cache(maxsize=1000)
def parsed(query: str) -> Said:
    """Return what a statement does."""
    writes, reads = (tuple(dict.fromkeys(what.findall(query))) for what in (WRITES, READS))
    return Said(writes, reads, READS_TIME.search(query) is not None)
