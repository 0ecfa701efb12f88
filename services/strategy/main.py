"""The strategy's process: adapters built, the journal recovered, loops started."""

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from services.strategy.engine import Engine, Pace
from shared.bus.consumer import Consumer
from shared.bus.messages import FundingSettled, Message, PlanFinished
from shared.bus.outbox import Relay
from shared.bus.quotes import QuoteReader
from shared.bus.reach import unreachable
from shared.bus.redis import open_redis
from shared.bus.streams import EXECUTION_EVENTS, MARKET_FUNDING, STRATEGY_INTENTS
from shared.config.settings import Settings
from shared.domain.view import MarketView
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import run_until_stopped
from shared.store.funding import read_recent_settlements
from shared.store.heartbeat import beat
from shared.store.instruments import read_pairs, wait_for_pairs
from shared.store.migrate import check_schema, claim_installation
from shared.store.pool import UNAVAILABLE as STORE_UNAVAILABLE
from shared.store.pool import WritePool, open_pool
from shared.telemetry.health import HealthServer
from shared.telemetry.logging import configure_logging
from shared.telemetry.metrics import Metrics

SERVICE: Final = "strategy"
BEAT_SECONDS: Final = 1.0
RULES_SECONDS: Final = 60.0
REPLAY_BAR: Final = timedelta(hours=1)
LIVE_BAR: Final = timedelta(minutes=1)

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Wire the strategy and run it until it is told to stop; the first loop to fail ends it."""
    configure_logging(SERVICE, level=settings.log_level, secrets=settings.secrets)
    clock = SystemClock()
    metrics = Metrics(SERVICE)
    async with (
        open_pool(settings.database.dsn, application=SERVICE) as pool,
        open_redis(settings.redis.url) as redis,
    ):
        probe = Probe(pool, redis, clock, metrics)
        async with HealthServer(
            metrics, host=settings.http.host, port=settings.http.port, ready=probe.missing
        ):
            async with pool.acquire() as connection:
                await check_schema(connection)
                epoch = await claim_installation(
                    connection, settings.venue, settings.account, clock.now()
                )
            relay = Relay(pool, redis, epoch, (STRATEGY_INTENTS,), clock)
            engine = await _engine(settings, pool, relay, clock, epoch)
            probe.engine = engine
            ears = Ears(pool, redis, engine, clock, epoch)
            await run_until_stopped(
                ears.hear_quotes,
                ears.hear_funding,
                ears.follow_rules,
                ears.hear_executions,
                engine.watch,
                relay.run,
                probe.beat,
            )


class Ears:
    """Brings what the bus says to the engine."""

    def __init__(
        self, pool: WritePool, redis: Redis, engine: Engine, clock: Clock, epoch: int
    ) -> None:
        self._engine = engine
        self._pool = pool
        self._clock = clock
        self._quotes = QuoteReader(redis, clock)
        self._funding = Consumer(pool, redis, epoch, SERVICE, MARKET_FUNDING, clock)
        self._executions = Consumer(pool, redis, epoch, SERVICE, EXECUTION_EVENTS, clock)

    async def hear_quotes(self) -> None:
        """Take in every quote, for ever."""
        async for batch in self._quotes.batches():
            await self._engine.quoted(batch)

    async def hear_funding(self) -> None:
        """Take in every settled rate, for ever; hearing one twice changes nothing."""

        async def handle(_connection: Any, message: Message, _sequence: int) -> None:
            if isinstance(message, FundingSettled):
                await self._engine.settled(message)

        await self._funding.run(handle)

    async def follow_rules(self) -> None:
        """Read the products' rules once a minute, for ever."""
        while True:
            with contextlib.suppress(*STORE_UNAVAILABLE):
                async with self._pool.acquire() as connection:
                    self._engine.renew(await read_pairs(connection, self._engine.pairs))
            await self._clock.sleep(RULES_SECONDS)

    async def hear_executions(self) -> None:
        """Learn how plans ended, for ever."""

        async def handle(_connection: Any, _message: Message, _sequence: int) -> None:
            return

        def committed(message: Message, _sequence: int) -> None:
            if isinstance(message, PlanFinished):
                self._engine.executed(message)

        await self._executions.run(handle, committed)


class Probe:
    """Says whether the strategy is fit for work, to probes and once a second to the store."""

    def __init__(self, pool: WritePool, redis: Redis, clock: Clock, metrics: Metrics) -> None:
        self._pool = pool
        self._redis = redis
        self._clock = clock
        self._held_unknown = metrics.gauge(
            "held_unknown_count", "Held pairs that cannot be judged, because a number is missing"
        )
        self.engine: Engine | None = None

    async def missing(self) -> Sequence[str]:
        """Return why it is not ready, one sentence each."""
        reasons = [] if self.engine is not None else ["the pairs are not known yet"]
        return [*reasons, *await unreachable(self._pool, self._redis)]

    async def beat(self) -> None:
        """Store a heartbeat each second; a store that is away is waited for."""
        while True:
            venue_at = None if self.engine is None else self.engine.last_instant
            self._held_unknown.set(0 if self.engine is None else len(self.engine.held_unknown))
            with contextlib.suppress(*STORE_UNAVAILABLE):
                now = self._clock.now()
                await beat(self._pool, SERVICE, self.engine is not None, "", venue_at, now)
            await self._clock.sleep(BEAT_SECONDS)


async def _engine(
    settings: Settings, pool: WritePool, relay: Relay, clock: Clock, epoch: int
) -> Engine:
    """Return the engine with its journal and the settled rates it needs already read."""
    policy = settings.policy.carry
    pairs = await wait_for_pairs(pool, settings.symbols, clock.sleep)
    view = MarketView(pairs, policy.settlements_most, policy.forecast_settlements)
    engine = Engine(
        pool=pool,
        doorbell=relay,
        clock=clock,
        epoch=epoch,
        policy=policy,
        policy_hash=settings.policy.hash,
        view=view,
        pace=Pace(REPLAY_BAR if settings.venue == "replay" else LIVE_BAR),
    )
    async with pool.acquire() as connection:
        names = sorted(view.markets)
        known = await read_recent_settlements(connection, names, policy.settlements_most)
    for settlements in known.values():
        for settlement in settlements:
            view.settled(settlement)
    await engine.recover()
    return engine
