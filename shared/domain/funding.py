"""Funding: what was paid, what a position gets, what is expected."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.money import mean


@dataclass(frozen=True, slots=True)
class FundingSettlement:
    """A settled rate: a fraction of notional for the ``interval`` that ended at ``settled_at``."""

    symbol: str
    rate: Decimal
    settled_at: datetime
    interval: timedelta


def funding_payment(perp_quantity: Decimal, mark_price: Decimal, funding_rate: Decimal) -> Decimal:
    """Return what a perpetual position receives (+) or pays (-), in quote units, unrounded.

    ``perp_quantity`` is signed in base units; a long pays a positive rate.
    Source: Bybit V5 transaction log, field ``funding`` (same sign; ``execFee`` is the opposite).
    """
    return (perp_quantity * mark_price * funding_rate).copy_negate()


def expected_rate(settlements: Sequence[FundingSettlement], window: int) -> Decimal | None:
    """Return the mean of the last ``window`` settled rates, per interval of the newest one.

    Older rates that covered another interval are rescaled to the newest interval, hour for hour.
    None when fewer than ``window`` settlements are known: missing is not zero.
    """
    recent = tuple(settlements[-window:])
    if len(recent) < window or window < 1:
        return None
    newest = recent[-1].interval
    return mean(tuple(s.rate * _hours(newest) / _hours(s.interval) for s in recent))


def settlements_within(duration: timedelta, interval: timedelta) -> int:
    """Return how many settlements a hold of ``duration`` surely meets."""
    return int(duration // interval)


def is_complete(
    settlements: Sequence[FundingSettlement],
    next_funding_at: datetime,
    interval: timedelta | None,
    instant: datetime,
) -> bool:
    """Return whether the settlement before ``next_funding_at`` is known, as of ``instant``.

    ``interval`` is the one now running: venues shorten and lengthen it, so the newest settlement's
    own may be another. None when the venue does not say; then the newest settlement's counts.
    """
    if not settlements or instant >= next_funding_at:
        return False
    newest = settlements[-1]
    return newest.settled_at + (interval or newest.interval) >= next_funding_at


def _hours(interval: timedelta) -> Decimal:
    return Decimal(int(interval.total_seconds())) / 3600
