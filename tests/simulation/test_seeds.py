"""A few schedules in every test run, and all that ever failed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.simulation.faults import Swarm
from tests.simulation.report import store_of
from tests.simulation.run import run_seed
from tests.simulation.store import Store
from tests.support.servers import Postgres

pytestmark = pytest.mark.slow

SEEDS = range(1, 21)
REGRESSIONS = [
    int(line.split()[0])
    for line in (Path(__file__).parent / "regressions.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
PRESSES_KILL: Final = 2419129
"""The number of a kill's row is in its trace: one that the database draws from a sequence."""


@pytest.fixture(scope="module")
def store(postgres: Postgres) -> Iterator[Store]:
    """A database for one schedule after another."""
    with postgres.database() as database:
        opened = store_of(database)
        try:
            yield opened
        finally:
            opened.close()


@pytest.mark.parametrize("seed", [*SEEDS, *REGRESSIONS])
def test_no_invariant_is_broken_whatever_fails(store: Store, seed: int) -> None:
    outcome = run_seed(seed, store)
    assert outcome.violations == [], "\n".join(outcome.tail[-40:])


def test_without_faults_every_process_starts_once_and_every_order_ends(store: Store) -> None:
    outcome = run_seed(1, store, Swarm())
    assert outcome.violations == []
    assert outcome.tally["crashes"] == 0
    assert outcome.tally["attempt filled"] > 0
    assert outcome.tally["attempt absent"] == 0


@pytest.mark.parametrize("seed", [3, PRESSES_KILL])
def test_a_seed_gives_the_same_trace_to_the_byte(store: Store, seed: int) -> None:
    traces = {run_seed(seed, store).digest for _ in range(2)}
    assert len(traces) == 1


def test_two_seeds_give_two_traces(store: Store) -> None:
    assert run_seed(3, store).digest != run_seed(4, store).digest
