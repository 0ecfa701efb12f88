"""The set of pairs that is worth most, against exhaustive search (S5)."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain import choice
from shared.domain.choice import Candidate, Shared, choose

MUCH = Decimal(1_000_000)
WIDE = Shared(10, MUCH, MUCH, MUCH, MUCH, MUCH)


def candidate(
    pair: str, notional: str, worth: str, *, cluster: str | None = None, leaving: str = "0",
    reserve: str = "0", is_fixed: bool = False,
) -> Candidate:  # fmt: skip
    return Candidate(
        pair, cluster or pair, Decimal(notional), Decimal(worth), Decimal(leaving),
        Decimal(reserve), is_fixed or leaving != "0", is_fixed,
    )  # fmt: skip


def shared(**changes: Any) -> Shared:
    values = {name: getattr(WIDE, name) for name in Shared.__slots__}
    return Shared(**{**values, **changes})


def worth(chosen: Iterable[str], candidates: list[Candidate]) -> Decimal:
    """What a set earns: the worth of what is in it, less what leaving the others costs."""
    held = set(chosen)
    return sum((c.worth if c.pair in held else -c.leaving for c in candidates), Decimal(0))


def uses(chosen: Iterable[Candidate]) -> dict[str, Decimal]:
    """What a set takes of each limit; a cluster's part under the cluster's name."""
    used = dict.fromkeys(("pairs", "gross", "cash"), Decimal(0))
    for c in chosen:
        used["pairs"] += 1
        used["gross"] += c.notional
        used["cash"] += c.notional + c.reserve
        used[c.cluster] = used.get(c.cluster, Decimal(0)) + c.notional
    return used


def fits(chosen: Iterable[Candidate], candidates: list[Candidate], limits: Shared) -> bool:
    """No limit is passed further than it is by what is held now."""
    now = uses(c for c in candidates if c.is_held)
    stated = {"pairs": Decimal(limits.pairs), "gross": limits.gross, "cash": limits.cash}
    return all(
        used <= max(stated.get(name, limits.cluster), now.get(name, Decimal(0)))
        for name, used in uses(chosen).items()
    )


def exhaustive(candidates: list[Candidate], limits: Shared) -> Decimal:
    fixed = [c for c in candidates if c.is_fixed]
    free = [c for c in candidates if not c.is_fixed]
    return max(
        worth([c.pair for c in (*fixed, *some)], candidates)
        for count in range(len(free) + 1)
        for some in combinations(free, count)
        if fits((*fixed, *some), candidates, limits)
    )


def test_two_that_fit_together_beat_the_best_by_itself() -> None:
    rows = [candidate("A", "70", "10"), candidate("B", "50", "7"), candidate("C", "50", "6")]
    assert choose(rows, shared(gross=Decimal(100))) == {"B", "C"}


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"pairs": 1}, {"A"}),
        ({"gross": Decimal(100)}, {"A"}),
        ({"capital": Decimal(100)}, {"A"}),
        ({"margin": Decimal(100)}, {"A"}),
        ({"cash": Decimal(205)}, {"A"}),  # 200 would fit, but not with a reserve of ten
        ({"cluster": Decimal(150)}, {"A", "B"}),  # each stands alone
        ({}, {"A", "B"}),
    ],
)
def test_each_shared_limit_binds_by_itself(limits: dict[str, object], kept: set[str]) -> None:
    rows = [
        candidate("A", "100", "3", reserve="5"),
        candidate("B", "100", "2", reserve="5"),
    ]
    assert choose(rows, shared(**limits)) == kept


def test_pairs_of_one_cluster_share_its_limit() -> None:
    rows = [candidate("A", "100", "3", cluster="x"), candidate("B", "100", "2", cluster="x")]
    assert choose(rows, shared(cluster=Decimal(199))) == {"A"}
    assert choose(rows, shared(cluster=Decimal(200))) == {"A", "B"}


@pytest.mark.parametrize(("new", "kept"), [("12", {"held"}), ("12.01", {"new"})])
def test_a_held_pair_gives_way_only_to_what_is_worth_the_switch_too(
    new: str, kept: set[str]
) -> None:
    rows = [candidate("held", "100", "10", leaving="2"), candidate("new", "100", new)]
    assert choose(rows, shared(pairs=1)) == kept


def test_what_is_fixed_stays_whatever_the_others_are_worth() -> None:
    rows = [candidate("held", "100", "-5", is_fixed=True), candidate("new", "100", "50")]
    assert choose(rows, shared(pairs=1)) == {"held"}


def test_nothing_held_is_dropped_because_prices_carried_it_over_a_limit() -> None:
    rows = [candidate(name, "110", "1", cluster="x", leaving="0.1") for name in "AB"]
    tight = shared(gross=Decimal(200), cluster=Decimal(200), capital=Decimal(200))
    assert choose([*rows, candidate("new", "10", "0.05", cluster="x")], tight) == {"A", "B"}


def test_what_earns_nothing_is_not_taken() -> None:
    assert choose([candidate("A", "100", "0"), candidate("B", "100", "-1")], WIDE) == set()


names = st.sampled_from("ABC")
rows = st.lists(
    st.tuples(
        st.integers(1, 100), st.integers(-10, 100), names, st.integers(0, 20), st.integers(0, 9),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=7,
)  # fmt: skip


def drawn(values: list[tuple[int, int, str, int, int, bool]]) -> list[Candidate]:
    return [
        candidate(
            f"P{n}", str(notional), str(earned), cluster=cluster, leaving=str(leaving),
            reserve=str(reserve), is_fixed=fixed,
        )
        for n, (notional, earned, cluster, leaving, reserve, fixed) in enumerate(values)
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(1, 6), st.integers(1, 300), st.integers(1, 200), st.integers(1, 300))
def test_the_choice_equals_exhaustive_search(
    values: list[tuple[int, int, str, int, int, bool]], pairs: int, gross: int, cluster: int,
    cash: int,
) -> None:  # fmt: skip
    candidates = drawn(values)
    limits = shared(pairs=pairs, gross=Decimal(gross), cluster=Decimal(cluster), cash=Decimal(cash))
    chosen = choose(candidates, limits)
    free = [c for c in candidates if c.pair in chosen and not c.is_fixed]
    fixed = [c for c in candidates if c.is_fixed]
    assert {c.pair for c in fixed} <= chosen
    assert fits((*fixed, *free), candidates, limits)
    # Both parts of the sum may be negative: the difference is what must be nothing.
    assert worth(chosen, candidates) == exhaustive(candidates, limits)


def test_a_search_cut_short_is_never_worse_than_the_greedy_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "LOOKS_MOST", 0)
    rows = [candidate("A", "70", "10"), candidate("B", "50", "7"), candidate("C", "50", "6.9")]
    # By worth per notional A comes first and stands alone; exchanging it for B and C is better.
    assert choose(rows, shared(gross=Decimal(100))) == {"B", "C"}
