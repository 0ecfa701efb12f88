"""A share of the enumerated single faults in every test run; all of them by ``make simulate``."""

from collections.abc import Iterator

import pytest

from tests.simulation.report import store_of
from tests.simulation.single import run_case
from tests.simulation.singles import Case, at_sends
from tests.simulation.store import Store
from tests.simulation.unhedged import BOUNDS, percentile
from tests.support.servers import Postgres

pytestmark = pytest.mark.slow

SHARE = [
    case
    for case in at_sends()
    if (case.first, case.plan, case.leg, case.number) == ("spot", "open", "hedge", 1)
]
"""Every fault where it hurts most: the first leg stands and its hedge is sent."""


@pytest.fixture(scope="module")
def store(postgres: Postgres) -> Iterator[Store]:
    """A database for one case after another."""
    with postgres.database() as database:
        opened = store_of(database)
        try:
            yield opened
        finally:
            opened.close()


def test_without_a_fault_a_leg_stands_alone_for_less_than_two_seconds_in_all(store: Store) -> None:
    measured = run_case(Case(None, "linear"), store)
    assert measured.outcome.violations == []
    assert measured.group == "alive"
    assert 0 < measured.unhedged < 2  # six slices: a report, two commits and a request for each


@pytest.mark.parametrize("case", SHARE, ids=str)
def test_no_single_fault_at_a_hedge_leaves_a_leg_alone_beyond_the_bound(
    store: Store, case: Case
) -> None:
    measured = run_case(case, store)
    assert measured.outcome.violations == [], "\n".join(measured.outcome.tail[-40:])
    assert measured.struck
    assert measured.unhedged <= BOUNDS[measured.group].longest


def test_a_percentile_is_the_least_value_that_its_share_does_not_exceed() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 201)], 0.99) == 198.0
