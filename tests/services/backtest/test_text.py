"""Figures as ui/UI.md writes them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.backtest.text import duration, instant, number, percent, tone, usdt


@pytest.mark.parametrize(
    ("amount", "sign", "text"),
    [
        ("1399.854", True, "+1,399.85"),
        ("-71.82", True, "−71.82"),
        ("74568.21", False, "74,568.21"),
        ("-0.004", True, "0.00"),
    ],
)
def test_an_amount_has_groups_a_true_minus_and_no_sign_at_zero(
    amount: str, sign: bool, text: str
) -> None:
    assert usdt(amount, sign=sign) == text


def test_a_percentage_has_a_thin_space_and_no_sign_at_zero() -> None:
    assert percent(0.0274) == "+2.74\u202f%"
    assert percent(-0.00001) == "0.00\u202f%"
    assert percent(-0.0532, places=1, sign=False) == "−5.3\u202f%"


def test_tone_follows_what_is_shown_not_what_is_hidden() -> None:
    assert (tone(Decimal("0.004")), tone("0.01"), tone(-3.0)) == ("", "gain", "loss")


def test_spans_have_their_two_largest_units() -> None:
    assert duration(timedelta(days=14, hours=3, minutes=9)) == "14 d 3 h"
    assert duration(timedelta(hours=3, minutes=20)) == "3 h 20 min"
    assert duration(timedelta(seconds=300)) == "5 min"


def test_instants_and_numbers() -> None:
    assert instant(datetime(2024, 12, 7, 13, 14, tzinfo=UTC)) == "7 Dec 2024 13:14"
    assert number(-9.126) == "−9.13"
