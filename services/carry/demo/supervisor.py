"""``carry demo``: servers, services, one table, one honest line at the end."""

import asyncio
import contextlib
import json
import math
import os
import random
import secrets
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from rich.console import Console
from rich.live import Live

from services.carry.demo import closing, table
from services.carry.demo.children import Child, NotReadyError, free_port, wait_until_ready
from services.carry.embedded import EmbeddedServers
from shared.config.keys import PREFIX
from shared.config.settings import ENV_FILE_KEY
from shared.domain.errors import Misconfigured
from shared.store.migrate import claim_installation, migrate, set_passwords
from shared.store.pool import UNAVAILABLE

SERVICES = ("simulator", "collector", "strategy", "executor", "api", "watchdog")
KILLABLE = (*SERVICES, "postgres", "redis")
COMMANDS = {"watchdog": ("executor", "--safe-mode")}
READY_SECONDS = 60
QUIET_SECONDS = 30
SAY_SECONDS = 15
ACCOUNT = "desk-1"
DEMO = "demo"
SERVERS = "servers"
READER = "reader.dsn"

console = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for; ``seconds`` None runs until Ctrl-C, ``start`` None means the default."""

    seconds: float | None
    keep: bool
    kill: str | None
    seed: int
    port: int
    state: Path
    start: str | None = None


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made anew for each installation and kept in its folder, readable by its owner only."""

    passwords: dict[str, str]
    api_key: str
    api_secret: str
    admin_token: str
    watchdog_key: str
    watchdog_secret: str


async def run_demo(options: DemoOptions) -> int:
    """Run the demo and return its exit code: 0 only when every book agrees to the last digit."""
    if options.kill is not None and options.kill not in KILLABLE:
        raise Misconfigured(f"--kill {options.kill} is not one of {', '.join(KILLABLE)}.")
    if ignored := sorted(name for name in os.environ if name.startswith(PREFIX)):
        console.print(
            f"carry demo has its own settings; not used: {', '.join(ignored)}", markup=False
        )
    folder = options.state / DEMO
    began = time.monotonic()
    try:
        async with EmbeddedServers(folder / SERVERS, keep=True, fresh=not options.keep) as servers:
            if not options.keep:
                _forget(folder)
            (folder / "logs").mkdir(exist_ok=True)
            keys = read_secrets(folder)
            await _prepare(servers.owner_dsn, keys)
            _step("servers and schema", began)
            with _readable(folder, servers.dsn("carry_reader", keys.passwords["carry_reader"])):
                async with _running(options, folder, servers, keys) as demo:
                    return await demo.run(began)
    except NotReadyError as error:
        console.print(f"carry demo: {error}", markup=False)
        return 1


class Demo:
    """One run of everything."""

    def __init__(
        self,
        options: DemoOptions,
        folder: Path,
        servers: EmbeddedServers,
        keys: Secrets,
        children: dict[str, Child],
    ) -> None:
        self._options = options
        self._folder = folder
        self._servers = servers
        self._keys = keys
        self._children = children
        self._watchers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    async def run(self, began: float) -> int:
        """Start the services, show them, stop them, and compare the books."""
        headers = {"Authorization": f"Bearer {self._keys.admin_token}"}
        async with (
            httpx.AsyncClient(timeout=5, headers=headers) as client,
            asyncpg.create_pool(
                self._servers.dsn("carry_reader", self._keys.passwords["carry_reader"]),
                min_size=1,
                max_size=2,
            ) as pool,
        ):
            try:
                self._watch(self._servers.supervise())
                await self._start(client, began)
                for name in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(name, self._stop.set)
                if self._options.kill is not None:
                    self._watch(self._kill_once())
                await self._show(client, pool)
                return await self._close(client, pool)
            finally:
                for watcher in self._watchers:
                    watcher.cancel()
                await asyncio.gather(*self._watchers, return_exceptions=True)

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        self._watchers.append(asyncio.create_task(work))

    async def _start(self, client: httpx.AsyncClient, began: float) -> None:
        simulator = self._children["simulator"]
        for group in ([simulator], [c for c in self._children.values() if c is not simulator]):
            for child in group:
                await child.start()
                self._watch(child.supervise())
            await wait_until_ready(group, client, READY_SECONDS)
        _step("services ready", began)
        (await client.post(f"{simulator.url}/sim/start")).raise_for_status()
        print(f"dashboard: {self._children['api'].url}/", flush=True)  # noqa: T201

    async def _show(self, client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
        """Draw the table each second until it is time, or somebody asks, to stop.

        Where no terminal is, a line now and then says how far it is.
        """
        address = f"{self._children['api'].url}/"
        began = said = time.monotonic()
        deadline = began + (self._options.seconds or math.inf)
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while not self._stop.is_set() and time.monotonic() < deadline:
                for watcher in self._watchers:
                    if watcher.done():
                        watcher.result()
                with contextlib.suppress(httpx.TransportError, *UNAVAILABLE):
                    venue = await self._simulator_state(client)
                    picture = await table.take(pool, int(venue["venue_ms"]))
                    if console.is_terminal:
                        live.update(table.draw(picture, address), refresh=True)
                    elif time.monotonic() - said >= SAY_SECONDS:
                        said = time.monotonic()
                        _step(table.sentence(picture), began)
                left = min(1.0, max(0.0, deadline - time.monotonic()))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), left)

    async def _close(self, client: httpx.AsyncClient, pool: asyncpg.Pool) -> int:
        """Freeze the venue's clock, let plans in flight finish, compare the books, say so."""
        simulator = self._children["simulator"]
        (await client.post(f"{simulator.url}/sim/freeze")).raise_for_status()
        await self._settle_down(client, pool)
        state = await self._simulator_state(client)
        report = await closing.compare(pool, state)
        targets = await closing.read_targets(pool)
        (self._folder / "targets.json").write_text(json.dumps(targets, indent=1) + "\n")
        undisturbed = self._servers.restarts == 0 and not any(
            child.restarts for child in self._children.values()
        )
        failures = report.failures(undisturbed=undisturbed)
        for failure in failures:
            console.print(f"carry demo: {failure}", markup=False)
        print(json.dumps(report.line()), flush=True)  # noqa: T201
        return 1 if failures else 0

    async def _settle_down(self, client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
        deadline = time.monotonic() + QUIET_SECONDS
        quiet = 0
        while time.monotonic() < deadline and quiet < 3:
            await asyncio.sleep(0.2)
            try:
                state = await self._simulator_state(client)
                quiet = quiet + 1 if await closing.is_quiet(pool, state) else 0
            except (httpx.TransportError, *UNAVAILABLE):
                quiet = 0

    async def _simulator_state(self, client: httpx.AsyncClient) -> dict[str, Any]:
        answer = await client.get(f"{self._children['simulator'].url}/sim/state")
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    async def _kill_once(self) -> None:
        """End one service as ``kill -9`` does, at a moment the seed draws."""
        name = str(self._options.kill)
        span = self._options.seconds or 60.0
        await asyncio.sleep(span * random.Random(self._options.seed).uniform(0.05, 0.7))  # noqa: S311
        console.print(f"carry demo: kill -9 {name}", markup=False)
        if name is not None and name in self._servers.pids:
            os.kill(self._servers.pids[name], signal.SIGKILL)
        else:
            self._children[name].kill()


@contextlib.asynccontextmanager
async def _running(
    options: DemoOptions, folder: Path, servers: EmbeddedServers, keys: Secrets
) -> AsyncIterator[Demo]:
    children = _children(options, folder, servers, keys)
    try:
        yield Demo(options, folder, servers, keys, children)
    finally:
        await asyncio.gather(*(c.stop() for n, c in children.items() if n != "simulator"))
        await children["simulator"].stop()


def _children(
    options: DemoOptions, folder: Path, servers: EmbeddedServers, keys: Secrets
) -> dict[str, Child]:
    ports = {name: free_port() for name in SERVICES} | {"api": free_port(options.port)}
    venue = f"127.0.0.1:{ports['simulator']}"
    common = {
        ENV_FILE_KEY: "",  # what stands in .env is for the real platform
        "CARRY_VENUE": "replay",
        "CARRY_ACCOUNT": ACCOUNT,
        "CARRY_REDIS_URL": servers.redis_url,
        "CARRY_VENUE_REST_URL": f"http://{venue}",
        "CARRY_VENUE_WS_URL": f"ws://{venue}",
        "CARRY_STATE_DIR": str(folder),
    }
    if options.start is not None:
        common["CARRY_REPLAY_START"] = options.start
    trading = {"CARRY_API_KEY": keys.api_key, "CARRY_API_SECRET": keys.api_secret}
    watching = {"CARRY_API_KEY": keys.watchdog_key, "CARRY_API_SECRET": keys.watchdog_secret}
    own: dict[str, dict[str, str]] = {
        "simulator": {
            **trading,
            "CARRY_WATCHDOG_API_KEY": keys.watchdog_key,
            "CARRY_WATCHDOG_API_SECRET": keys.watchdog_secret,
            "CARRY_ADMIN_TOKEN": keys.admin_token,
        },
        "executor": trading,
        "watchdog": watching,
    }
    roles = {
        "collector": "carry_collector",
        "strategy": "carry_strategy",
        "executor": "carry_executor",
        "watchdog": "carry_watchdog",
        "api": "carry_reader",
    }
    children = {}
    for name in SERVICES:
        environment = {**common, **own.get(name, {}), "CARRY_HTTP_PORT": str(ports[name])}
        if name in roles:
            role = roles[name]
            environment["CARRY_DATABASE_URL"] = servers.dsn(role, keys.passwords[role])
        children[name] = Child(
            name,
            COMMANDS.get(name, (name,)),
            environment,
            ports[name],
            folder / "logs" / f"{name}.log",
        )
    return children


async def _prepare(owner_dsn: str, keys: Secrets) -> None:
    await migrate(owner_dsn)
    await set_passwords(owner_dsn, keys.passwords)
    connection = await asyncpg.connect(owner_dsn)
    try:
        await claim_installation(connection, "replay", ACCOUNT, datetime.now(UTC))
    finally:
        await connection.close()


def _forget(folder: Path) -> None:
    """Remove what the last run left; the servers, being locked by us, are nobody else's now."""
    for path in folder.iterdir():
        if path.name != SERVERS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def _readable(folder: Path, dsn: str) -> Iterator[None]:
    """Leave word of where the database is, for ``carry replay`` beside the running demo."""
    path = folder / READER
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(dsn)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_secrets(folder: Path) -> Secrets:
    """Return the installation's secrets; those it does not have yet are made."""
    path = folder / "secrets.json"
    roles = (
        "carry_collector",
        "carry_strategy",
        "carry_executor",
        "carry_reader",
        "carry_commander",
        "carry_backtest",
        "carry_watchdog",
    )
    made = Secrets(
        {role: secrets.token_urlsafe(24) for role in roles},
        secrets.token_urlsafe(12),
        secrets.token_urlsafe(32),
        secrets.token_urlsafe(24),
        secrets.token_urlsafe(12),
        secrets.token_urlsafe(32),
    )
    kept = json.loads(path.read_text()) if path.exists() else {}
    path.touch(mode=0o600)
    path.write_text(json.dumps({**asdict(made), **kept}))
    return Secrets(**{**asdict(made), **kept})


def _step(what: str, began: float) -> None:
    print(f"{time.monotonic() - began:6.1f} s  {what}", file=sys.stderr, flush=True)  # noqa: T201
