"""Leaving by expected value, minimum hold, and moving around settlements. Clock-controlled."""

from datetime import timedelta
from decimal import Decimal

import pytest

from shared.domain.exits import (
    Outlook,
    deviate,
    is_paid_soon,
    is_too_late_to_enter,
    is_worth_leaving,
    minimum_hold,
)
from tests.support.markets import INSTANT

BACK = Decimal("0.0037")  # 37 bps to leave and come back
MINUTE = timedelta(minutes=1)


def outlook(settlements: int, mean: str, error: str = "0") -> Outlook:
    return Outlook(settlements, Decimal(mean), Decimal(error))


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        ("0.5", "0"),
        ("0.55", "0.1266735"),  # half way to 0.253347
        ("0.9", "1.281552"),
        ("0.95", "1.644854"),
        ("0.999", "3.090232"),
        ("0.9999", "3.090232"),
    ],
)
def test_confidence_is_read_from_the_normal_distribution(confidence: str, expected: str) -> None:
    assert deviate(Decimal(confidence)) == Decimal(expected)


@pytest.mark.parametrize(
    ("mean", "error", "leaves"),
    [
        ("-0.0004", "0", False),  # nine of them: 36 bps, less than 37
        ("-0.00042", "0", True),  # 37.8
        # At 90 % the loss of 90 bps may be 9 x 5 x 1.281552 = 57.67 bps less: 32.3, then not.
        ("-0.0010", "0.0005", False),
        ("-0.0011", "0.0005", True),  # 99 - 57.67 = 41.3
    ],
)
def test_a_pair_is_left_when_staying_costs_more_at_the_confidence(
    mean: str, error: str, leaves: bool
) -> None:
    assert is_worth_leaving((outlook(9, mean, error),), BACK, Decimal("0.9")) is leaves


def test_a_shallow_loss_that_lasts_shows_over_the_whole_hold_only() -> None:
    near, far = outlook(9, "-0.00006"), outlook(63, "-0.00006")
    assert not is_worth_leaving((near,), BACK, Decimal("0.9"))
    assert is_worth_leaving((near, far), BACK, Decimal("0.9"))  # 63 x 0.6 = 37.8 bps


HOLDS = [
    # paid, earned, rate, settlements left
    ("0.0037", "0", "0.0003", 13, "a fresh pair holds until costs are earned: 12.33"),
    ("0.0037", "0.0019", "0.0003", 6, "what is earned shortens it"),
    ("0.0037", "0.0019", "0.0009", 2, "a better rate shortens it"),
    ("0.0037", "0.0019", "0.0001", 18, "a worse rate lengthens it again"),
    ("0.0037", "0.0037", "0.0003", 0, "a pair that has earned its costs may leave"),
    ("0.0037", "0.0090", "0.0003", 0, "a profitable pair may leave, whatever comes"),
    ("0.0037", "0.0090", "-0.0003", 0, "also when nothing more is to be earned"),
    ("0.0037", "0", "0", 42, "no income: the longest hold, not one of zero settlements"),
    ("0.0037", "0", "-0.0001", 42, "a negative rate is no division by it"),
    ("0.0037", "-0.0010", "0.0003", 16, "what was paid since is to be earned too: 15.67"),
    ("0.0037", "0", "0.000001", 42, "never longer than the longest"),
    ("0", "0", "0.0003", 0, "nothing paid, nothing to hold for"),
]


@pytest.mark.parametrize(("paid", "earned", "rate", "left", "why"), HOLDS)
def test_the_minimum_hold_is_made_anew_from_what_was_paid_and_earned(
    paid: str, earned: str, rate: str, left: int, why: str
) -> None:
    assert minimum_hold(Decimal(paid), Decimal(earned), Decimal(rate), 42) == left, why


@pytest.mark.parametrize(
    ("ahead", "is_late"),
    [(timedelta(minutes=5), False), (timedelta(minutes=4, seconds=59), True), (-MINUTE, True)],
)
def test_an_entry_that_might_fill_after_the_snapshot_is_too_late(
    ahead: timedelta, is_late: bool
) -> None:
    assert is_too_late_to_enter(INSTANT + ahead, INSTANT, timedelta(minutes=5)) is is_late


def test_an_unknown_settlement_is_not_far_away() -> None:
    assert is_too_late_to_enter(None, INSTANT, timedelta(minutes=5))


@pytest.mark.parametrize(
    ("ahead", "rate", "waits"),
    [
        (60 * MINUTE, "0.0001", True),
        (61 * MINUTE, "0.0001", False),
        (MINUTE, "0", False),
        (MINUTE, "-0.0001", False),
        (-MINUTE, "0.0001", False),
    ],
)
def test_a_pair_is_not_left_just_before_it_is_paid(
    ahead: timedelta, rate: str, waits: bool
) -> None:
    found = is_paid_soon(INSTANT + ahead, INSTANT, Decimal(rate), timedelta(hours=1))
    assert found is waits
