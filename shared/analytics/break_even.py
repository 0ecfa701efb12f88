"""After how many settlements and hours a round trip is earned (A2). Exact: these are decisions."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from shared.domain.money import ZERO, ratio

LADDER: Final = (1, 2, 4, 8)  # hours; Bybit's intervals


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Whole settlements, rounded up, and the hours they take at most."""

    settlements: int
    hours: int


@dataclass(frozen=True, slots=True)
class Horizon:
    """At the current interval, and at the next shorter one; None where there is none."""

    current: BreakEven | None
    shorter: BreakEven | None


def horizon(cost: Decimal, rate: Decimal, interval_hours: int) -> Horizon:
    """Return when ``rate`` (fraction of notional per current interval) has earned ``cost``.

    At a shorter interval the venue pays the rate hour for hour: half the interval, half the rate.
    Both parts are None when the rate is not positive, ``shorter`` also when there is none.
    Source: Bybit's funding formula, where an interval of N hours pays N/8 of the eight-hour rate.
    """
    step = next_shorter(interval_hours)
    shorter = None
    if step is not None:
        shorter = break_even(cost, ratio(rate * step, Decimal(interval_hours)), step)
    return Horizon(break_even(cost, rate, interval_hours), shorter)


def break_even(cost: Decimal, rate: Decimal, interval_hours: int) -> BreakEven | None:
    """Return the fewest settlements at ``rate`` that earn ``cost``; None when none do."""
    if rate <= ZERO:
        return None
    count = int((max(cost, ZERO) / rate).to_integral_value(ROUND_CEILING))
    return BreakEven(count, count * interval_hours)


def next_shorter(interval_hours: int) -> int | None:
    """Return the longest interval of the venue's that is shorter, hours; None below one hour."""
    return max((hours for hours in LADDER if hours < interval_hours), default=None)
