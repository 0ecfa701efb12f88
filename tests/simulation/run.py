"""One seed from beginning to end: build, trouble, calm, and what holds afterwards."""

import asyncio
import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import structlog

from services.executor.reconcile import CATCH_UP_EVERY, SWEEP_SECONDS
from shared.bus.outbox import READ_LAST
from shared.bus.streams import (
    EXECUTION_EVENTS,
    STRATEGY_INTENTS,
)
from shared.domain.policy import ExecutionPolicy
from shared.domain.risk import RiskLimits
from tests.simulation.actors import EPOCH, Actor, Stage, executor, script, strategy, watchdog
from tests.simulation.bus import SimRedis
from tests.simulation.chaos import Chaos
from tests.simulation.checks import Checks
from tests.simulation.clock import BEGIN
from tests.simulation.collector import Collector
from tests.simulation.faults import Dice, Swarm, Tally, drawn_swarm
from tests.simulation.loop import OWNER, Deadlock, VirtualLoop
from tests.simulation.store import Outages, Store
from tests.simulation.venue import SimVenue
from tests.simulation.world import WORLD, World

LIVENESS_SECONDS: Final = 120
CATCH_UP_SECONDS: Final = SWEEP_SECONDS * CATCH_UP_EVERY + 4.0
IN_FLIGHT_SECONDS: Final = 8
"""By then whatever failed before the calm has been heard of, and tried again."""
MARGIN_MAX: Final = ExecutionPolicy().margin_trim * Decimal("1.02")
"""Where it is trimmed, and as much as prices move while it is."""

DEPOSIT: Final = Decimal(100_000)
SHOWN: Final = 40


@dataclass
class Outcome:
    """What came of one seed. ``digest`` is of the whole trace."""

    seed: int
    violations: list[str]
    digest: str
    tally: Tally
    seconds: float
    tail: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def run_seed(seed: int, store: Store, swarm: Swarm | None = None) -> Outcome:
    """Return what came of one schedule; the same seed gives the same trace to the byte."""
    world = World(seed, swarm or drawn_swarm(Dice(seed, "swarm")), VirtualLoop())
    return played(world, store, _Run)


def played(world: World, store: Store, run: Callable[[World, Store], "Run"]) -> Outcome:
    """Return what came of a run in a world of its own, on an empty store."""
    loop = world.loop
    structlog.configure(processors=[_Tracer(world)], cache_logger_on_first_use=False)
    gc.disable()
    try:
        store.empty()
        loop.run_until_complete(run(world, store).go())
    except Deadlock as error:
        world.violated(f"deadlock: {error}")
    finally:
        _close(loop)
        gc.enable()
        structlog.reset_defaults()
    return _outcome(world)


class Run(ABC):
    """The parts of one run, and when they are at rest."""

    _world: World
    _stage: Stage
    _checks: Checks
    _actors: list[Actor]

    @abstractmethod
    async def go(self) -> None:
        """Do it all, then check what is left."""

    async def _settled(self) -> None:
        world, began = self._world, self._world.loop.time()
        await asyncio.sleep(IN_FLIGHT_SECONDS)
        while left := self._unsettled():
            if world.loop.time() - began > LIVENESS_SECONDS:
                for what in left:
                    world.violated(f"liveness: {what}")
                return
            await asyncio.sleep(1.0)
        world.tally["liveness seconds"] += round(world.loop.time() - began)
        await asyncio.sleep(CATCH_UP_SECONDS)  # what a lagging read left out is read again
        for what in self._unsettled():
            world.violated(f"liveness: again {what}")

    def _unsettled(self) -> list[str]:
        """Return what is not at rest."""
        leaders = [a for a in self._actors if a.parts and a.parts.reconciler.armed.is_set()]
        if not leaders:
            return ["no executor is armed"]
        left = [
            f"{row['name']} {row['id']} is {row['state']}" for row in self._stage.store.fetch(OPEN)
        ]
        if (rate := self._stage.venue.margin_rate) > MARGIN_MAX:
            left.append(f"the maintenance rate is {rate:.4f}")
        left += [f"{p.name} is uneven" for p in self._stage.pairs if not self._checks.is_even(p)]
        for stream in (STRATEGY_INTENTS, EXECUTION_EVENTS):
            rows = self._stage.store.fetch(READ_LAST, stream)
            last = rows[0]["last"] if rows else 0
            held = self._stage.redis.streams.get(stream)
            if last and (held is None or held.last != (EPOCH, last)):
                left.append(f"{stream} is not relayed up to {last}")
        rows = self._stage.store.fetch(CURSOR, "executor", STRATEGY_INTENTS)
        said = self._stage.store.fetch(READ_LAST, STRATEGY_INTENTS)
        if said and (not rows or rows[0]["sequence"] != said[0]["last"]):
            left.append("the intents are not consumed")
        if not all(a.parts.executor.is_idle for a in leaders if a.parts):
            left.append("a plan is worked")
        return left


class _Run(Run):
    """Trouble as the seed has it, then calm."""

    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        dice = world.dice("run")
        limits = RiskLimits(
            pair_notional=dice.pick((Decimal(4_000), Decimal(12_000))),
            gross_notional=dice.pick((Decimal(10_000), Decimal(60_000))),
        )
        decides = dice.chance(0.25)
        venue = SimVenue(world, DEPOSIT, dice.pick((60, 120, 240)) if decides else 1)
        if decides or dice.chance(0.3):
            venue.funding_at = BEGIN + timedelta(seconds=dice.whole(5, 60) * venue.speed)
        self._checks = Checks(world, store, venue, limits)
        self._stage = Stage(
            world, store, SimRedis(world), venue, Outages(world), limits, self._checks.sending
        )
        venue.moved = self._checks.moved
        world.on_commit = self._checks.committed
        self._collector = Collector(self._stage)
        self._actors = [Actor(self._stage, "strategy", strategy if decides else script)]
        self._actors += [
            Actor(self._stage, f"executor-{n}", executor) for n in range(1, dice.pick((2, 2, 2, 3)))
        ]
        if world.dice("watchdog").chance(0.5):
            self._actors.append(Actor(self._stage, "watchdog", watchdog))
        self._chaos = Chaos(self._stage, self._actors)
        self._seconds = dice.between(20.0, 60.0)

    async def go(self) -> None:
        """Run both phases, then check what is left."""
        self._collector.start()
        for actor in self._actors:
            actor.start()
        self._chaos.start()
        await asyncio.sleep(self._seconds)
        self._chaos.calm()
        await self._settled()
        self._checks.end()


class _Tracer:
    """Puts our log events into the trace; the dead say nothing."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, _: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        owner = OWNER.get()
        if owner is not None and not owner.is_dead:
            name = event.pop("event")
            said = " ".join(f"{key}={value}" for key, value in sorted(event.items()))
            self._world.note(owner, f"{name} {said}")
            if name == "alarm_raised":
                self._world.tally[f"alarm {event['alarm']}"] += 1
        raise structlog.DropEvent


def _close(loop: VirtualLoop) -> None:
    """End whatever runs, without a trace of it."""
    tasks = asyncio.all_tasks(loop)
    for task in sorted(tasks, key=hash):
        task.cancel()
    WORLD.run(loop.run_until_complete, _gathered(tasks))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _gathered(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _outcome(world: World) -> Outcome:
    lines = [f"{at:.6f} {who}: {what}" for at, who, what in world.trace]
    digest = sha256("\n".join(lines).encode()).hexdigest()
    rates = [f"{kind} {rate:.4g}" for kind, rate in world.swarm.rates.items()]
    tail = lines if world.violations else []
    return Outcome(
        world.seed, world.violations, digest, world.tally, world.loop.time(), tail, rates
    )


OPEN: Final = """
    SELECT 'plan' AS name, id, state FROM execution.plan WHERE finished_at IS NULL
    UNION ALL
    SELECT 'attempt', link_id, state FROM execution.attempt
    WHERE state NOT IN ('filled', 'cancelled', 'rejected', 'absent') ORDER BY 1, 2"""
CURSOR: Final = "SELECT sequence FROM ops.cursor WHERE consumer = $1 AND stream = $2"
