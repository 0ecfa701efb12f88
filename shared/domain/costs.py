"""What a round trip costs, as fractions of the pair's notional, and when it is earned."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Final

from shared.domain.depth import Depth, crossing, depth_of, sizes_of_change
from shared.domain.market import Quote, basis_of
from shared.domain.money import ZERO, floor_to, ratio

INTERVALS: Final = tuple(timedelta(hours=hours) for hours in (8, 4, 2, 1))
"""The funding intervals a contract may have, longest first. Source: Bybit V5, funding."""


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Taker fees of both legs, as fractions of notional; a rebate is negative."""

    spot_taker: Decimal
    perp_taker: Decimal


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Entry and exit of both legs together; every part is a cost, so positive is paid.

    ``basis`` is what it is expected to rise until the exit: negative while the perpetual is dearer
    than usual. ``depth_short`` says that a book holds less than the size at its known levels.
    """

    fees: Decimal
    slippage: Decimal
    basis: Decimal
    depth_short: bool = False

    @property
    def total(self) -> Decimal:
        """All parts added."""
        return self.trading + self.basis

    @property
    def trading(self) -> Decimal:
        """What trading costs, whatever prices do meanwhile."""
        return self.fees + self.slippage


@dataclass(frozen=True, slots=True)
class BreakEven:
    """After how many settlements, and hours, a cost is earned; rounded up."""

    settlements: int
    interval: timedelta

    @property
    def hours(self) -> Decimal:
        """Settlements times the hours of the interval."""
        return self.settlements * hours_of(self.interval)


def round_trip(
    spot: Quote | Depth,
    perp: Quote | Depth,
    fees: FeeRates,
    slippage_allowance: Decimal,
    basis_usual: Decimal,
    quantity: Decimal = ZERO,
) -> RoundTrip:
    """Return the cost of buying spot and selling the perpetual now, and undoing both later.

    ``quantity`` base units cross both books twice, walking what is known of them; zero crosses at
    the touch. ``slippage_allowance`` is added per leg and crossing. The basis is expected to come
    back to ``basis_usual``, at which the pair is left.
    """
    spot, perp = _depth(spot), _depth(perp)
    (spot_lost, spot_short), (perp_lost, perp_short) = (
        crossing(book, quantity) for book in (spot, perp)
    )
    return RoundTrip(
        fees=2 * (fees.spot_taker + fees.perp_taker),
        slippage=spot_lost + perp_lost + 4 * slippage_allowance,
        basis=basis_usual - basis_of(spot.mid_price, perp.mid_price),
        depth_short=spot_short or perp_short,
    )


def leaving_and_returning(costs: RoundTrip) -> Decimal:
    """Return what leaving now and coming back later costs beyond staying: one more round trip."""
    return costs.trading


def break_even(cost: Decimal, rate: Decimal, interval: timedelta) -> BreakEven | None:
    """Return when ``cost`` is earned at ``rate`` per ``interval``; None when it never is.

    A cost below zero, a basis that is expected to bring more than trading costs, is earned at once.
    """
    if rate <= ZERO:
        return None
    count = ratio(max(ZERO, cost), rate).to_integral_value(ROUND_CEILING)
    return BreakEven(int(count), interval)


def break_even_shorter(cost: Decimal, rate: Decimal, interval: timedelta) -> BreakEven | None:
    """Return when ``cost`` is earned should the contract go over to the next shorter interval.

    The rate is taken to shrink with the interval, hour for hour, as older rates are rescaled.
    None when it is never earned, or there is no shorter interval.
    """
    shorter = next((known for known in INTERVALS if known < interval), None)
    if shorter is None:
        return None
    return break_even(cost, ratio(rate * hours_of(shorter), hours_of(interval)), shorter)


def capacity(
    spot: Depth,
    perp: Depth,
    fees: FeeRates,
    slippage_allowance: Decimal,
    basis_usual: Decimal,
    rate: Decimal,
    settlements: int,
    lot: Decimal,
) -> tuple[Decimal, bool]:
    """Return the largest size, base units, whose cost is earned within ``settlements`` at ``rate``.

    The second value says that the known levels end before the cost does: more may fit. Cost grows
    with size, so the size is looked for between the levels' ends, to the lot.
    """

    def fits(quantity: Decimal) -> bool:
        trip = round_trip(spot, perp, fees, slippage_allowance, basis_usual, quantity)
        return trip.total <= rate * settlements and not trip.depth_short

    if not fits(lot):
        return ZERO, False
    ends = [size for size in sizes_of_change(spot, perp) if size >= lot]
    fitting = [size for size in ends if fits(size)]
    known = min(sum((s for _, s in side), ZERO) for side in _sides(spot, perp))
    if fitting and fitting[-1] == known:
        return floor_to(known, lot), True
    low = floor_to(fitting[-1], lot) if fitting else lot
    high = floor_to(next(size for size in ends if not fitting or size > fitting[-1]), lot) + lot
    while high - low > lot:
        middle = floor_to((low + high) / 2, lot)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, False


def hours_of(interval: timedelta) -> Decimal:
    """Return how many hours an interval has."""
    return Decimal(int(interval.total_seconds())) / 3600


def _depth(book: Quote | Depth) -> Depth:
    return depth_of(book) if isinstance(book, Quote) else book


def _sides(spot: Depth, perp: Depth) -> tuple[tuple[tuple[Decimal, Decimal], ...], ...]:
    return (spot.bids, spot.asks, perp.bids, perp.asks)
