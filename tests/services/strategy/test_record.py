"""The decision journal: inputs round-trip exactly, and a replay finds the first difference."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from services.strategy.record import DecisionInputs, decode_inputs, encode_inputs, verdicts
from services.strategy.replay import replay
from shared.domain.events import TargetSet
from shared.domain.market import Pool
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio, apply
from shared.store.decisions import StoredDecision
from tests.support.markets import INSTANT, MIDNIGHT, market, quote, signals, snapshot

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


def drawn(dice: Random) -> DecisionInputs:
    """Random inputs: what is known, held and allowed differs, some of it is missing."""

    def number(low: float, high: float, places: int = 6) -> Decimal:
        return Decimal(str(round(dice.uniform(low, high), places)))

    markets = []
    portfolio = Portfolio()
    for base in dice.sample(["BTC", "ETH", "SOL", "XRP", "BNB", "ADA"], dice.randint(1, 6)):
        rate = str(number(-0.0008, 0.0012))
        outcomes = tuple(sorted(number(-0.02, 0.06) for _ in range(41)))
        told = signals(
            rate,
            exit_mean=number(-0.001, 0.001),
            exit_error=number(0, 0.0002),
            hold_mean=number(-0.0005, 0.001),
            hold_error=number(0, 0.0005),
            slope=number(-0.0001, 0.0001),
            slope_p=number(0, 1),
            z_score=number(-3, 3),
            persistence=number(0, 1),
            worst_rate=number(-0.01, 0),
            has_skill=dice.choice([True, False]),
            basis=number(-0.001, 0.001),
            basis_usual=number(-0.001, 0.001),
            basis_levels=tuple(sorted(number(-0.001, 0.001) for _ in range(41))),
            hold_outcomes=outcomes,
            hold_deviation=number(0, 0.01),
        )
        bid = number(9_990, 10_010, 1)
        changes: dict[str, Any] = {
            "signals": told,
            "perp": quote(str(bid), str(bid + 1), str(number(0.5, 40, 3))),
            "next_funding_at": INSTANT + timedelta(minutes=dice.randint(1, 480)),
            "predicted_rate": dice.choice([None, number(-0.001, 0.001)]),
            "pool": Pool.SOUND if dice.random() < 0.9 else dice.choice(list(Pool)),
        }
        if dice.random() < 0.1:
            changes[dice.choice(["spot", "perp", "mark_price", "signals"])] = None
        markets.append(market(base, rate=rate, **changes))
        if dice.random() < 0.4:
            since = MIDNIGHT - timedelta(hours=dice.randint(0, 400))
            portfolio = apply(portfolio, TargetSet(f"{base}USDT", number(0.01, 1, 3), since))
    policy = replace(
        POLICY,
        max_pairs=dice.randint(1, 5),
        gross_notional=number(1_000, 50_000, 0),
        switching_margin=number(0, 0.01),
    )
    return DecisionInputs(portfolio, snapshot(*markets), policy)


def test_a_thousand_random_decisions_are_decided_the_same_again() -> None:
    """S7."""
    dice = Random(5)
    reasons = set()
    for _ in range(1_000):
        inputs = drawn(dice)
        said = verdicts(inputs.decide(), inputs.policy)
        reasons |= {a["reason"] for a in said["appraisals"]}
        body = encode_inputs(inputs)
        again = StoredDecision("d" * 20, INSTANT, "policy", json.loads(json.dumps(said)), body)
        assert replay(again).difference is None
    # The draw reaches every verdict there is to be repeated.
    assert {"worth_opening", "worth_staying", "worth_leaving", "rotated", "paid_soon"} <= reasons
    assert {"no_room", "loss_too_likely", "settlement_near", "signals_missing"} <= reasons
    assert {"adl_alert", "adl_unknown", "basis_low"} <= reasons


def test_inputs_of_an_older_record_are_refused_in_words() -> None:
    body = json.loads(encode_inputs(INPUTS))
    del body["record"]
    with pytest.raises(LookupError, match="record 1, this program decides from record 3"):
        replay(stored(json.dumps(body).encode()))


def test_inputs_stored_before_pools_were_watched_are_still_decided_the_same() -> None:
    body = json.loads(encode_inputs(INPUTS))
    for known in body["market"]["pairs"].values():
        del known["pool"]
    assert decode_inputs(json.dumps(body).encode()) == INPUTS
