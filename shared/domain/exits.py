"""When to leave a pair, and when not to move at all because of a settlement. All pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise
from typing import Final

from shared.domain.money import ZERO, ratio

_DEVIATES: Final = tuple(
    (Decimal(share), Decimal(deviate))
    for share, deviate in (
        ("0.5", "0"),
        ("0.6", "0.253347"),
        ("0.7", "0.524401"),
        ("0.8", "0.841621"),
        ("0.9", "1.281552"),
        ("0.95", "1.644854"),
        ("0.975", "1.959964"),
        ("0.99", "2.326348"),
        ("0.999", "3.090232"),
    )
)
"""Quantiles of the standard normal distribution; between two of them a straight line."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What ``settlements`` more are expected to bring, as fractions of notional, with its error."""

    settlements: int
    mean: Decimal
    error: Decimal

    @property
    def total(self) -> Decimal:
        """The expected funding of all of them."""
        return self.mean * self.settlements

    def at_best(self, confidence: Decimal) -> Decimal:
        """Return what they will not exceed, with ``confidence``."""
        return self.total + deviate(confidence) * self.error * self.settlements


def deviate(confidence: Decimal) -> Decimal:
    """Return by how many standard errors a normal value exceeds its mean with that confidence.

    ``confidence`` lies in 0.5 to 0.999.
    """
    for (low, below), (high, above) in pairwise(_DEVIATES):
        if confidence <= high:
            return below + ratio((confidence - low) * (above - below), high - low)
    return _DEVIATES[-1][1]


def is_worth_leaving(
    outlooks: tuple[Outlook, ...], cost_of_leaving: Decimal, confidence: Decimal
) -> bool:
    """Return whether staying loses more than leaving and coming back costs, at the confidence.

    One horizon that says so is enough: a deep flip shows in the next few settlements, a shallow
    one that lasts only over the whole hold. A sign alone never is (trap 31).
    """
    return any(outlook.at_best(confidence) < -cost_of_leaving for outlook in outlooks)


def minimum_hold(paid: Decimal, earned: Decimal, rate: Decimal, most: int) -> int:
    """Return how many settlements a pair still has to be held until it has earned what it cost.

    ``paid`` is what the round trip costs and ``earned`` what funding has come to since the entry,
    fractions of notional; ``rate`` is expected per settlement. Made anew each time, so it shrinks
    with what is earned and with a better rate; never more than ``most``, never less than zero, and
    zero for a pair that has earned its costs.
    """
    left = paid - earned
    if left <= ZERO:
        return 0
    if rate <= ZERO:
        return most
    return min(most, int(ratio(left, rate).to_integral_value(ROUND_CEILING)))


def is_too_late_to_enter(
    next_funding_at: datetime | None, instant: datetime, lead: timedelta
) -> bool:
    """Return whether an order of now may fill only after the settlement that is next.

    Unknown is too late: missing is not far away.
    """
    return next_funding_at is None or next_funding_at - instant < lead


def is_paid_soon(
    next_funding_at: datetime | None, instant: datetime, rate: Decimal, wait: timedelta
) -> bool:
    """Return whether the settlement that is next pays us (``rate`` > 0) within ``wait``."""
    if next_funding_at is None or rate <= ZERO:
        return False
    return timedelta(0) <= next_funding_at - instant <= wait
