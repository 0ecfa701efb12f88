"""Exact arithmetic with named rounding."""

from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Final

from shared.domain.errors import require

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
BASIS_POINT: Final = Decimal("0.0001")
RATIO_QUANTUM: Final = Decimal("1e-12")

_WIDE: Final = Context(
    prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow]
)


@dataclass(frozen=True, slots=True)
class Money:
    """A signed amount of one currency: positive is received, negative is paid."""

    amount: Decimal
    currency: str

    def __add__(self, other: "Money") -> "Money":
        require(self.currency == other.currency, f"{self.currency} is not {other.currency}")
        return Money(_WIDE.add(self.amount, other.amount), self.currency)

    def __neg__(self) -> "Money":
        return Money(self.amount.copy_negate(), self.currency)


def ratio(numerator: Decimal, denominator: Decimal) -> Decimal:
    """Return the quotient, half-even to 1e-12: the one rounding of rates, costs and values."""
    return _WIDE.divide(numerator, denominator).quantize(RATIO_QUANTUM, context=_WIDE)


def mean(values: tuple[Decimal, ...]) -> Decimal:
    """Return the mean, half-even to 1e-12. ``values`` is not empty."""
    return ratio(sum(values, ZERO), Decimal(len(values)))


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the greatest multiple of ``step`` that is not above ``value``."""
    return _WIDE.multiply((value / step).to_integral_value(ROUND_FLOOR), step)


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of ``step`` that is not below ``value``."""
    return _WIDE.multiply((value / step).to_integral_value(ROUND_CEILING), step)


def plain(value: Decimal) -> str:
    """Return the shortest fixed-point text of ``value``: no exponent, no trailing zeros."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
