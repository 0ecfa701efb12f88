"""The collector's process: adapters built, loops started."""

import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import structlog
from redis.asyncio import Redis

from services.collector.bars import BarRecorder
from services.collector.collector import HISTORY, Collector
from services.collector.freshness import behind_max, missing_of
from services.collector.funding import FundingRecorder
from services.collector.instruments import InstrumentRecorder
from services.collector.meters import Meters
from services.collector.pools import PoolWatch
from shared.bus.outbox import Relay
from shared.bus.quotes import QuotePublisher
from shared.bus.reach import unreachable
from shared.bus.redis import open_redis
from shared.bus.streams import MARKET_FUNDING, MARKET_INSTRUMENTS
from shared.config.settings import Settings
from shared.exchange.bybit.endpoints import market_endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.clients import feed_of
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import run_until_stopped
from shared.store.heartbeat import beat
from shared.store.migrate import check_schema, claim_installation
from shared.store.pool import UNAVAILABLE as STORE_UNAVAILABLE
from shared.store.pool import WritePool, open_pool
from shared.telemetry.health import HealthServer
from shared.telemetry.logging import configure_logging
from shared.telemetry.metrics import Metrics

SERVICE: Final = "collector"
STREAMS: Final = (MARKET_FUNDING, MARKET_INSTRUMENTS)
POOL_MAX: Final = 10
BEAT_SECONDS: Final = 1.0

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Wire the collector and run it until it is told to stop; the first loop to fail ends it."""
    configure_logging(SERVICE, level=settings.log_level, secrets=settings.secrets)
    clock = SystemClock()
    async with (
        open_pool(settings.database.dsn, application=SERVICE, max_size=POOL_MAX) as pool,
        open_redis(settings.redis.url) as redis,
        open_feed(settings, clock) as feed,
    ):
        epoch = await _epoch(pool, settings, clock)
        relay = Relay(pool, redis, epoch, STREAMS, clock)
        metrics = Metrics(SERVICE)
        meters = Meters(metrics)
        collector = _collector(settings, pool, redis, feed, relay, meters, clock)
        behind = behind_max(settings.venue)
        probe = Probe(collector, feed, pool, redis, meters, clock, behind)
        async with HealthServer(
            metrics, host=settings.http.host, port=settings.http.port, ready=probe.missing
        ):
            await collector.begin()
            log.info("collector_started", symbols=list(settings.symbols), venue=settings.venue)
            await run_until_stopped(
                collector.record_quotes,
                collector.store_quotes,
                collector.record_instruments,
                collector.record_settlements,
                collector.follow_pools,
                collector.record_bars,
                relay.run,
                probe.beat,
            )


@contextlib.asynccontextmanager
async def open_feed(settings: Settings, clock: Clock) -> AsyncIterator[BybitFeed]:
    """Open the public side of the venue for the time of a block; raises Misconfigured."""
    exchange = settings.exchange
    endpoints = market_endpoints(settings.venue, exchange.rest_url, exchange.ws_url)
    feed = feed_of(exchange.client, endpoints, clock=clock, draw=random.random)
    try:
        yield feed
    finally:
        await feed.close()


class Probe:
    """Says whether the collector is fit for work, to probes and once a second to the store."""

    def __init__(
        self,
        collector: Collector,
        feed: BybitFeed,
        pool: WritePool,
        redis: Redis,
        meters: Meters,
        clock: Clock,
        behind: timedelta,
    ) -> None:
        self._behind = behind
        self._collector = collector
        self._feed = feed
        self._pool = pool
        self._redis = redis
        self._meters = meters
        self._clock = clock

    async def missing(self) -> Sequence[str]:
        """Return why it is not ready, one sentence each."""
        reasons = self._reasons()
        return [*reasons, *await unreachable(self._pool, self._redis)]

    def _reasons(self) -> list[str]:
        return [*self._collector.missing(), *missing_of(self._feed, self._behind)]

    async def beat(self) -> None:
        """Store a heartbeat each second; a store that is away is waited for."""
        while True:
            venue_at = await self._feed.venue_time()
            self._meters.update(self._collector, self._feed.malformed, venue_at)
            reasons = self._reasons()
            try:
                await beat(
                    self._pool,
                    SERVICE,
                    not reasons,
                    "; ".join(reasons),
                    venue_at,
                    self._clock.now(),
                )
            except STORE_UNAVAILABLE as error:
                log.warning("heartbeat_not_stored", detail=str(error))
            await self._clock.sleep(BEAT_SECONDS)


async def _epoch(pool: WritePool, settings: Settings, clock: Clock) -> int:
    async with pool.acquire() as connection:
        await check_schema(connection)
        return await claim_installation(connection, settings.venue, settings.account, clock.now())


def _collector(
    settings: Settings,
    pool: WritePool,
    redis: Redis,
    feed: BybitFeed,
    relay: Relay,
    meters: Meters,
    clock: Clock,
) -> Collector:
    bars = BarRecorder(feed=feed, pool=pool, clock=clock, draw=random.random, history=HISTORY)
    return Collector(
        feed=feed,
        pool=pool,
        quotes=QuotePublisher(redis),
        instruments=InstrumentRecorder(feed=feed, pool=pool, doorbell=relay, clock=clock),
        funding=FundingRecorder(
            feed=feed,
            pool=pool,
            doorbell=relay,
            clock=clock,
            draw=random.random,
            before=bars.before_settlement,
            on_alarm=meters.funding_missing,
            on_stored=meters.funding_stored,
        ),
        bars=bars,
        clock=clock,
        pools=PoolWatch(feed, clock),
        symbols=settings.symbols,
    )
