"""Client order ids: pure, short, checked, and readable back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvariantViolation, Malformed
from shared.domain.order import (
    ID_ALPHABET,
    Leg,
    client_order_id,
    content_id,
    parse_client_order_id,
)

PLAN = content_id("7", "intent")


def test_an_id_fits_the_venues_rule_and_is_a_pure_function() -> None:
    link_id = client_order_id("r1", PLAN, Leg.SPOT, 1)
    assert len(link_id) == 29  # the venue allows 36
    assert link_id.isalnum()
    assert link_id == client_order_id("r1", PLAN, Leg.SPOT, 1)
    assert link_id.startswith(f"r1{PLAN}s01")


@given(
    environment=st.text(ID_ALPHABET, min_size=2, max_size=2),
    seed=st.text(max_size=5),
    leg=st.sampled_from(Leg),
    attempt=st.integers(0, 1023),
)
def test_an_id_is_read_back_without_the_database(
    environment: str, seed: str, leg: Leg, attempt: int
) -> None:
    plan = content_id(seed)
    link_id = client_order_id(environment, plan, leg, attempt)
    assert parse_client_order_id(link_id) == (environment, plan, leg, attempt)


@pytest.mark.parametrize(
    "link_id", ["", "my-own-order", client_order_id("r1", PLAN, Leg.PERP, 2)[:-1] + "u"]
)
def test_what_is_not_ours_is_malformed(link_id: str) -> None:
    with pytest.raises(Malformed):
        parse_client_order_id(link_id)


@pytest.mark.parametrize(
    ("environment", "plan", "attempt"), [("r", PLAN, 1), ("r1", "x", 1), ("r1", PLAN, 1024)]
)
def test_what_does_not_fit_is_refused(environment: str, plan: str, attempt: int) -> None:
    with pytest.raises(InvariantViolation):
        client_order_id(environment, plan, Leg.SPOT, attempt)


def test_parts_do_not_run_into_one_another() -> None:
    assert content_id("ab", "c") != content_id("a", "bc")
    assert len(content_id("a")) == 20
