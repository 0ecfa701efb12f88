"""Runs the enumerated single faults and holds the time on one leg against its bounds (DESIGN 8)."""

import argparse
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from typing import Final

from tests.simulation.report import CHUNK, say, store_of
from tests.simulation.run import SHOWN
from tests.simulation.single import Measured, calm_commits, run_case
from tests.simulation.singles import ORDERS, Case, at_commits, at_sends
from tests.simulation.store import Store
from tests.support.servers import Database, Postgres, embedded


@dataclass(frozen=True)
class Bound:
    """Seconds that a group may stand on one leg: nearly always, and at most."""

    p99: float
    longest: float


BOUNDS: Final = {
    "alive": Bound(5.0, 20.0),
    "ended": Bound(30.0, 30.0),
    "killed or paused": Bound(30.0, 30.0),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every case and say what came of it; return 1 beyond a bound or when anything broke."""
    parser = argparse.ArgumentParser(prog="tests.simulation --single", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--lines", type=int, default=SHOWN, help="how much of a trace to show")
    parser.add_argument("--every", type=int, default=1, help="only each n-th case")
    options = parser.parse_args(arguments)
    with embedded() as servers, ExitStack() as stack:
        postgres = Postgres(servers.owner_dsn)
        postgres.make_template()
        stack.callback(postgres.drop_template)
        stores = get_context("spawn").SimpleQueue()
        for _ in range(options.jobs):
            stores.put(stack.enter_context(postgres.database()))
        workers = stack.enter_context(get_context("spawn").Pool(options.jobs, _open, (stores,)))
        commits = workers.map(_commits, ORDERS)
        cases = [*(Case(None, first) for first in ORDERS), *at_sends()]
        for first, counts in zip(ORDERS, commits, strict=True):
            cases += at_commits(first, counts)
        found = []
        for measured in workers.imap(_measure, cases[:: options.every], CHUNK):
            found.append(measured)
            if measured.outcome.violations:
                _show(measured, options.lines)
    return int(not summary(found))


def summary(found: Sequence[Measured]) -> bool:
    """Say what was measured; return whether everything held."""
    struck = [measured for measured in found if measured.struck]
    broken = sum(bool(measured.outcome.violations) for measured in found)
    say(f"{len(found)} cases, {len(struck)} in which the fault struck, {broken} with violations")
    held = not broken
    for group, bound in BOUNDS.items():
        ordered = sorted(
            (measured for measured in struck if measured.group == group),
            key=lambda measured: measured.unhedged,
        )
        if not ordered:
            continue
        seconds = [measured.unhedged for measured in ordered]
        p99, longest = percentile(seconds, 0.99), seconds[-1]
        is_within = p99 <= bound.p99 and longest <= bound.longest
        held = held and is_within
        say(
            f"executor {group}: {len(seconds)} cases, on one leg p50 {percentile(seconds, 0.5):.2f}"
            f" s, p99 {p99:.2f} s (at most {bound.p99:g}), longest {longest:.2f} s"
            f" (at most {bound.longest:g}){'' if is_within else ': BEYOND'}"
        )
        for measured in ordered[: -WORST - 1 : -1]:
            say(f"  {measured.unhedged:6.2f} s: {measured.case}")
    return held


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the least value that ``share`` of all do not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1]


WORST: Final = 5

_stores: list[Store] = []


def _open(stores: "SimpleQueue[Database]") -> None:
    _stores.append(store_of(stores.get()))


def _measure(case: Case) -> Measured:
    return run_case(case, _stores[0])


def _commits(first: str) -> dict[str, int]:
    return calm_commits(first, _stores[0])


def _show(measured: Measured, lines: int) -> None:
    say(f"\n{measured.case}")
    for line in measured.outcome.tail[-lines:]:
        say(f"  {line}")
    for violation in measured.outcome.violations:
        say(f"  VIOLATED {violation}")
