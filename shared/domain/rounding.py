"""The named rounding rules of money that is computed, not received.

``NONE`` keeps what 28 digits hold: the exact engine, whose venue rounds by its own rules.
``BOOKING`` books every product and quotient half-even to 1e-8, which is what the compiled sweep
does on integers: under it both agree to the last unit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Final

from shared.domain.errors import Misconfigured

QUANTUM: Final = Decimal("1e-8")
"""The unit of booked money, prices and quantities."""

_TRAPS: Final = [InvalidOperation, DivisionByZero, Overflow]
_PLAIN: Final = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=_TRAPS)
# Wide enough that no product of two booked values is rounded twice, and no quotient of two values
# below 1e15 comes nearer to a half than 1e-40 without being one.
_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=_TRAPS)


@dataclass(frozen=True, slots=True)
class Rounding:
    """One rule, by name: how a product and a quotient are booked."""

    name: str
    product: Callable[[Decimal, Decimal], Decimal]
    quotient: Callable[[Decimal, Decimal], Decimal]


def _booked_product(a: Decimal, b: Decimal) -> Decimal:
    return _WIDE.multiply(a, b).quantize(QUANTUM, None, _WIDE)


def _booked_quotient(a: Decimal, b: Decimal) -> Decimal:
    return _WIDE.divide(a, b).quantize(QUANTUM, None, _WIDE)


NONE: Final = Rounding("none", _PLAIN.multiply, _PLAIN.divide)
BOOKING: Final = Rounding("booking", _booked_product, _booked_quotient)
ROUNDINGS: Final = {rule.name: rule for rule in (NONE, BOOKING)}


def units(value: Decimal, scale: int, what: str) -> int:
    """Return ``value`` as a whole number of 10 ** -scale, exactly.

    Raises: Misconfigured naming ``what`` when it is no number or has more decimals than that.
    """
    if not value.is_finite():
        raise Misconfigured(f"{what} {value} is no number: write a plain decimal.")
    scaled = _WIDE.scaleb(value, scale)
    whole = scaled.to_integral_value()
    if whole != scaled:
        raise Misconfigured(f"{what} {value} has more than {scale} decimals: round it first.")
    return int(whole)
