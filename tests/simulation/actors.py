"""The processes of a run, built as each service's ``main`` builds them, and who restarts them."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from services.executor.assembly import Parts, assemble
from services.executor.main import (
    LIVE_FRESHNESS,
    REPLAY_BEHIND,
    REPLAY_SILENT_SECONDS,
    Feed,
    Intake,
    Probe,
)
from services.executor.margin import MarginLine
from services.executor.market import Freshness, Market
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Pace
from services.executor.standby import run_until_quiet
from services.executor.watchdog import Watchdog
from services.executor.worker import Rules
from services.strategy.engine import Engine
from services.strategy.engine import Pace as StrategyPace
from services.strategy.main import Ears
from shared.bus.consumer import Consumer
from shared.bus.messages import PairWanted, QuoteUpdated
from shared.bus.outbox import READ_LAST, Relay, enqueue
from shared.bus.streams import EXECUTION_EVENTS, STRATEGY_INTENTS
from shared.domain.costs import FeeRates
from shared.domain.errors import InvariantViolation, Malformed, Misconfigured, Transient
from shared.domain.instrument import Pair
from shared.domain.order import OrderTicket, content_id
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.domain.view import MarketView
from shared.runtime.service import run_until_stopped
from shared.store.funding import read_recent_settlements
from shared.store.instruments import wait_for_pairs
from shared.store.pool import UNAVAILABLE as STORE_UNAVAILABLE
from shared.store.quotes import read_latest_quotes
from tests.simulation.bus import SimRedis, SimRedisClient
from tests.simulation.clock import SimClock
from tests.simulation.faults import Dice
from tests.simulation.gateway import SimGateway
from tests.simulation.loop import Process
from tests.simulation.store import Outages, SimPool, Store
from tests.simulation.venue import HISTORY_START, SimVenue
from tests.simulation.world import WORLD, World

EPOCH: Final = 7
ENVIRONMENT: Final = "t1"
FEES: Final = FeeRates(Decimal("0.001"), Decimal("0.00055"))
INTENT_SECONDS: Final = 3.0
FAST_FRESHNESS: Final = Freshness(REPLAY_BEHIND, REPLAY_SILENT_SECONDS)
EXPECTED_ENDS: Final = (*STORE_UNAVAILABLE, Transient, Malformed, Misconfigured)

POLICY: Final = CarryPolicy(
    forecast_settlements=3,
    history=timedelta(days=6),
    hold=timedelta(hours=8),
    entry_margin=Decimal(0),
    loss_probability_max=Decimal(1),
    basis_percentile_min=Decimal(0),
    spot_taker_fee=Decimal(0),
    perp_taker_fee=Decimal(0),
    pair_notional=Decimal(5_000),
    gross_notional=Decimal(8_000),
)
"""A desk that opens easily: of six days of hours it knows enough to hold for eight."""

INSERT_INTENT: Final = """
    INSERT INTO strategy.intent (id, decision_id, decided_at, pair, quantity, until_at, reason,
                                 correlation_id, created_at)
    VALUES ($1, $1, $2, $3, $4, $5, $6, $1, $2)"""


@dataclass
class Stage:
    """What the processes of one run have in common."""

    world: World
    store: Store
    redis: SimRedis
    venue: SimVenue
    outages: Outages
    limits: RiskLimits
    sending: Callable[[Process, OrderTicket, datetime], None]
    wants: bool = True

    @property
    def pairs(self) -> list[Pair]:
        """Every pair."""
        return self.venue.pairs


class Actor:
    """One service, started again whenever it ends."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        main: Callable[["Actor", Process], Coroutine[Any, Any, None]],
    ) -> None:
        self.stage = stage
        self.name = name
        self.process: Process | None = None
        self.parts: Parts | None = None
        self.gateway: SimGateway | None = None
        self._main = main
        self._starts = 0
        self._dice = stage.world.dice(f"life of {name}")
        self._skew = timedelta(seconds=round(self._dice.between(-0.1, 0.1), 3))

    def start(self) -> None:
        """Run for ever, beside everything else."""
        WORLD.run(self.stage.world.loop.create_task, self._live())

    def pool(self, process: Process, role: str) -> SimPool:
        """Return a pool of a process of this service."""
        return SimPool(self.stage.world, process, self.stage.store, role, self.stage.outages)

    def clock(self, process: Process) -> SimClock:
        """Return the clock of a process of this service."""
        return SimClock(self.stage.world.loop, process, self._skew)

    def bus(self, process: Process) -> Any:
        """Return the Redis client of a process of this service."""
        return SimRedisClient(self.stage.world, process, self.stage.redis)

    async def _live(self) -> None:
        world = self.stage.world
        while True:
            self._starts += 1
            process = self.process = Process(self.name, self._starts, world.loop)
            world.note(process, "starts")
            task = process.spawn(self._main(self, process))
            await asyncio.wait([task])
            self.parts = None
            self._judge(process, task)
            process.kill()
            await process.gone()
            drawn = self._dice.between(0.1, 3.0) if world.swarm.is_active else 0.1
            await asyncio.sleep(world.chosen("restart", partial(float, drawn)))

    def _judge(self, process: Process, task: asyncio.Task[Any]) -> None:
        world = self.stage.world
        if process.is_dead:
            return
        error = None if task.cancelled() else task.exception()
        for leaf in _leaves(error):
            world.tally[f"ended by {type(leaf).__name__}"] += 1
            world.note(process, f"ends: {type(leaf).__name__}: {leaf}")
            if not isinstance(leaf, EXPECTED_ENDS) and not _was_overtaken(leaf):
                world.violated(f"X: {self.name} ended by {type(leaf).__name__}: {leaf}")
        if error is None:
            world.note(process, "ends")


async def executor(actor: Actor, process: Process) -> None:
    """Run the executor as its ``main.run`` does."""
    stage = actor.stage
    pool, redis, clock = (
        actor.pool(process, "carry_executor"),
        actor.bus(process),
        actor.clock(process),
    )
    gateway = SimGateway(stage.world, process, stage.venue, clock, stage.sending)
    metrics = ExecutorMetrics()
    probe = Probe(pool, redis, clock)
    relay = Relay(pool, redis, EPOCH, (EXECUTION_EVENTS,), clock)
    names = [pair.name for pair in stage.pairs]
    pairs = await wait_for_pairs(pool, names, clock.sleep)
    async with pool.acquire() as connection:
        latest = await read_latest_quotes(connection, names)
    market = Market(pairs, clock, LIVE_FRESHNESS if stage.venue.speed == 1 else FAST_FRESHNESS)
    market.quoted([QuoteUpdated(**asdict(row)) for row in latest])
    parts = assemble(
        gateway,
        pool=pool,
        doorbell=relay,
        market=market,
        clock=clock,
        metrics=metrics,
        rules=Rules(stage.limits, ExecutionPolicy(), FEES, ENVIRONMENT),
        pace=Pace(),
        epoch=EPOCH,
        owner=str(process),
        history_start=HISTORY_START,
    )
    await parts.lease.take()
    stage.world.note(process, f"leads, epoch {parts.lease.epoch}")
    probe.watch(parts, market)
    actor.parts, actor.gateway = parts, gateway
    intents = Consumer(pool, redis, EPOCH, "executor", STRATEGY_INTENTS, clock)
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
            await parts.lease.release()


async def watchdog(actor: Actor, process: Process) -> None:
    """Run the watchdog as ``standby.run`` does."""
    stage = actor.stage
    pool, redis, clock = (
        actor.pool(process, "carry_watchdog"),
        actor.bus(process),
        actor.clock(process),
    )
    gateway = SimGateway(stage.world, process, stage.venue, clock, stage.sending)
    names = [pair.name for pair in stage.pairs]

    freshness = LIVE_FRESHNESS if stage.venue.speed == 1 else FAST_FRESHNESS

    async def take_over() -> None:
        relay = Relay(pool, redis, EPOCH, (EXECUTION_EVENTS,), clock)
        market = Market(await wait_for_pairs(pool, names, clock.sleep), clock, freshness)
        async with pool.acquire() as connection:
            latest = await read_latest_quotes(connection, names)
        market.quoted([QuoteUpdated(**asdict(row)) for row in latest])
        parts = assemble(
            gateway,
            pool=pool,
            doorbell=relay,
            market=market,
            clock=clock,
            metrics=ExecutorMetrics(),
            rules=Rules(stage.limits, ExecutionPolicy(), FEES, ENVIRONMENT),
            pace=Pace(),
            epoch=EPOCH,
            owner=str(process),
            history_start=HISTORY_START,
            safe_mode=True,
        )
        if not await parts.lease.try_to_take():
            return
        margin = MarginLine(gateway, pool, ExecutionPolicy().margin_line, "watchdog")
        stage.world.tally["watchdog takes over"] += 1
        feed = Feed(pool, redis, market, parts, clock)
        loops = (
            *parts.loops, parts.reconciler.start, feed.follow_quotes, feed.follow_rules, relay.run,
        )  # fmt: skip
        try:
            await run_until_quiet(parts, loops, clock, margin.is_passed)
        finally:
            stage.world.note(process, "steps back")
            await parts.lease.release()

    await run_until_stopped(Watchdog(pool, gateway, clock, take_over).run)


async def script(actor: Actor, process: Process) -> None:
    """Run a strategy that wants what the seed says, through the real outbox and relay."""
    pool, clock = actor.pool(process, "carry_strategy"), actor.clock(process)
    relay = Relay(pool, actor.bus(process), EPOCH, (STRATEGY_INTENTS,), clock)
    source = Source(actor.stage, pool, relay, clock)
    await run_until_stopped(source.run, relay.run)


async def strategy(actor: Actor, process: Process) -> None:
    """Run the strategy as its ``main.run`` does; once nothing new is wanted, its relay alone."""
    stage = actor.stage
    if not stage.wants:
        await script(actor, process)
        return
    pool, redis = actor.pool(process, "carry_strategy"), actor.bus(process)
    clock = actor.clock(process)
    relay = Relay(pool, redis, EPOCH, (STRATEGY_INTENTS,), clock)
    names = [pair.name for pair in stage.pairs]
    pairs = await wait_for_pairs(pool, names, clock.sleep)
    view = MarketView(pairs, POLICY.settlements_most, POLICY.forecast_settlements)
    engine = Engine(
        pool=pool,
        doorbell=relay,
        clock=clock,
        epoch=EPOCH,
        policy=POLICY,
        policy_hash="sim",
        view=view,
        pace=StrategyPace(timedelta(hours=1)),
    )
    async with pool.acquire() as connection:
        known = await read_recent_settlements(connection, names, POLICY.settlements_most)
    for settlements in known.values():
        for settlement in settlements:
            view.settled(settlement)
    await engine.recover()
    ears = Ears(pool, redis, engine, clock, EPOCH)
    await run_until_stopped(
        ears.hear_quotes, ears.hear_funding, ears.hear_executions, engine.watch, relay.run
    )


class Source:
    """Says targets; the next one follows from how many are in the outbox, never from memory."""

    def __init__(self, stage: Stage, pool: SimPool, relay: Relay, clock: SimClock) -> None:
        self._stage = stage
        self._pool = pool
        self._relay = relay
        self._clock = clock

    async def run(self) -> None:
        """Want something new every few seconds, for ever."""
        pause = self._stage.world.dice("intents")
        while True:
            await self._clock.sleep(pause.wait(INTENT_SECONDS))
            if not self._stage.wants:
                continue
            try:
                await self._want()
            except STORE_UNAVAILABLE:
                continue
            self._relay.notify()

    async def _want(self) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            number = await connection.fetchval(READ_LAST, STRATEGY_INTENTS) or 0
            message = self._message(number)
            values = (message.pair, message.quantity, message.until, message.reason)
            await connection.execute(INSERT_INTENT, message.intent_id, message.decided_at, *values)
            await enqueue(connection, STRATEGY_INTENTS, [message])

    def _message(self, number: int) -> PairWanted:
        dice = Dice(self._stage.world.seed, f"intent {number}")
        pair = dice.pick(self._stage.pairs)
        at = self._stage.venue.now - timedelta(seconds=1)
        until = at + timedelta(seconds=dice.between(2, 60)) if dice.chance(0.3) else None
        worth = dice.pick((0, 0, 100, 300, 1_000, 3_000, 9_000))
        mid = self._stage.venue.mids[pair.base]
        quantity = Decimal(worth) / mid // pair.common_lot * pair.common_lot
        intent_id = content_id("script", str(number))
        return PairWanted(
            intent_id, intent_id, intent_id, pair.name, quantity, f"want {number}", at, until
        )


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [] if error is None else [error]


def _was_overtaken(error: BaseException) -> bool:
    """Return whether another process leads now; the cursor may tell before the lease does."""
    told = ("lease of epoch", "another process consumes")
    return isinstance(error, InvariantViolation) and any(words in str(error) for words in told)
