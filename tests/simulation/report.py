"""Runs many seeds on one server, a process for each job, and says what came of them."""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from typing import Final

from tests.simulation.faults import KINDS, Swarm, Tally
from tests.simulation.run import SHOWN, Outcome, run_seed
from tests.simulation.store import Store
from tests.support.servers import Database, Postgres, embedded

COUNTED_FROM: Final = 1_000
PROGRESS_SECONDS: Final = 30.0
LEAST: Final = 100
CHUNK: Final = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return 1 when anything is violated."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers are stopped on the way
    seeds = list(range(options.start, options.start + options.seeds))
    began = time.monotonic()
    tally, failed, seconds = Tally(), 0, 0.0
    with embedded() as servers:
        postgres = Postgres(servers.owner_dsn)
        postgres.make_template()
        told = began
        for done, outcome in enumerate(_outcomes(postgres, seeds, options), start=1):
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                _progress(done, len(seeds), failed, told - began)
            tally += outcome.tally
            seconds += outcome.seconds
            if outcome.violations:
                failed += 1
                _show(outcome, options.lines)
        postgres.drop_template()
    spent = time.monotonic() - began
    missing = _summary(tally, len(seeds), failed, spent, seconds)
    return int(failed > 0 or (options.seeds >= COUNTED_FROM and missing > 0))


def store_of(database: Database) -> Store:
    """Return a database's connections, to be lent to runs."""
    roles = ("carry_executor", "carry_strategy", "carry_watchdog")
    return Store(database.owner_dsn, {role: database.dsn_for(role) for role in roles})


def say(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _progress(done: int, of: int, failed: int, spent: float) -> None:
    rate = done / spent
    sys.stderr.write(
        f"{done} of {of} schedules, {rate:.2f}/s, {(of - done) / rate:.0f} s left; "
        f"{failed} with violations\n"
    )
    sys.stderr.flush()


@dataclass(frozen=True)
class _Task:
    """Some seeds to run, the first ``twice`` of all of them twice."""

    seeds: Sequence[int]
    once_from: int
    is_calm: bool


_stores: list[Store] = []


def _outcomes(
    postgres: Postgres, seeds: Sequence[int], options: argparse.Namespace
) -> Iterator[Outcome]:
    tasks = [
        _Task(seeds[n : n + CHUNK], options.start + options.twice, options.calm)
        for n in range(0, len(seeds), CHUNK)
    ]
    with ExitStack() as stack:
        free = get_context("spawn").SimpleQueue()
        for _ in range(options.jobs):
            free.put(stack.enter_context(postgres.database()))
        workers = stack.enter_context(get_context("spawn").Pool(options.jobs, _open, (free,)))
        for outcomes in workers.imap(_run, tasks):
            yield from outcomes


def _open(free: "SimpleQueue[Database]") -> None:
    _stores.append(store_of(free.get()))


def _run(task: _Task) -> list[Outcome]:
    return [_checked(seed, _stores[0], task) for seed in task.seeds]


def _checked(seed: int, store: Store, task: _Task) -> Outcome:
    swarm = Swarm() if task.is_calm else None
    outcome = run_seed(seed, store, swarm)
    if seed < task.once_from:
        again = run_seed(seed, store, Swarm() if task.is_calm else None)
        if again.digest != outcome.digest:
            outcome.violations.append("S12: the same seed gave another trace")
    return outcome


def _show(outcome: Outcome, lines: int) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    say(f"\nSEED {outcome.seed} at {commit}: make simulate SEEDS=1 FROM={outcome.seed}")
    say(f"  faults on: {', '.join(outcome.faults) or 'none'}")
    for line in outcome.tail[-lines:]:
        say(f"  {line}")
    for violation in outcome.violations:
        say(f"  VIOLATED {violation}")


def _summary(tally: Tally, seeds: int, failed: int, spent: float, virtual: float) -> int:
    for name, count in sorted(tally.items()):
        say(f"{count:>9} {name}")
    rare = [kind for kind in KINDS if tally[f"fault {kind}"] < LEAST]
    say(f"fired fewer than {LEAST} times: {', '.join(rare) or 'none'}")
    say(
        f"{seeds} schedules, {virtual / 3600:.1f} virtual hours in {spent:.1f} s: "
        f"{seeds / spent:.2f} schedules/s; {tally['crashes']} crashes; {failed} with violations"
    )
    return len(rare)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", dest="start", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--twice", type=int, default=0, help="run the first M seeds twice")
    parser.add_argument("--calm", action="store_true", help="no faults at all")
    parser.add_argument("--lines", type=int, default=SHOWN, help="how much of a trace to show")
    return parser.parse_args(arguments)
