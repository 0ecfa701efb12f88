"""The watchdog's process: the executor's own parts in safe mode, under the same lease."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from redis.asyncio import Redis

from services.executor.assembly import Loop, Parts, assemble
from services.executor.kill import is_tradable
from services.executor.main import (
    BEAT_SECONDS,
    POOL_MAX,
    Feed,
    history_start,
    market_of,
    open_gateway,
    owner_of,
    pace_of,
    read_epoch,
    rules_of,
)
from services.executor.margin import MarginLine
from services.executor.metrics import ExecutorMetrics
from services.executor.watchdog import Watchdog
from shared.bus.outbox import Relay
from shared.bus.reach import unreachable
from shared.bus.redis import open_redis
from shared.bus.streams import EXECUTION_EVENTS
from shared.config.settings import Settings
from shared.exchange.ports import TradingGateway
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import run_until_stopped
from shared.store.heartbeat import beat
from shared.store.pool import UNAVAILABLE as STORE_UNAVAILABLE
from shared.store.pool import WritePool, open_pool
from shared.telemetry.health import HealthServer
from shared.telemetry.logging import configure_logging

SERVICE: Final = "watchdog"
QUIET_SECONDS: Final = 1.0

log = structlog.get_logger()


class Quiet(Exception):
    """Everything that stood alone is gone."""


async def run(settings: Settings) -> None:
    """Watch the executor's lease and act for it while it is silent, until told to stop."""
    configure_logging(SERVICE, level=settings.log_level, secrets=settings.secrets)
    clock = SystemClock()
    metrics = ExecutorMetrics()
    async with (
        open_pool(settings.database.dsn, application=SERVICE, max_size=POOL_MAX) as pool,
        open_redis(settings.redis.url) as redis,
        open_gateway(settings, clock, metrics) as gateway,
    ):
        standby = Standby(settings, pool, redis, gateway, clock, metrics)

        async def missing() -> Sequence[str]:
            return await unreachable(pool, redis)

        async with HealthServer(
            metrics.registry, host=settings.http.host, port=settings.http.port, ready=missing
        ):
            await standby.prepare()
            lease_seconds = pace_of(settings).lease_seconds
            watchdog = Watchdog(pool, gateway, clock, standby.take_over, lease_seconds)
            await run_until_stopped(watchdog.run, standby.beat)


class Standby:
    """What takes over: assembled anew each time, and gone when nothing is left to do."""

    def __init__(
        self,
        settings: Settings,
        pool: WritePool,
        redis: Redis,
        gateway: TradingGateway,
        clock: Clock,
        metrics: ExecutorMetrics,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._redis = redis
        self._gateway = gateway
        self._clock = clock
        self._metrics = metrics
        self._epoch = 0
        self._doing = "watching"

    async def prepare(self) -> None:
        """Check schema and durability, and learn the installation's epoch."""
        self._epoch = await read_epoch(self._pool, self._settings, self._clock)

    async def beat(self) -> None:
        """Store a heartbeat each second: only while it comes may an order rest (R:O17)."""
        while True:
            try:
                await beat(self._pool, SERVICE, True, self._doing, None, self._clock.now())
            except STORE_UNAVAILABLE as error:
                log.warning("heartbeat_not_stored", detail=str(error))
            await self._clock.sleep(BEAT_SECONDS)

    async def take_over(self) -> None:
        """Take the lease if it is free, remove what stands alone, and give the lease back."""
        relay = Relay(self._pool, self._redis, self._epoch, (EXECUTION_EVENTS,), self._clock)
        market = await market_of(self._pool, self._settings, self._clock)
        rules = rules_of(self._settings)
        parts = assemble(
            self._gateway,
            pool=self._pool,
            doorbell=relay,
            market=market,
            clock=self._clock,
            metrics=self._metrics,
            rules=rules,
            pace=pace_of(self._settings),
            epoch=self._epoch,
            owner=owner_of(SERVICE),
            history_start=history_start(self._settings, self._clock),
            safe_mode=True,
        )
        if not await parts.lease.try_to_take():
            return
        feed = Feed(self._pool, self._redis, market, parts, self._clock)
        loops = (
            *parts.loops,
            parts.reconciler.start,
            feed.follow_quotes,
            feed.follow_rules,
            relay.run,
        )
        self._doing = "acting for the executor"
        try:
            line = MarginLine(self._gateway, self._pool, rules.execution.margin_line, SERVICE)
            await run_until_quiet(parts, loops, self._clock, line.is_passed)
        finally:
            self._doing = "watching"
            released = await parts.lease.release()
            log.info("watchdog_stepped_back", lease_released=released)


async def run_until_quiet(
    parts: Parts,
    loops: Sequence[Loop],
    clock: Clock,
    flattens: Callable[[], Awaitable[bool]],
) -> None:
    """Run ``loops`` until nothing stands alone and no plan is open; the first failure ends it.

    While ``flattens`` nothing tradable may be held either.
    """

    async def look() -> None:
        await parts.reconciler.armed.wait()
        quiet_since = None
        while quiet_since is None or clock.monotonic() - quiet_since < QUIET_SECONDS:
            desks = parts.executor.desks.values()
            alone = any(not desk.is_hedged for desk in desks)
            if await flattens():
                alone = alone or any(is_tradable(desk) for desk in desks)
            if alone or not parts.executor.is_idle:
                quiet_since = None
            elif quiet_since is None:
                quiet_since = clock.monotonic()
            await clock.sleep(QUIET_SECONDS / 4)
        raise Quiet

    try:
        async with asyncio.TaskGroup() as group:
            for loop in (*loops, look):
                group.create_task(loop())
    except* Quiet:
        log.info("nothing_left_to_do")
