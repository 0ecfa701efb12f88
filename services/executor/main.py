"""The executor's process: adapters built, the lease taken, loops started."""

import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

import structlog
from redis.asyncio import Redis

from services.executor.assembly import Parts, assemble
from services.executor.market import Freshness, Market
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Pace
from services.executor.worker import Rules
from shared.bus.consumer import Consumer
from shared.bus.messages import QuoteUpdated
from shared.bus.outbox import Relay
from shared.bus.quotes import QuoteReader
from shared.bus.reach import unreachable
from shared.bus.redis import open_redis
from shared.bus.streams import EXECUTION_EVENTS, STRATEGY_INTENTS
from shared.config.settings import Settings
from shared.domain.costs import FeeRates
from shared.domain.instrument import Pair
from shared.exchange.bybit.endpoints import trading_endpoints
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.rest import Credentials
from shared.exchange.clients import gateway_of
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import run_until_stopped
from shared.store.funding import read_recent_settlements
from shared.store.heartbeat import beat
from shared.store.instruments import read_pairs, wait_for_pairs
from shared.store.migrate import check_durability, check_schema, claim_installation
from shared.store.pool import UNAVAILABLE as STORE_UNAVAILABLE
from shared.store.pool import WritePool, open_pool
from shared.store.quotes import QuoteRow, read_latest_quotes
from shared.telemetry.health import HealthServer
from shared.telemetry.logging import configure_logging

SERVICE: Final = "executor"
POOL_MAX: Final = 12
BEAT_SECONDS: Final = 1.0
SETTLEMENTS_KEPT: Final = 3
INSTRUMENTS_EVERY: Final = 60
SILENCE_SECONDS: Final = 1.5
ENVIRONMENTS: Final = {"replay": "r1", "paper": "p1", "demo": "d1", "testnet": "t1", "live": "l1"}
"""Two characters that no two venues share, in front of every client order id."""

LIVE_FRESHNESS: Final = Freshness(timedelta(seconds=3.5), 3.5)
REPLAY_BEHIND: Final = timedelta(hours=2)
REPLAY_SILENT_SECONDS: Final = 10.0

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Wire the executor and run it until it is told to stop; the first loop to fail ends it."""
    configure_logging(SERVICE, level=settings.log_level, secrets=settings.secrets)
    clock = SystemClock()
    metrics = ExecutorMetrics()
    async with (
        open_pool(settings.database.dsn, application=SERVICE, max_size=POOL_MAX) as pool,
        open_redis(settings.redis.url) as redis,
        open_gateway(settings, clock, metrics) as gateway,
    ):
        probe = Probe(pool, redis, clock)
        async with HealthServer(
            metrics.registry,
            host=settings.http.host,
            port=settings.http.port,
            ready=probe.missing,
        ):
            epoch = await read_epoch(pool, settings, clock)
            relay = Relay(pool, redis, epoch, (EXECUTION_EVENTS,), clock)
            market = await market_of(pool, settings, clock)
            parts = assemble(
                gateway,
                pool=pool,
                doorbell=relay,
                market=market,
                clock=clock,
                metrics=metrics,
                rules=rules_of(settings),
                pace=pace_of(settings),
                epoch=epoch,
                owner=owner_of(SERVICE),
                history_start=history_start(settings, clock),
            )
            await parts.lease.take()
            probe.watch(parts, market)
            intents = Consumer(pool, redis, epoch, SERVICE, STRATEGY_INTENTS, clock)
            feed = Feed(pool, redis, market, parts, clock)
            try:
                await run_until_stopped(
                    *parts.loops,
                    parts.reconciler.start,
                    Intake(intents, parts).run,
                    feed.follow_quotes,
                    feed.follow_rules,
                    relay.run,
                    probe.beat,
                )
            finally:
                with contextlib.suppress(*STORE_UNAVAILABLE):
                    released = await parts.lease.release()
                    log.info("executor_stopped", lease_released=released)


@contextlib.asynccontextmanager
async def open_gateway(
    settings: Settings, clock: Clock, metrics: ExecutorMetrics
) -> AsyncIterator[BybitGateway]:
    """Open the trading side of the venue for the time of a block; raises Misconfigured."""
    exchange = settings.exchange
    gateway = gateway_of(
        exchange.client,
        trading_endpoints(settings.venue, exchange.rest_url, exchange.ws_url),
        Credentials(exchange.api_key, exchange.api_secret),
        venue=settings.venue,
        clock=clock,
        draw=random.random,
        on_ban=metrics.alarms.labels(alarm="venue_bans_us").inc,
        receive_window_ms=int(pace_of(settings).receive_window_seconds * 1000),
    )
    try:
        yield gateway
    finally:
        await gateway.close()


class Intake:
    """Takes intents in once the executor is armed."""

    def __init__(self, consumer: Consumer, parts: Parts) -> None:
        self._consumer = consumer
        self._parts = parts

    async def run(self) -> None:
        """Consume, for ever."""
        await self._parts.reconciler.armed.wait()
        executor = self._parts.executor
        await self._consumer.run(executor.handle, executor.committed)


class Feed:
    """Keeps the market current: quotes from the bus, rules and settled rates from the store."""

    def __init__(
        self, pool: WritePool, redis: Redis, market: Market, parts: Parts, clock: Clock
    ) -> None:
        self._pool = pool
        self._reader = QuoteReader(redis, clock)
        self._market = market
        self._parts = parts
        self._clock = clock

    async def follow_quotes(self) -> None:
        """Take in every quote, for ever."""
        async for batch in self._reader.batches():
            self._market.quoted(batch)

    async def follow_rules(self) -> None:
        """Read settled rates each second and the products' rules each minute, for ever.

        While the bus is silent quotes come from the store as well.
        """
        names = sorted(self._market.pairs)
        turn = 0
        while True:
            try:
                async with self._pool.acquire() as connection:
                    recent = await read_recent_settlements(connection, names, SETTLEMENTS_KEPT)
                    if self._market.is_silent(SILENCE_SECONDS):
                        self._overtake(await read_latest_quotes(connection, names))
                    if turn % INSTRUMENTS_EVERY == 0:
                        self._renew(await read_pairs(connection, names))
            except STORE_UNAVAILABLE as error:
                log.warning("rules_not_read", detail=str(error))
            else:
                self._market.settled(s for known in recent.values() for s in known)
            turn += 1
            await self._clock.sleep(1.0)

    def _overtake(self, rows: Sequence[QuoteRow]) -> None:
        newest = self._market.venue_at
        newer = [row for row in rows if newest is None or row.venue_at > newest]
        if newer:
            self._market.quoted([QuoteUpdated(**asdict(row)) for row in newer])

    def _renew(self, pairs: Sequence[Pair]) -> None:
        for pair in pairs:
            if pair != self._market.pairs[pair.name]:
                log.info("rules_changed", pair=pair.name)
                self._market.renew(pair)
                self._parts.executor.desks[pair.name].pair = pair


class Probe:
    """Says whether the executor is fit for work, to probes and once a second to the store."""

    def __init__(self, pool: WritePool, redis: Redis, clock: Clock) -> None:
        self._pool = pool
        self._redis = redis
        self._clock = clock
        self._parts: Parts | None = None
        self._market: Market | None = None

    def watch(self, parts: Parts, market: Market) -> None:
        """Say from now on how ``parts`` are."""
        self._parts, self._market = parts, market

    async def missing(self) -> Sequence[str]:
        """Return why it is not ready, one sentence each."""
        reasons = self._unarmed()
        return [*reasons, *await unreachable(self._pool, self._redis)]

    async def beat(self) -> None:
        """Store a heartbeat each second; a store that is away is waited for."""
        while True:
            reasons = self._unarmed()
            details = [*reasons, *([] if self._parts is None else self._parts.guard.details)]
            venue_at = None if self._market is None else self._market.venue_at
            try:
                await beat(
                    self._pool,
                    SERVICE,
                    not reasons,
                    "; ".join(details),
                    venue_at,
                    self._clock.now(),
                )
            except STORE_UNAVAILABLE as error:
                log.warning("heartbeat_not_stored", detail=str(error))
            await self._clock.sleep(BEAT_SECONDS)

    def _unarmed(self) -> list[str]:
        if self._parts is None:
            return ["the lease is not ours yet"]
        return [] if self._parts.reconciler.armed.is_set() else ["not reconciled yet"]


def owner_of(service: str) -> str:
    """Return the name under which this process holds the lease."""
    return f"{service}:{socket.gethostname()}:{os.getpid()}"


async def read_epoch(pool: WritePool, settings: Settings, clock: Clock) -> int:
    async with pool.acquire() as connection:
        await check_schema(connection)
        await check_durability(connection)
        return await claim_installation(connection, settings.venue, settings.account, clock.now())


async def market_of(pool: WritePool, settings: Settings, clock: Clock) -> Market:
    """Return the market once the collector has proven the pairs, with the newest quotes known."""
    pairs = await wait_for_pairs(pool, settings.symbols, clock.sleep)
    async with pool.acquire() as connection:
        latest = await read_latest_quotes(connection, [pair.name for pair in pairs])
    market = Market(pairs, clock, _freshness(settings))
    market.quoted([QuoteUpdated(**asdict(row)) for row in latest])
    return market


def _freshness(settings: Settings) -> Freshness:
    """Return how old a book may be: in replay two bars, at the speed they come."""
    if settings.venue != "replay":
        return LIVE_FRESHNESS
    bars = REPLAY_BEHIND.total_seconds() / settings.replay.speed
    return Freshness(REPLAY_BEHIND, max(REPLAY_SILENT_SECONDS, bars))


def rules_of(settings: Settings) -> Rules:
    policy = settings.policy
    fees = FeeRates(policy.carry.spot_taker_fee, policy.carry.perp_taker_fee)
    return Rules(policy.limits, policy.execution, fees, ENVIRONMENTS[settings.venue])


def pace_of(settings: Settings) -> Pace:
    """Return how long is waited for what: as a real venue asks, or as a test on ours does."""
    patience = settings.patience_seconds
    if patience is None:
        return Pace()
    return Pace(lease_seconds=patience, receive_window_seconds=patience, read_lag_seconds=patience)


def history_start(settings: Settings, clock: Clock) -> datetime:
    """Return from where a new installation reads the account's past, venue time."""
    began = settings.replay.start if settings.venue == "replay" else clock.now()
    return began - timedelta(days=1)
