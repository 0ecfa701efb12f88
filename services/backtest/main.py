"""The back-test worker's process: queued runs, each in a process of its own."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.backtest.follow import Follower
from services.backtest.forecaster import Forecaster
from services.backtest.worker import Worker
from shared.config.settings import Settings
from shared.domain.errors import Misconfigured
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import run_until_stopped
from shared.store.heartbeat import beat
from shared.store.migrate import check_schema
from shared.store.pool import UNAVAILABLE, WritePool, open_pool
from shared.telemetry.health import HealthServer
from shared.telemetry.logging import configure_logging
from shared.telemetry.metrics import Metrics

SERVICE: Final = "backtest"
BEAT_SECONDS: Final = 1.0
OPTIONS: Final = ("from", "to", "symbols", "deposit")


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


async def perform(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Run one back-test in a process of its own, so that the loop stays free.

    Raises: Misconfigured with what the run said when it refused its parameters.
    """
    arguments = ["backtest", "run", "--json", "--no-report"]
    for name, value in parameters.items():
        if name not in OPTIONS:
            raise Misconfigured(f"no run has a parameter {name}: choose from {', '.join(OPTIONS)}")
        arguments.append(f"--{name}={value}")
    environment = {name: v for name, v in os.environ.items() if not name.startswith("CARRY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.carry.cli", *arguments,
        env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise Misconfigured((lines or ["the run ended without a word"])[-1])
    figures: dict[str, Any] = json.loads(said)
    return figures


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
