"""Exact decimal arithmetic: sums and products never round, and quotients say how they do."""

from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import wraps
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

ZERO: Final = Decimal(0)
EXACT: Final = Context(prec=60, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
ROUNDED: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, Overflow])
QUOTIENT_PLACES: Final = Decimal("1E-12")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` run in the exact context: a result that would round raises Inexact."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(EXACT):
            return function(*args, **kwargs)

    return inside


def quotient(numerator: Decimal, denominator: Decimal) -> Decimal:
    """Return the ratio to twelve places, half-even; whoever keeps the rest must subtract it."""
    return ROUNDED.quantize(ROUNDED.divide(numerator, denominator), QUOTIENT_PLACES)


def floor_to(amount: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of ``step`` not above ``amount`` (both positive)."""
    whole = ROUNDED.divide(amount, step).to_integral_value(ROUND_DOWN)
    return EXACT.multiply(whole, step)


def ceil_to(amount: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of ``step`` not below ``amount`` (both positive)."""
    whole = ROUNDED.divide(amount, step).to_integral_value(ROUND_CEILING)
    return EXACT.multiply(whole, step)


def on_grid(amount: Decimal, step: Decimal) -> bool:
    """Return whether ``amount`` is a whole multiple of ``step``."""
    return EXACT.remainder(amount, step) == 0


def plain(amount: Decimal) -> str:
    """Return the amount without exponent or trailing zeros, as the venue prints it."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
