"""Funding: sign, expectation over changing intervals, completeness."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.funding import (
    expected_rate,
    funding_payment,
    is_complete,
    newest_passed,
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


@pytest.mark.parametrize(
    ("own", "last", "settled_by", "following", "running", "instant", "complete"),
    [
        (8, 0, 0, 8, 8, 0, True),
        (8, 0, 8, 16, 8, 8, False),
        (8, 8, 8, 16, 8, 8, True),
        # Shortened at eight from eight hours to two, the first of which ends at fourteen.
        (8, 8, 8, 14, 2, 8, True),
        (8, 8, 8, 14, 2, 13, True),
        (8, 0, 8, 14, 2, 8, False),
        (8, 8, 14, 16, 2, 14, False),
        (2, 14, 14, 16, 2, 14, True),
        # None passed under our eyes: the interval tells, or the newest settlement's own.
        (8, 8, None, 16, 8, 9, True),
        (8, 0, None, 16, 8, 9, False),
        (8, 8, None, 16, None, 9, True),
        (8, 0, None, 16, None, 9, False),
        (8, 8, None, 14, 2, 9, True),
        (8, 0, None, 14, 2, 9, False),
    ],
)
def test_the_newest_settlement_that_was_due_must_be_known(
    own: int,
    last: int,
    settled_by: int | None,
    following: int,
    running: int | None,
    instant: int,
    complete: bool,
) -> None:
    known = settlements("SOLUSDT", ["0.0001"], last_at=hour(last), interval=timedelta(hours=own))
    interval = None if running is None else timedelta(hours=running)
    passed = None if settled_by is None else hour(settled_by)
    at = hour(instant) + timedelta(minutes=1)
    assert is_complete(known, hour(following), interval, passed, at) is complete


@pytest.mark.parametrize(
    ("announced", "following", "running", "now", "passed"),
    [
        (8, 16, 8, 8, 8),
        (8, 14, 2, 8, 8),  # shortened
        (14, 16, 8, 14, 14),  # lengthened: the interval alone would say eight
        (16, 24, 8, 15, None),  # put off before it came
        (8, 24, 8, 17, 16),  # sixteen passed unseen
        (None, 16, 8, 9, 8),
        (None, 14, 2, 9, None),
        (None, 16, None, 9, None),
        (8, 16, None, 8, 8),
    ],
)
def test_what_a_ticker_that_names_another_next_settlement_tells_of_the_last(
    announced: int | None, following: int, running: int | None, now: int, passed: int | None
) -> None:
    before = None if announced is None else hour(announced)
    interval = None if running is None else timedelta(hours=running)
    at = hour(now) + timedelta(minutes=1)
    expected = None if passed is None else hour(passed)
    assert newest_passed(before, hour(following), interval, at) == expected


def test_nothing_is_complete_once_the_next_settlement_is_due() -> None:
    known = settlements("SOLUSDT", ["0.0001"], last_at=MIDNIGHT)
    assert not is_complete(known, hour(8), EIGHT_HOURS, MIDNIGHT, hour(8))
    assert not is_complete((), hour(8), EIGHT_HOURS, MIDNIGHT, hour(0))


def hour(number: int) -> datetime:
    return MIDNIGHT + timedelta(hours=number)


@pytest.mark.parametrize(("early", "passed"), [(1, True), (60, True), (61, False)])
def test_a_ticker_that_rolls_over_a_moment_early_still_tells_of_its_settlement(
    early: int, passed: bool
) -> None:
    at = hour(8) - timedelta(seconds=early)
    expected = hour(8) if passed else None
    assert newest_passed(hour(8), hour(16), None, at) == expected
