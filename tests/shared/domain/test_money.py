"""Exact arithmetic with named rounding."""

from decimal import Decimal

import pytest

from shared.domain.errors import InvariantViolation
from shared.domain.money import Money, ceil_to, floor_to, plain, ratio


@pytest.mark.parametrize(
    ("value", "step", "down", "up"),
    [("0.99995", "0.001", "0.999", "1.000"), ("3", "0.5", "3.0", "3.0"), ("-0.3", "1", "-1", "0")],
)
def test_steps_are_floored_and_ceiled_as_multiples(
    value: str, step: str, down: str, up: str
) -> None:
    assert floor_to(Decimal(value), Decimal(step)) == Decimal(down)
    assert ceil_to(Decimal(value), Decimal(step)) == Decimal(up)


def test_a_ratio_is_half_even_at_twelve_places() -> None:
    assert ratio(Decimal(2), Decimal(3)) == Decimal("0.666666666667")
    assert ratio(Decimal("0.0000000000005"), Decimal(1)) == Decimal(0)


@pytest.mark.parametrize(
    ("value", "text"), [("1E+3", "1000"), ("1.500", "1.5"), ("-0.0", "0"), ("1e-8", "0.00000001")]
)
def test_plain_text_has_no_exponent_and_no_trailing_zero(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


def test_two_currencies_do_not_add() -> None:
    assert Money(Decimal(1), "USDT") + Money(Decimal(2), "USDT") == Money(Decimal(3), "USDT")
    with pytest.raises(InvariantViolation):
        Money(Decimal(1), "USDT") + Money(Decimal(1), "BTC")
