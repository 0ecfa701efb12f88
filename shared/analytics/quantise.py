"""The one door from statistics into the core: floats become Decimals at 1e-12, half-even."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from math import isfinite
from typing import Final

from shared.domain.errors import Malformed
from shared.domain.money import RATIO_QUANTUM

_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


def quantised(value: float) -> Decimal:
    """Return ``value`` to 1e-12, from the float's exact binary value; minus zero becomes zero.

    Raises:
        Malformed: the value is not finite: a missing number is None, and stays out of the core.
    """
    if not isfinite(value):
        raise Malformed(f"{value} is no number: leave it out, a missing number is None.")
    return Decimal(float(value)).quantize(RATIO_QUANTUM, context=_WIDE) + 0


def quantised_or_none(value: float | None) -> Decimal | None:
    """Return ``value`` to 1e-12; None for None and for NaN, which is how arrays say missing."""
    return None if value is None or value != value else quantised(value)


def quantised_all(values: Iterable[float]) -> tuple[Decimal, ...]:
    """Return all ``values`` to 1e-12, in their order."""
    return tuple(quantised(float(value)) for value in values)
