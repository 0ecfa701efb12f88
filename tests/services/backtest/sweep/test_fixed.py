"""The rule ``booking``: one helper on integers, one on Decimals, both held to exact integers."""

from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.backtest.sweep.fixed import (
    DIVISOR_MAX,
    NEAR_MAX,
    RATE,
    RESULT_MAX,
    UNIT,
    mul_round_checked,
    mul_round_near,
)
from shared.domain.errors import Misconfigured
from shared.domain.rounding import BOOKING, NONE, units

WORDS = st.integers(-(2**63) + 1, 2**63 - 1)


def half_even(a: int, b: int, d: int) -> int:
    """Long division without a bound: the oracle."""
    whole, rest = divmod(a * b, d)
    return whole + (2 * rest > d or (2 * rest == d and whole % 2 == 1))


@pytest.mark.parametrize(
    ("a", "b", "d", "result"),
    [
        (3, 5, 2, 8), (5, 5, 10, 2), (7, 5, 10, 4), (-3, 5, 10, -2), (-5, 5, 10, -2),
        (2**61, 1, 1, 2**61), (-(2**61), UNIT, UNIT, -(2**61)), (0, 9, 7, 0), (1, 1, 2, 0),
        (2**62, 2**48, 2**50, 2**60),
    ],
)  # fmt: skip
def test_a_tie_goes_to_the_even_neighbour(a: int, b: int, d: int, result: int) -> None:
    assert mul_round_checked(a, b, d) == result


@settings(max_examples=600, deadline=None)
@given(WORDS, WORDS, st.integers(1, DIVISOR_MAX) | st.sampled_from([UNIT, RATE, DIVISOR_MAX]))
@example(2**63 - 1, 2**47, DIVISOR_MAX)
def test_a_product_is_rounded_like_the_128_bit_one_or_refused(a: int, b: int, d: int) -> None:
    exact = half_even(a, b, d)
    # The bound is met on a float: what lies within a 2 ** -50 of it may go either way.
    if abs(exact) > RESULT_MAX + 2**12:
        with pytest.raises(OverflowError):
            mul_round_checked(a, b, d)
    elif abs(exact) < RESULT_MAX - 2**12:
        assert mul_round_checked(a, b, d) == exact


@settings(max_examples=400, deadline=None)
@given(st.integers(-(2**60), 2**60), st.integers(1, 2**49), st.integers(-2, 2))
def test_next_to_a_tie_the_helper_is_exact(whole: int, half: int, off: int) -> None:
    # a * b / d with b = 1 cannot reach far; so scale a tie down to what 64 bits hold.
    d = 2 * half
    a = max(min((2 * (whole % 2**10) + 1) * half + off, 2**62), -(2**62))
    assert mul_round_checked(a, 1, d) == half_even(a, 1, d)
    assert mul_round_checked(-a, 1, d) == half_even(-a, 1, d)


@settings(max_examples=600, deadline=None)
@given(WORDS, WORDS, st.sampled_from([UNIT, RATE]), st.integers(0, 3))
def test_near_zero_the_short_way_says_the_same(a: int, b: int, d: int, off: int) -> None:
    b = min(b, int((NEAR_MAX - 4) * d / max(abs(a), 1)), key=abs)
    assert mul_round_near(a, b, d, 1.0 / d) == half_even(a, b, d)
    tie = d // 2 * (2 * off + 1)
    for step in (-1, 0, 1):
        assert mul_round_near(tie + step, 1, d, 1.0 / d) == half_even(tie + step, 1, d)


@pytest.mark.parametrize("d", [0, -1, DIVISOR_MAX + 1])
def test_a_divisor_out_of_range_is_refused(d: int) -> None:
    with pytest.raises(ValueError, match="divisor"):
        mul_round_checked(1, 1, d)


@settings(max_examples=300, deadline=None)
@given(st.integers(-(2**59), 2**59), st.integers(1, 2**49))
def test_decimals_are_booked_to_the_same_last_unit(amount: int, price: int) -> None:
    a, p = Decimal(amount).scaleb(-8), Decimal(price).scaleb(-8)
    if abs(half_even(amount, price, UNIT)) < RESULT_MAX // 2:
        assert BOOKING.product(a, p).scaleb(8) == mul_round_checked(amount, price, UNIT)
    if abs(half_even(amount, UNIT, price)) < RESULT_MAX // 2:
        assert BOOKING.quotient(a, p).scaleb(8) == mul_round_checked(amount, UNIT, price)


def test_the_rule_none_keeps_what_28_digits_hold() -> None:
    assert NONE.product(Decimal("0.00000001"), Decimal("0.1")) == Decimal("1E-9")
    assert NONE.quotient(Decimal(1), Decimal(3)) == Decimal("0." + "3" * 28)
    assert BOOKING.product(Decimal("0.00000001"), Decimal("0.5")) == 0
    assert BOOKING.quotient(Decimal(2), Decimal(3)) == Decimal("0.66666667")


def test_what_does_not_fit_the_units_is_refused_by_name() -> None:
    assert units(Decimal("-1.5"), 8, "fee") == -150_000_000
    with pytest.raises(Misconfigured, match="fee 1E-9 has more than 8 decimals"):
        units(Decimal("1e-9"), 8, "fee")
    with pytest.raises(Misconfigured, match="fee NaN is no number"):
        units(Decimal("NaN"), 8, "fee")
