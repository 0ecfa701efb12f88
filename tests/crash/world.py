"""One world: a venue that stands still, a database, a bus, executors; the test says the targets."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from services.carry.demo import closing
from services.carry.demo.children import Child, free_port, wait_until_ready
from shared.bus.messages import PairWanted, QuoteUpdated
from shared.bus.outbox import Relay, enqueue
from shared.bus.quotes import QuotePublisher
from shared.bus.redis import open_redis
from shared.bus.streams import STRATEGY_INTENTS
from shared.domain.errors import Transient
from shared.exchange.bybit.rest import Credentials, RestClient
from shared.runtime.clock import SystemClock
from shared.runtime.crash import EXIT_CODE
from shared.store.heartbeat import beat
from shared.store.pool import UNAVAILABLE, WritePool, open_pool
from shared.store.quotes import QuoteRow, read_latest_quotes, write_quotes
from tests.crash.ground import READY_SECONDS, SEEDED, Ground, number_of

QUOTE_SECONDS = 0.5
QUIET_SECONDS = 45
LOOK_SECONDS = 0.1

READ_OPEN = """
    SELECT (SELECT count(*) FROM execution.plan WHERE finished_at IS NULL)
         + (SELECT count(*) FROM execution.attempt
            WHERE state NOT IN ('filled', 'cancelled', 'rejected', 'absent'))"""


class World:
    """Everything of one case; ``want`` is the strategy, ``_quote`` the collector."""

    def __init__(
        self, ground: Ground, folder: Path, database: str, simulator: Child, environment: Any
    ) -> None:
        self.ground = ground
        self.folder = folder
        self.simulator = simulator
        self.database = database
        self.environment: dict[str, str] = environment
        self.children: list[Child] = []
        self.wanted: list[PairWanted] = []
        self.pool: WritePool
        self.redis: Redis
        self.client: httpx.AsyncClient
        self._relay: Relay
        self._quotes: list[QuoteRow] = []
        self._at = datetime(2023, 11, 11, tzinfo=UTC)
        self._tasks: list[asyncio.Task[None]] = []

    # The processes

    async def executor(
        self, crash_at: str = "", *, name: str = "executor", safe: bool = False
    ) -> Child:
        """Start an executor that is to end itself at ``crash_at``; nobody starts it again."""
        crash = {"CARRY_CRASH_AT": crash_at} if crash_at else {}
        arguments = ("executor", "--safe-mode") if safe else ("executor",)
        child = self.ground.child(name, {**self.environment, **crash}, self.folder, *arguments)
        self.children.append(child)
        await child.start()
        return child

    def supervise(self, child: Child) -> None:
        """Start a process again whenever it ends, as its supervisor would."""
        self._tasks.append(asyncio.create_task(child.supervise()))

    async def restarted(self, name: str = "executor") -> Child:
        """Start an executor that lives on, and is started again should it end."""
        child = await self.executor(name=name)
        self.supervise(child)
        return child

    async def ready(self, child: Child) -> None:
        await wait_until_ready([child], self.client, READY_SECONDS)

    async def died(self, child: Child, seconds: float = 30) -> None:
        """Wait until a process ended itself at its point, and nowhere else."""
        assert child.process is not None
        try:
            code = await asyncio.wait_for(child.process.wait(), seconds)
        except TimeoutError:
            raise AssertionError(f"the point was not reached within {seconds} s") from None
        assert code == EXIT_CODE, f"ended with {code}, not at its point"

    # What it is told

    async def want(self, quantity: str, pair: str = "BTCUSDT") -> None:
        """Say a target through the outbox, as the strategy does, at the next venue minute."""
        self._at += timedelta(minutes=1)
        number = len(self.wanted) + 1
        message = PairWanted(
            intent_id=f"intent-{number}",
            decision_id="",
            correlation_id=f"correlation-{number}",
            pair=pair,
            quantity=Decimal(quantity),
            reason="worth_opening",
            decided_at=self._at,
        )
        self.wanted.append(message)
        while not await self._said(message):  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(LOOK_SECONDS)
        self._relay.notify()

    async def _said(self, message: PairWanted) -> bool:
        """Commit an intent; said twice it is still one plan, so what is in doubt is said again."""
        try:
            async with self.pool.acquire() as connection, connection.transaction():
                await enqueue(connection, STRATEGY_INTENTS, [message])
        except UNAVAILABLE:
            return False
        return True

    async def trade(self, category: str, symbol: str, side: str, quantity: str) -> None:
        """Trade by hand on the account, as a person would beside us."""
        credentials = Credentials(self.ground.keys.api_key, self.ground.keys.api_secret)
        rest = RestClient(self.simulator.url, credentials, clock=SystemClock())
        try:
            await rest.write(
                "place_order",
                {
                    "category": category,
                    "symbol": symbol,
                    "side": side,
                    "orderType": "Market",
                    "qty": quantity,
                },
            )
        finally:
            await rest.close()

    def keep_watch(self) -> None:
        """Give a watchdog's sign of life each second: without one nothing may rest."""

        async def live() -> None:
            while True:
                await beat(self.pool, "watchdog", True, "", None, datetime.now(UTC))
                await asyncio.sleep(1)

        self._tasks.append(asyncio.create_task(live()))

    async def execute(self, statement: str, *values: object) -> None:
        async with self.pool.acquire() as connection:
            await connection.execute(statement, *values)

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        async with self.pool.acquire() as connection:
            return [dict(row) for row in await connection.fetch(query, *values)]

    # What became of it

    async def venue(self) -> dict[str, Any]:
        """Return the simulator's own books."""
        answer = await self.client.get(f"{self.simulator.url}/sim/state")
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def venue_rows(self, kind: str) -> list[dict[str, Any]]:
        """Return the venue's orders or executions as its file has them, oldest first."""
        path = self.folder / "simulator.sqlite"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            query = "SELECT body FROM record WHERE kind = ? ORDER BY place"
            found = [json.loads(body) for (body,) in connection.execute(query, (kind,))]
        connection.close()
        return found

    async def worked(self, count: int, *, unless: Child | None = None) -> None:
        """Wait until ``count`` plans have ended, or the process ``unless`` has."""
        async with asyncio.timeout(QUIET_SECONDS):
            while True:
                if unless is not None and unless.process is not None and unless.process.returncode:
                    return
                ended = await self.rows(
                    "SELECT 1 FROM execution.plan WHERE finished_at IS NOT NULL"
                )
                if len(ended) >= count:
                    return
                await asyncio.sleep(LOOK_SECONDS)

    async def quiet(self, seconds: float = QUIET_SECONDS) -> None:
        """Wait until nothing is open, everything is booked, relayed and hedged."""
        deadline = asyncio.get_running_loop().time() + seconds
        why = "nobody looked"
        calm = 0
        while calm < 3:
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not quiet after {seconds} s: {why}")
            await asyncio.sleep(LOOK_SECONDS)
            try:
                why = await self._unrest()
            except (httpx.TransportError, Transient, *UNAVAILABLE) as error:
                why = str(error)
            calm = 0 if why else calm + 1

    async def _unrest(self) -> str:
        state = await self.venue()
        async with self.pool.acquire() as connection:
            open_ = await connection.fetchval(READ_OPEN)
            plans = await connection.fetchval(
                "SELECT count(*) FROM execution.plan WHERE intent_id LIKE 'intent-%'"
            )
            booked = await connection.fetchval(closing.READ_BOOKED)
            report = await closing.compare(self.pool, state)
        if plans != len(self.wanted):
            return f"{plans} plans of {len(self.wanted)} intents"
        if open_:
            return f"{open_} plans or orders are open"
        log = state["counts"]["log"] - len(state["deposits"])
        if booked != log:
            return f"{booked} of {log} log rows are booked"
        if behind := await self.behind():
            return f"not relayed: {behind}"
        return "; ".join(report.failures(undisturbed=False))

    async def behind(self) -> dict[str, tuple[int, int]]:
        """Return the streams of which Redis lacks something: what it has and what there is."""
        found = {}
        for row in await self.rows("SELECT stream, last FROM ops.outbox_sequence"):
            try:
                info = await self.redis.xinfo_stream(row["stream"])
                held = int(info["last-generated-id"].split(b"-")[1])
            except Exception:  # no stream, no Redis: nothing is held
                held = 0
            if held != row["last"] and row["stream"] in (STRATEGY_INTENTS, "execution.events"):
                found[row["stream"]] = (held, row["last"])
        return found

    # The collector's part

    async def _open(self) -> None:
        async with self.pool.acquire() as connection:
            self._quotes = await read_latest_quotes(connection)
            epoch = await connection.fetchval("SELECT epoch FROM ops.installation")
        self._at = max(quote.venue_at for quote in self._quotes)
        clock = SystemClock()
        self._relay = Relay(self.pool, self.redis, epoch, (STRATEGY_INTENTS,), clock)
        self._tasks += [
            asyncio.create_task(self._relay.run()),
            asyncio.create_task(self._quote(QuotePublisher(self.redis))),
        ]

    async def _quote(self, publisher: QuotePublisher) -> None:
        """Repeat the standing books at the newest venue minute, on the bus and in the store."""
        while True:
            now = datetime.now(UTC)
            rows = [replace(q, venue_at=self._at, received_at=now) for q in self._quotes]
            await publisher.publish([QuoteUpdated(**asdict(row)) for row in rows])
            with suppress(*UNAVAILABLE):
                async with self.pool.acquire() as connection, connection.transaction():
                    await write_quotes(connection, rows)
            await asyncio.sleep(QUOTE_SECONDS)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self.children))

    def last_words(self) -> str:
        return "\n".join(
            f"-- {child.name}\n{child.last_words(40)}"
            for child in {c.name: c for c in self.children}.values()
        )


@asynccontextmanager
async def open_world(
    ground: Ground,
    *,
    faults: str = "",
    policy: str = "",
    patience: str = "1",
    template: str = SEEDED,
    redis_url: str = "",
    arguments: Sequence[str] = (),
) -> AsyncIterator[World]:
    """Build a world, and take it down again; what fails within tells the ends of the logs."""
    async with ground.database(template) as database:
        folder = ground.folder / database
        folder.mkdir()
        port = free_port()
        environment = ground.environment(
            folder, port, database, redis_url or ground.redis_url(number_of(database))
        )
        if patience:
            environment["CARRY_PATIENCE_SECONDS"] = patience
        if policy:
            (folder / "policy.toml").write_text(policy)
            environment["CARRY_POLICY_FILE"] = str(folder / "policy.toml")
        told = list(arguments)
        if faults:
            (folder / "faults.yaml").write_text(faults)
            told += ["--faults", str(folder / "faults.yaml")]
        simulator = ground.child("simulator", environment, folder, "simulator", *told, port=port)
        world = World(ground, folder, database, simulator, environment)
        await simulator.start()
        try:
            async with (
                open_pool(ground.owner_dsn(database), application="test") as world.pool,
                open_redis(environment["CARRY_REDIS_URL"]) as world.redis,
                httpx.AsyncClient(timeout=5) as world.client,
            ):
                await world.redis.flushdb()
                await world.ready(simulator)
                if template == SEEDED:
                    await world._open()
                try:
                    yield world
                except Exception as error:
                    error.add_note(world.last_words())
                    raise
                finally:
                    await world.close()
        finally:
            await simulator.stop()
