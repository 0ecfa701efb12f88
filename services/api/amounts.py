"""Exact arithmetic for views: nothing is rounded, nothing is minus zero, no idle zeros."""

from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import overload

from shared.domain.money import ZERO
from shared.domain.profit import WIDE


@overload
def tidy(amount: Decimal) -> Decimal: ...
@overload
def tidy(amount: Decimal | None) -> Decimal | None: ...
def tidy(amount: Decimal | None) -> Decimal | None:
    """Return the same amount without trailing zeros or a minus before zero; None stays None."""
    if amount is None:
        return None
    return ZERO if amount == ZERO else WIDE.normalize(amount)


def negated(amount: Decimal) -> Decimal:
    """Return minus the amount: what our books count as paid is negative cash in a view."""
    return tidy(amount.copy_negate())


def product(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact product."""
    return tidy(WIDE.multiply(one, other))


def summed(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum; None when one amount is not known: missing is not zero."""
    parts = list(amounts)
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    with localcontext(WIDE):
        return tidy(sum(known, ZERO))
