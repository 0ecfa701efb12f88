"""Funding: sign, expectation over changing intervals, completeness."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.funding import (
    expected_rate,
    funding_payment,
    is_complete,
    settlements_within,
)
from tests.support.markets import EIGHT_HOURS, MIDNIGHT, settlements

AMOUNTS = st.decimals(min_value=-10_000, max_value=10_000, places=3)


@pytest.mark.parametrize(("quantity", "received"), [("2", "-10"), ("-2", "10")])
def test_a_long_pays_and_a_short_receives_a_positive_rate(quantity: str, received: str) -> None:
    payment = funding_payment(Decimal(quantity), Decimal(50000), Decimal("0.0001"))
    assert payment == Decimal(received)


@given(AMOUNTS, st.decimals(min_value=-1, max_value=1, places=8))
def test_opposite_legs_net_to_zero(quantity: Decimal, rate: Decimal) -> None:
    price = Decimal("37012.34")
    long, short = (funding_payment(q, price, rate) for q in (quantity, -quantity))
    assert long + short == 0


def test_the_expectation_is_the_mean_of_the_window() -> None:
    rates = settlements("BTCUSDT", ["0.5", "0.0001", "0.0002", "0.0006"])
    assert expected_rate(rates, 3) == Decimal("0.0003")


def test_fewer_settlements_than_the_window_give_no_number() -> None:
    assert expected_rate(settlements("BTCUSDT", ["0.0001"] * 2), 3) is None


def test_rates_of_another_interval_count_hour_for_hour() -> None:
    eight = settlements("SOLUSDT", ["0.0008"], last_at=MIDNIGHT)
    two = settlements(
        "SOLUSDT", ["0.0004"], last_at=MIDNIGHT + timedelta(hours=2), interval=timedelta(hours=2)
    )
    # 8 bps over 8 hours are 2 bps over 2 hours; with 4 bps the mean is 3 bps for 2 hours.
    assert expected_rate((*eight, *two), 2) == Decimal("0.0003")


def test_a_hold_meets_only_whole_settlements() -> None:
    assert settlements_within(timedelta(hours=23), EIGHT_HOURS) == 2


TWO_HOURS = timedelta(hours=2)


@pytest.mark.parametrize(
    ("own", "last_hour", "next_hour", "running", "complete"),
    [
        (EIGHT_HOURS, 0, 8, EIGHT_HOURS, True),
        (EIGHT_HOURS, 0, 16, EIGHT_HOURS, False),
        # Shortened from eight hours to two: what settled two hours before the next must be known.
        (EIGHT_HOURS, 8, 10, TWO_HOURS, True),
        (EIGHT_HOURS, 8, 12, TWO_HOURS, False),
        # Lengthened from two hours to eight: nothing settles in between.
        (TWO_HOURS, 14, 16, TWO_HOURS, True),
        (TWO_HOURS, 16, 24, EIGHT_HOURS, True),
        (TWO_HOURS, 14, 24, EIGHT_HOURS, False),
        # The venue does not say: the newest settlement's own interval.
        (EIGHT_HOURS, 0, 8, None, True),
        (EIGHT_HOURS, 0, 16, None, False),
    ],
)
def test_the_settlement_before_the_next_must_be_known_by_the_interval_now_running(
    own: timedelta, last_hour: int, next_hour: int, running: timedelta | None, complete: bool
) -> None:
    last_at = MIDNIGHT + timedelta(hours=last_hour)
    known = settlements("SOLUSDT", ["0.0001"], last_at=last_at, interval=own)
    next_at = MIDNIGHT + timedelta(hours=next_hour)
    assert is_complete(known, next_at, running, next_at - timedelta(hours=1)) is complete


def test_nothing_is_complete_once_the_next_settlement_is_due() -> None:
    known = settlements("SOLUSDT", ["0.0001"], last_at=MIDNIGHT)
    next_at = MIDNIGHT + EIGHT_HOURS
    assert not is_complete(known, next_at, EIGHT_HOURS, next_at)
    assert not is_complete((), next_at, EIGHT_HOURS, MIDNIGHT)
