"""Funding: what was paid, what a position gets, what is expected."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from shared.domain.money import mean

ROLLOVER: Final = timedelta(minutes=1)


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
    return mean(
        tuple(
            s.rate if s.interval == newest else s.rate * _hours(newest) / _hours(s.interval)
            for s in recent
        )
    )


def settlements_within(duration: timedelta, interval: timedelta) -> int:
    """Return how many settlements a hold of ``duration`` surely meets."""
    return int(duration // interval)


def is_complete(
    settlements: Sequence[FundingSettlement],
    next_funding_at: datetime,
    interval: timedelta | None,
    settled_by: datetime | None,
    instant: datetime,
) -> bool:
    """Return whether the newest settlement that was due by ``instant`` is known.

    ``settled_by`` is when the newest settlement was that passed under our eyes. Where none did,
    ``interval``, the one now running, tells; it is wrong while a venue changes from one interval
    to another. Either is None when that is not known.
    """
    if not settlements or instant >= next_funding_at:
        return False
    newest = settlements[-1]
    if settled_by is not None:
        return newest.settled_at >= settled_by
    due = next_funding_at - (interval or newest.interval)
    if due > instant:  # just shortened: nothing tells but what went before
        return newest.settled_at + newest.interval > instant
    return newest.settled_at >= due


def newest_passed(
    announced: datetime | None, following: datetime, interval: timedelta | None, now: datetime
) -> datetime | None:
    """Return when the newest settlement was, now that a ticker names ``following`` as the next.

    ``announced`` is what it named before. Where that is not known, or several have passed unseen,
    the newest lies one ``interval`` back; what lies ahead of ``now`` has not passed: it was put
    off. A ticker may roll over a moment before its instant: to lose that settlement would be worse
    than to wait for one put off in its last minute. All in venue time; None when nothing tells.
    """
    by_interval = None if interval is None else following - interval
    latest = now + ROLLOVER
    return max((at for at in (announced, by_interval) if at and at <= latest), default=None)


def _hours(interval: timedelta) -> Decimal:
    return Decimal(int(interval.total_seconds())) / 3600
