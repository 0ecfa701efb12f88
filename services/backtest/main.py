"""The back-test worker's process: queued runs, each in a process of its own."""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from services.backtest.follow import Follower
from services.backtest.forecaster import Forecaster
from services.backtest.jobs import KIND, SWEEP, arguments
from services.backtest.worker import Tell, Worker
from shared.config.settings import Settings
from shared.domain.errors import Misconfigured
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import run_until_stopped
from shared.store.heartbeat import beat
from shared.store.migrate import check_schema
from shared.store.pool import UNAVAILABLE, WritePool, open_pool
from shared.store.runs import ClaimedRun, Progress
from shared.telemetry.health import HealthServer
from shared.telemetry.logging import configure_logging
from shared.telemetry.metrics import Metrics

SERVICE: Final = "backtest"
BEAT_SECONDS: Final = 1.0
LINE_MOST: Final = 2**20

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Wire the worker and run it until it is told to stop."""
    configure_logging(SERVICE, level=settings.log_level, secrets=settings.secrets)
    clock = SystemClock()
    async with open_pool(settings.database.dsn, application=SERVICE) as pool:
        probe = Probe(pool, clock)
        async with HealthServer(
            Metrics(SERVICE), host=settings.http.host, port=settings.http.port, ready=probe.missing
        ):
            async with pool.acquire() as connection:
                await check_schema(connection)
            worker = Worker(pool, clock, perform)
            follower, forecaster = Follower(pool, clock), Forecaster(pool, clock)
            await run_until_stopped(worker.run, follower.run, forecaster.run, probe.beat)


async def perform(run: ClaimedRun, tell: Tell) -> Mapping[str, Any]:
    """Do one run in a process of its own, so that the loop stays free.

    A sweep that a signal ended (out of memory) goes on from its chunks, as often as it got further.
    Raises: Misconfigured with what the run said when it refused its parameters, or the signal.
    """
    command = [*arguments(run.kind, run.parameters), f"--claimed={run.id}"]
    place = _place(run.id)
    if run.kind == SWEEP:
        command.append(f"--results={place}")
    while True:
        there = _chunks(place)
        code, said, last = await _child(command, _environment(run), tell)
        if code >= 0 or _chunks(place) == there:
            break
        log.warning("run_killed", run=run.id, signal=-code, chunks=_chunks(place))
    shutil.rmtree(place, ignore_errors=True)  # whoever is stopped before leaves it to go on from
    if code < 0:
        raise Misconfigured(
            f"the run was ended by signal {-code} ({signal.strsignal(-code)}): "
            "give the worker more memory or the run a shorter span, and queue it again"
        )
    if code != 0:
        raise Misconfigured(last or "the run ended without a word")
    figures: dict[str, Any] = json.loads(said)
    return figures


async def _child(
    command: Sequence[str], environment: Mapping[str, str], tell: Tell
) -> tuple[int, bytes, str]:
    """Return a process's exit code (below zero: its signal), what it printed and said last."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.carry.cli", *command,
        env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=LINE_MOST,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said, last = await asyncio.gather(process.stdout.read(), _heard(process.stderr, tell))
        return await process.wait(), said, last
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _heard(stream: asyncio.StreamReader, tell: Tell) -> str:
    """Pass on how far the run is, and return the last thing it said beside that."""
    last = ""
    async for line in stream:
        text = line.decode(errors="replace").strip()
        told = _progress(text)
        if told is not None:
            tell(told)
        elif text:
            last = text
    return last


def _progress(text: str) -> Progress | None:
    try:
        said = json.loads(text)
        return int(said["done"]), int(said["total"])
    except (ValueError, TypeError, KeyError):
        return None


def _environment(run: ClaimedRun) -> dict[str, str]:
    """Return the run's environment, with the database for whoever needs it.

    A search keeps its trials there, and ``store`` reads history from it.
    """
    needed = run.kind != KIND or run.parameters.get("store", False)
    kept = "CARRY_DATABASE" if needed else "CARRY_NONE"
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(kept) or not name.startswith("CARRY_")
    }


def _chunks(place: Path) -> int:
    return len(list(place.glob("chunk-*.parquet")))


def _place(run_id: str) -> Path:
    """Return where the chunks of a sweep go on from: a folder that is ours alone, by run.

    Raises: Misconfigured when somebody else made it.
    """
    own = Path(tempfile.gettempdir()) / f"carry-backtest-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    seen = own.lstat()
    if own.is_symlink() or seen.st_uid != os.getuid() or seen.st_mode & 0o022:
        raise Misconfigured(f"{own} belongs to somebody else: set TMPDIR.")
    return own / hashlib.sha256(run_id.encode()).hexdigest()[:16]


class Probe:
    """Says whether the worker is fit for work, to probes and once a second to the store."""

    def __init__(self, pool: WritePool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def missing(self) -> Sequence[str]:
        """Return why it is not ready, one sentence each."""
        try:
            async with self._pool.acquire() as connection:
                await connection.fetchval("SELECT 1")
        except UNAVAILABLE as error:
            return [f"the store does not answer: {type(error).__name__}"]
        return []

    async def beat(self) -> None:
        """Store a heartbeat each second; a store that is away is waited for."""
        while True:
            with contextlib.suppress(*UNAVAILABLE):
                await beat(self._pool, SERVICE, True, "", None, self._clock.now())
            await self._clock.sleep(BEAT_SECONDS)
