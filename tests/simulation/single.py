"""One pair opens and closes, one fault strikes, and we see how long one leg stood alone.

The venue's account says so. The executor runs alone, a watchdog beside it, as in production.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from shared.bus.messages import PairWanted
from shared.bus.outbox import READ_LAST, Relay
from shared.bus.streams import STRATEGY_INTENTS
from shared.domain.instrument import Pair
from shared.domain.order import OrderTicket, content_id
from shared.domain.risk import RiskLimits
from shared.runtime.service import run_until_stopped
from tests.simulation.actors import EPOCH, Actor, Source, Stage, executor, watchdog
from tests.simulation.bus import SimRedis
from tests.simulation.checks import FENCED, Checks
from tests.simulation.collector import Collector
from tests.simulation.faults import Swarm
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.run import DEPOSIT, OPEN, Outcome, Run, played
from tests.simulation.singles import PLANS, Case
from tests.simulation.store import Outages, Store
from tests.simulation.venue import ENDPOINTS, HALF_SPREAD, LAG_MAX, TICK, SimVenue
from tests.simulation.world import World

T = TypeVar("T")

SEED: Final = 1
QUANTITY: Final = Decimal("0.3")
THIN, DEEP = Decimal(1_200), Decimal(8_000)
"""USDT at each touch: the thin leg goes first, and needs three slices."""

LIMITS: Final = RiskLimits(pair_notional=Decimal(12_000), gross_notional=Decimal(60_000))
LOOK_SECONDS: Final = 0.5
GIVEN_UP_SECONDS: Final = 200.0
BOOKED_SECONDS: Final = 20.0
"""By then what reads kept from the ledger has been read."""

LATENCY: Final = 0.03
"""Seconds to the venue and as many back, half to twice as many each time."""


@dataclass(frozen=True)
class Measured:
    """What came of a case. ``unhedged`` is in virtual seconds, summed over both plans.

    ``group`` is what happened to the executor: "alive", "ended" (by itself), "killed or paused".
    """

    case: Case
    group: str
    unhedged: float
    struck: bool
    outcome: Outcome


class SingleWorld(World):
    """A world in which one fault happens, where it is told to."""

    def __init__(self, case: Case) -> None:
        super().__init__(SEED, Swarm(), VirtualLoop())
        self.case = case
        self.commits: Counter[str] = Counter()
        self._left: Counter[str] = Counter()

    def strikes(self, kind: str, who: object = "") -> bool:
        """Return whether the fault happens here."""
        if not self._left[kind] or not str(who).startswith("executor"):
            return False
        self._left[kind] -= 1
        self.happened(kind, who)
        return True

    def chosen(self, what: str, draw: Callable[[], T]) -> T:
        """Return how the case wants the fault to look."""
        fault, drawn = self.case.fault, draw()
        looks: dict[str, Any] = {"latency": LATENCY}
        if fault is not None:
            looks |= {"restart": fault.restart, **fault.looks}
        found: T = looks.get(what, drawn)
        return found

    def calm(self) -> None:
        """Let nothing more happen."""
        self._left.clear()

    def arm(self) -> None:
        """Let the fault happen from now on."""
        assert self.case.fault is not None
        self._left[self.case.fault.kind] = self.case.fault.times

    async def passing(self, process: Process, point: str, *, freezes: bool = True) -> None:
        """Count commits of money that are about to be made."""
        if point.startswith("before ") and FENCED.intersection(point.split()):
            self._count("commit_rolled_back", process)
        await super().passing(process, point, freezes=freezes)

    def committed(self, process: Process, tables: tuple[str, ...]) -> None:
        """Count commits of money that were made."""
        if FENCED.intersection(tables):
            self._count("commit_reply_lost", process)

    def _count(self, kind: str, process: Process) -> None:
        if not process.name.startswith("executor"):
            return
        self.commits[kind] += 1
        fault, case = self.case.fault, self.case
        if fault and (case.leg, fault.kind, case.number) == ("commit", kind, self.commits[kind]):
            self.arm()


class SingleVenue(SimVenue):
    """Books of one depth each, the thinner one where the first leg is to be."""

    def _set(self, pair: Pair, mid: Decimal) -> None:
        assert isinstance(self.world, SingleWorld)
        mid = self.mids[pair.base] = mid.quantize(TICK)
        self.exchange.set_mark(pair.name, mid, mid)
        half = max(TICK, (mid * HALF_SPREAD).quantize(TICK))
        for category in ("spot", "linear"):
            step = self.exchange.rules[category, pair.name].step
            worth = THIN if category == self.world.case.first else DEEP
            size = worth / mid // step * step
            bids = [(mid - half * n, size * n) for n in range(1, 5)]
            asks = [(mid + half * n, size * n) for n in range(1, 5)]
            self.exchange.set_book(category, pair.name, bids, asks)


class SingleRun(Run):
    """The parts of one case."""

    def __init__(self, world: World, store: Store) -> None:
        assert isinstance(world, SingleWorld)
        self._world = self._single = world
        venue = SingleVenue(world, DEPOSIT)
        self._checks = Checks(world, store, venue, LIMITS)
        outages = Outages(world)
        self._stage = Stage(world, store, SimRedis(world), venue, outages, LIMITS, self._sending)
        venue.moved = self._checks.moved
        world.on_commit = self._committed
        self._collector = Collector(self._stage)
        self._executor = Actor(self._stage, "executor-1", executor)
        self._actors = [
            Actor(self._stage, "strategy", self._strategy),
            self._executor,
            Actor(self._stage, "watchdog", watchdog),
        ]
        self._sends: Counter[tuple[str, str]] = Counter()

    @property
    def unhedged(self) -> float:
        """For how long the pair stood on one leg so far."""
        return sum(self._checks.unhedged)

    @property
    def said(self) -> int:
        """How many targets were said."""
        rows = self._stage.store.fetch(READ_LAST, STRATEGY_INTENTS)
        return (rows[0]["last"] or 0) if rows else 0

    async def go(self) -> None:
        """Open, close, and look at what is left."""
        self._collector.start()
        for actor in self._actors:
            actor.start()
        while self.said < len(PLANS) and self._world.loop.time() < GIVEN_UP_SECONDS:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        await self._settled()
        self._single.calm()
        await asyncio.sleep(BOOKED_SECONDS)
        self._world.tally["unhedged microseconds"] = round(self.unhedged * 1_000_000)
        self._checks.end()

    def may_say(self, number: int) -> bool:
        """Return whether the next target may be said: what came before is over."""
        parts = self._executor.parts
        if number == 0:
            return parts is not None and parts.reconciler.armed.is_set()
        is_done = not self._stage.store.fetch(OPEN) and self._stage.store.fetch(ANY_PLAN)
        return bool(is_done) and all(self._checks.is_even(p) for p in self._stage.pairs)

    async def _strategy(self, actor: Actor, process: Process) -> None:
        pool, clock = actor.pool(process, "carry_strategy"), actor.clock(process)
        relay = Relay(pool, actor.bus(process), EPOCH, (STRATEGY_INTENTS,), clock)
        source = _OpenAndClose(self, self._stage, pool, relay, clock)
        await run_until_stopped(source.run, relay.run)

    def _committed(self, process: Process, tables: tuple[str, ...]) -> None:
        self._checks.committed(process, tables)
        self._single.committed(process, tables)

    def _sending(self, process: Process, ticket: OrderTicket, signed_at: datetime) -> None:
        self._checks.sending(process, ticket, signed_at)
        case = self._single.case
        leg = "first" if ticket.category.value == case.first else "hedge"
        place = (PLANS[self.said - 1], leg)
        self._sends[place] += 1
        if place == (case.plan, case.leg) and self._sends[place] == case.number:
            self._strike(process)

    def _strike(self, process: Process) -> None:
        world, fault = self._world, self._single.case.fault
        assert fault is not None
        gateway, now = self._executor.gateway, world.loop.time()
        match fault.kind:
            case "killed":
                world.later(fault.after, world.crash, process, fault.name)
            case "paused":
                world.later(fault.after, world.freeze, process, fault.seconds)
            case "stream_reset":
                assert gateway is not None
                gateway.reset(fault.seconds)
            case "reads_lag":
                lags = self._stage.venue.lags
                lags.update(dict.fromkeys(ENDPOINTS, LAG_MAX))
                world.later(fault.seconds, lags.update, dict.fromkeys(ENDPOINTS, 0.0))
            case "bus_down":
                self._stage.redis.down_until = now + fault.seconds
            case "bus_flushed":
                self._stage.redis.lose(fault.kind)
            case _:
                self._single.arm()
                return
        world.happened(fault.kind, process)


class _OpenAndClose(Source):
    """Wants the pair, and once it is there wants it no more."""

    def __init__(self, run: SingleRun, *values: Any) -> None:
        super().__init__(*values)
        self._run = run

    async def run(self) -> None:
        """Say both targets, each when what was before it is over."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if self._run.said < len(PLANS) and self._run.may_say(self._run.said):
                await self._want()
                self._relay.notify()

    def _message(self, number: int) -> PairWanted:
        intent_id, at = content_id("single", str(number)), self._stage.venue.now
        quantity = QUANTITY if number == 0 else Decimal(0)
        return PairWanted(
            intent_id, intent_id, intent_id, self._stage.pairs[0].name, quantity, PLANS[number], at
        )


def run_case(case: Case, store: Store) -> Measured:
    """Return how long the pair stood on one leg in a case, and whether everything held."""
    world = SingleWorld(case)
    outcome = played(world, store, SingleRun)
    fault = case.fault
    starts = sum(who.startswith("executor") and what == "starts" for _, who, what in world.trace)
    group = "ended" if starts > 1 else "alive"
    if fault is not None and fault.kind in ("killed", "paused"):
        group = "killed or paused"
    struck = fault is None or outcome.tally[f"fault {fault.kind}"] > 0
    unhedged = outcome.tally["unhedged microseconds"] / 1_000_000
    return Measured(case, group, unhedged, struck, outcome)


def calm_commits(first: str, store: Store) -> dict[str, int]:
    """Return how many commits of money a run without a fault makes, by where a fault can strike."""
    world = SingleWorld(Case(None, first))
    outcome = played(world, store, SingleRun)
    assert not outcome.violations, outcome.violations
    return dict(world.commits)


ANY_PLAN: Final = "SELECT 1 FROM execution.plan"
