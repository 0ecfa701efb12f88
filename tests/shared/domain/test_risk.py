"""review(): each refusal on both sides of its boundary; what reduces risk always passes."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.domain.instrument import Category, Pair
from shared.domain.intents import HoldPair
from shared.domain.risk import Approved, Exposure, Refusal, Refused, RiskLimits, review
from tests.support.markets import EIGHT_HOURS, INSTANT, MIDNIGHT, instrument, market, quote

LIMITS = RiskLimits(
    pair_notional=Decimal(12_000), gross_notional=Decimal(60_000), orders_per_hour=10
)
CALM = Exposure(
    gross_notional=Decimal(0),
    pair_quantity=Decimal(0),
    orders_last_hour=0,
    free_usdt=Decimal(100_000),
)
OPEN = HoldPair("BTCUSDT", Decimal("1.2"), None, "worth_opening")


def refusal(
    intent: HoldPair = OPEN,
    exposure: Exposure = CALM,
    now: object = INSTANT,
    **changes: object,
) -> Refusal | None:
    answer = review(intent, market(**changes), exposure, LIMITS, now)  # type: ignore[arg-type]
    return answer.reason if isinstance(answer, Refused) else None


def test_a_calm_account_may_open_up_to_the_pair_limit() -> None:
    assert refusal() is None  # 1.2 at 10,000 is the limit of 12,000 exactly
    assert refusal(replace(OPEN, quantity=Decimal("1.201"))) is Refusal.PAIR_LIMIT


@pytest.mark.parametrize(
    ("gross", "expected"), [("48000", None), ("48000.01", Refusal.GROSS_LIMIT)]
)
def test_the_gross_limit_counts_what_is_added(gross: str, expected: Refusal | None) -> None:
    assert refusal(exposure=replace(CALM, gross_notional=Decimal(gross))) is expected


@pytest.mark.parametrize(("count", "expected"), [(9, None), (10, Refusal.ORDER_RATE)])
def test_orders_in_the_last_hour_are_throttled(count: int, expected: Refusal | None) -> None:
    assert refusal(exposure=replace(CALM, orders_last_hour=count)) is expected


@pytest.mark.parametrize(("free", "expected"), [("12240", None), ("12239", Refusal.MARGIN)])
def test_the_account_must_afford_the_spot_leg_and_its_collar(
    free: str, expected: Refusal | None
) -> None:
    assert refusal(exposure=replace(CALM, free_usdt=Decimal(free))) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (MIDNIGHT + timedelta(seconds=30), None),
        (MIDNIGHT + timedelta(seconds=29), Refusal.SETTLEMENT_WINDOW),
        (MIDNIGHT + EIGHT_HOURS - timedelta(seconds=90), None),
        (MIDNIGHT + EIGHT_HOURS - timedelta(seconds=89), Refusal.SETTLEMENT_WINDOW),
    ],
)
def test_nothing_opens_90_s_before_and_30_s_after_a_settlement(
    now: object, expected: Refusal | None
) -> None:
    assert refusal(now=now) is expected


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [("10199", "10201", None), ("10200", "10202", Refusal.COLLAR)],
)
def test_a_mid_price_stays_within_two_per_cent_of_the_mark(
    bid: str, ask: str, expected: Refusal | None
) -> None:
    assert refusal(perp=quote(bid, ask)) is expected


def test_missing_stale_killed_expired_and_closed_markets_refuse() -> None:
    closed = Pair(instrument(Category.SPOT), instrument(Category.LINEAR, delivery_at=MIDNIGHT))
    assert refusal(mark_price=None) is Refusal.PRICE_MISSING
    assert refusal(exposure=replace(CALM, fresh=False)) is Refusal.STALE
    assert refusal(exposure=replace(CALM, kill_level=1)) is Refusal.KILLED
    assert refusal(exposure=replace(CALM, ledger_differs=True)) is Refusal.LEDGER_DIFFERS
    assert refusal(replace(OPEN, until=INSTANT)) is Refusal.EXPIRED
    assert refusal(pair=closed) is Refusal.NOT_TRADING


def test_a_close_is_never_refused_by_size_margin_timing_or_freshness() -> None:
    worst = Exposure(
        gross_notional=Decimal(10**9),
        pair_quantity=Decimal(5),
        orders_last_hour=10**6,
        free_usdt=Decimal(-1),
        kill_level=3,
        ledger_differs=True,
        fresh=False,
    )
    close = HoldPair("BTCUSDT", Decimal(0), None, "worth_leaving")
    answer = review(close, market(mark_price=None, perp=None), worst, LIMITS, MIDNIGHT)
    assert isinstance(answer, Approved)
