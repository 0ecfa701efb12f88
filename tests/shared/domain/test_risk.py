"""review() and admit(): each refusal on both sides of its boundary; what reduces risk passes."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.instrument import Category, Pair
from shared.domain.intents import HoldPair
from shared.domain.risk import (
    Refusal,
    RiskLimits,
    Stake,
    admit,
    review,
    review_price,
    review_rank,
)
from tests.support.markets import (
    EIGHT_HOURS,
    INSTANT,
    MIDNIGHT,
    instrument,
    market,
    quote,
    settlements,
)

LIMITS = RiskLimits()
OPEN = HoldPair("BTCUSDT", Decimal("1.2"), None, "worth_opening")
CLOSE = HoldPair("BTCUSDT", Decimal(0), None, "worth_leaving")
CALM = Stake(
    pair_notional=Decimal(12_000),
    gross_notional=Decimal(60_000),
    unpriced=(),
    needed=Decimal(100),
    free=Decimal(100),
    orders=399,
    plans=19,
    round_trips=2,
    fees=Decimal(500),
    rejects=9,
    day_loss=Decimal(5_000),
)
"""Every amount at its limit, every count one below."""


def refusal(
    intent: HoldPair = OPEN,
    *,
    held: str = "0",
    now: object = INSTANT,
    fresh: bool = True,
    **changes: object,
) -> Refusal | None:
    answer = review(
        intent,
        market(**changes),  # type: ignore[arg-type]
        Decimal(held),
        LIMITS,
        now,  # type: ignore[arg-type]
        fresh=fresh,
    )
    return None if answer is None else answer.reason


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (MIDNIGHT + timedelta(seconds=30), None),
        (MIDNIGHT + timedelta(seconds=29), Refusal.SETTLEMENT_WINDOW),
        (MIDNIGHT + EIGHT_HOURS - timedelta(seconds=90), None),
        (MIDNIGHT + EIGHT_HOURS - timedelta(seconds=89), Refusal.SETTLEMENT_WINDOW),
    ],
)
def test_h9_nothing_opens_90_s_before_and_30_s_after_a_settlement(
    now: object, expected: Refusal | None
) -> None:
    assert refusal(now=now) is expected


@pytest.mark.parametrize(
    "seen", [{"settled_by": MIDNIGHT, "funding_interval": None}, {"settled_by": None}]
)
def test_h9_a_settlement_whose_rate_is_not_published_yet_is_one_as_well(
    seen: dict[str, Any],
) -> None:
    before = settlements("BTCUSDT", ["0.0003"] * 3, last_at=MIDNIGHT - EIGHT_HOURS)
    for seconds, expected in ((29, Refusal.SETTLEMENT_WINDOW), (30, None)):
        now = MIDNIGHT + timedelta(seconds=seconds)
        assert refusal(now=now, settlements=before, **seen) is expected


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [("10199", "10201", None), ("10200", "10202", Refusal.COLLAR)],
)
def test_h8_a_mid_price_stays_within_two_per_cent_of_the_mark(
    bid: str, ask: str, expected: Refusal | None
) -> None:
    assert refusal(perp=quote(bid, ask)) is expected


@pytest.mark.parametrize(
    ("price", "index", "expected"),
    [
        ("10200", "10000", None),
        ("10200.1", "10000", Refusal.COLLAR),
        ("9800", "10000", None),
        ("9799.9", "10000", Refusal.COLLAR),
        ("10000", "9804", None),  # 196 away, and 2 % of 9,804 is 196.08
        ("10000", "9803", Refusal.COLLAR),  # 197 away, and 2 % of 9,803 is 196.06
    ],
)
def test_h8_an_orders_price_stays_within_two_per_cent_of_mark_and_index(
    price: str, index: str, expected: Refusal | None
) -> None:
    answer = review_price(Decimal(price), market(index_price=Decimal(index)), LIMITS)
    assert (answer.reason if answer else None) is expected


@pytest.mark.parametrize(
    ("leg", "changes", "quantity", "expected"),
    [
        (Category.SPOT, {"min_quantity": Decimal("0.5")}, "0.5", None),
        (Category.SPOT, {"min_quantity": Decimal("0.5")}, "0.499", Refusal.NOT_VIABLE),
        (Category.LINEAR, {"min_quantity": Decimal("0.5")}, "0.499", Refusal.NOT_VIABLE),
        # 0.5 at the bid of 9,999.5 is worth 4,999.75
        (Category.SPOT, {"min_notional": Decimal("4999.75")}, "0.5", None),
        (Category.SPOT, {"min_notional": Decimal("4999.76")}, "0.5", Refusal.NOT_VIABLE),
        (Category.LINEAR, {"min_notional": Decimal("4999.76")}, "0.5", Refusal.NOT_VIABLE),
    ],
)
def test_h3_both_legs_must_be_able_to_trade_what_is_added(
    leg: Category, changes: dict[str, object], quantity: str, expected: Refusal | None
) -> None:
    legs = {category: instrument(category) for category in Category}
    legs[leg] = instrument(leg, **changes)  # type: ignore[arg-type]
    pair = Pair(legs[Category.SPOT], legs[Category.LINEAR])
    intent = HoldPair("BTCUSDT", Decimal(1) + Decimal(quantity), None, "worth_opening")
    assert refusal(intent, held="1", pair=pair) is expected


def test_missing_stale_expired_and_closed_markets_refuse() -> None:
    assert refusal() is None
    assert refusal(mark_price=None) is Refusal.PRICE_MISSING
    assert refusal(index_price=None) is Refusal.PRICE_MISSING
    assert refusal(spot=None) is Refusal.PRICE_MISSING
    assert refusal(fresh=False) is Refusal.STALE
    assert refusal(replace(OPEN, until=INSTANT)) is Refusal.EXPIRED


@pytest.mark.parametrize("leg", list(Category))
@pytest.mark.parametrize("change", [{"delivery_at": MIDNIGHT + 99 * EIGHT_HOURS}, {"status": "x"}])
def test_r10_nothing_opens_while_a_leg_does_not_trade_or_is_to_be_delivered(
    leg: Category, change: dict[str, object]
) -> None:
    legs = {category: instrument(category) for category in Category}
    legs[leg] = instrument(leg, **change)  # type: ignore[arg-type]
    pair = Pair(legs[Category.SPOT], legs[Category.LINEAR])
    assert refusal(pair=pair) is Refusal.NOT_TRADING


def test_r9_a_close_is_never_refused_by_timing_freshness_or_a_market_that_is_not_there() -> None:
    closed = Pair(instrument(Category.SPOT), instrument(Category.LINEAR, status="Closed"))
    nothing = {"mark_price": None, "index_price": None, "perp": None, "pair": closed}
    close = replace(CLOSE, until=MIDNIGHT)
    assert refusal(close, held="5", now=MIDNIGHT, fresh=False, **nothing) is None


def test_less_than_one_lot_more_than_is_held_adds_no_risk() -> None:
    assert refusal(replace(OPEN, quantity=Decimal("1.2009")), held="1.2", fresh=False) is None
    lot_more = replace(OPEN, quantity=Decimal("1.201"))
    assert refusal(lot_more, held="1.2", fresh=False) is Refusal.STALE


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"pair_notional": Decimal("12000.01")}, Refusal.PAIR_LIMIT),
        ({"gross_notional": Decimal("60000.01")}, Refusal.GROSS_LIMIT),
        ({"unpriced": ("ETHUSDT",)}, Refusal.PRICE_MISSING),
        ({"needed": Decimal("100.01")}, Refusal.MARGIN),
        ({"orders": 400}, Refusal.ORDER_RATE),
        ({"plans": 20}, Refusal.THROTTLE),
        ({"round_trips": 3}, Refusal.THROTTLE),
        ({"fees": Decimal("500.01")}, Refusal.FEE_RATE),
        ({"rejects": 10}, Refusal.REJECT_RATE),
        ({"day_loss": Decimal("5000.01")}, Refusal.DAILY_LOSS),
    ],
)
def test_each_limit_refuses_just_above_it(
    change: dict[str, object], expected: Refusal | None
) -> None:
    answer = admit(replace(CALM, **change), LIMITS)  # type: ignore[arg-type]
    assert (answer.reason if answer else None) is expected


def test_trap_14_a_runaway_and_a_loss_disarm_until_a_person_has_looked() -> None:
    assert {reason for reason in Refusal if reason.disarms} == {
        Refusal.THROTTLE,
        Refusal.FEE_RATE,
        Refusal.DAILY_LOSS,
    }


def test_a10_a_short_at_the_two_highest_lights_of_five_is_not_added_to() -> None:
    said = {rank: review_rank(rank, LIMITS) for rank in range(6)}
    assert [rank for rank, refused in said.items() if refused is not None] == [4, 5]
    assert str(said[4]) == (
        "adl_rank: the short is at 4 of 5 in the line to be deleveraged, 3 allowed"
    )
