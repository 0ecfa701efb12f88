"""The decision journal: inputs round-trip exactly, and a replay finds the first difference."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.strategy.record import DecisionInputs, decode_inputs, encode_inputs, verdicts
from services.strategy.replay import replay
from shared.domain.events import TargetSet
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio, apply
from shared.store.decisions import StoredDecision
from tests.support.markets import INSTANT, MIDNIGHT, market, snapshot

POLICY = CarryPolicy()
HELD = apply(Portfolio(), TargetSet("ETHUSDT", Decimal("1.25"), MIDNIGHT))
INPUTS = DecisionInputs(
    HELD, snapshot(market("BTC"), market("ETH"), market("SOL", spot=None)), POLICY
)


def stored(inputs: bytes | None, **changes: object) -> StoredDecision:
    said = {**verdicts(INPUTS.decide(), POLICY), **changes}
    return StoredDecision("d" * 20, INSTANT, "policy", said, inputs)


def test_inputs_come_back_as_they_were_to_the_last_digit() -> None:
    body = encode_inputs(INPUTS)
    assert decode_inputs(body) == INPUTS
    assert encode_inputs(decode_inputs(body)) == body


def test_numbers_are_journaled_as_text_never_as_binary_fractions() -> None:
    assert b'"9999.5"' in encode_inputs(INPUTS)
    assert b":9999.5" not in encode_inputs(INPUTS)


def test_a_replay_of_unchanged_inputs_is_equal() -> None:
    assert replay(stored(encode_inputs(INPUTS))).difference is None


def test_a_replay_names_the_first_thing_that_differs() -> None:
    other = replace(INPUTS, policy=replace(POLICY, max_pairs=0))
    difference = replay(stored(encode_inputs(other))).difference
    assert difference is not None
    assert "binding_limit" in difference


def test_inputs_that_were_not_kept_are_said_to_be_gone() -> None:
    with pytest.raises(LookupError, match="7 days"):
        replay(stored(None))


def test_every_pair_has_a_verdict_and_a_reason() -> None:
    said = verdicts(INPUTS.decide(), POLICY)["appraisals"]
    assert {a["pair"]: (a["verdict"], a["reason"]) for a in said} == {
        "BTCUSDT": ("open", "worth_opening"),
        "ETHUSDT": ("hold", "worth_staying"),
        "SOLUSDT": ("passed_over", "book_missing"),
    }
