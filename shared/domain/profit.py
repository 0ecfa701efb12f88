"""Profit and loss by cause, exact to the last digit.

The one sign rule: every part is a gain (+) or a cost (-). The parts and what is unrealised add up
to what was earned, whatever happened in which order; no part is a remainder of the others.
"""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import Final

from shared.domain.errors import Transient
from shared.domain.money import ZERO, ratio

WIDE: Final = Context(prec=60)
DUST_WORTH: Final = Decimal(5)
"""Coins worth no more, in quote units, are dust (as ``PairPosition.is_hedged``)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Quote units, each a gain (+) or a cost (-).

    ``slippage``: what executions lost against the mid of their book when the order was journaled.
    ``basis``: what prices brought, taken at those mids. ``rounding``: the venue's own rounding.
    """

    funding: Decimal = ZERO
    basis: Decimal = ZERO
    fees: Decimal = ZERO
    borrow: Decimal = ZERO
    slippage: Decimal = ZERO
    rounding: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """What the parts come to."""
        with localcontext(WIDE):
            return sum((getattr(self, name) for name in PARTS), ZERO)

    def __add__(self, other: "Parts") -> "Parts":
        with localcontext(WIDE):
            return Parts(*(getattr(self, name) + getattr(other, name) for name in PARTS))


PARTS: Final = tuple(field.name for field in fields(Parts))


@dataclass(frozen=True, slots=True)
class Stake:
    """One leg as held: signed base units and what they cost (what a short received is negative)."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO

    def moved(self, change: Decimal, value: Decimal) -> tuple["Stake", Decimal]:
        """Return the stake after ``change`` base units for ``value``, and the gain realised.

        What is given back releases its share of the cost, to twelve places, and leaves the rest:
        realised gains and the cost that stays add up to the values paid, exactly.
        """
        with localcontext(WIDE):
            after = self.quantity + change
            if self.quantity * change >= ZERO:
                return Stake(after, self.cost + value), ZERO
            closed = min(abs(change), abs(self.quantity))
            released = _share(self.cost, closed, abs(self.quantity))
            paid = _share(value, closed, abs(change))
            return Stake(after, self.cost - released + value - paid), -(paid + released)

    def unrealized(self, price: Decimal | None) -> Decimal:
        """Return what giving everything back at ``price`` would gain.

        Raises: Transient when something is held that has no price.
        """
        with localcontext(WIDE):
            return valued(self.quantity, price) - self.cost


@dataclass(frozen=True, slots=True)
class Life:
    """A pair from its opening to flat, the ``number``-th of the pair, counted from one.

    ``opened_at`` and ``closed_at`` are venue time. Dust that a closed life leaves goes on into the
    next one with its cost.
    """

    number: int
    opened_at: datetime
    closed_at: datetime | None = None
    coin: Stake = Stake()
    perp: Stake = Stake()
    parts: Parts = Parts()

    def unrealized(self, mid: Decimal | None, mark: Decimal | None) -> Decimal:
        """Return what is held gains at the spot's mid and the perpetual's mark."""
        with localcontext(WIDE):
            return self.coin.unrealized(mid) + self.perp.unrealized(mark)

    def pnl(self, mid: Decimal | None, mark: Decimal | None) -> Parts:
        """Return the parts with what is unrealised counted as basis."""
        with localcontext(WIDE):
            basis = self.parts.basis + self.unrealized(mid, mark)
        return replace(self.parts, basis=basis)

    def is_flat(self, price: Decimal, lot: Decimal) -> bool:
        """Return whether only dust is left: at most one lot, or worth at most ``DUST_WORTH``."""
        dust = abs(self.coin.quantity)
        return self.perp.quantity == ZERO and (dust <= lot or dust * price <= DUST_WORTH)


def valued(quantity: Decimal, price: Decimal | None) -> Decimal:
    """Return quantity times price, exactly; nothing is worth nothing even without a price.

    Raises: Transient when something is held that has no price.
    """
    if quantity == ZERO:
        return ZERO
    if price is None:
        raise Transient("something is held that has no price yet")
    with localcontext(WIDE):
        return quantity * price


def _share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return amount if part == whole else ratio(amount * part, whole)
