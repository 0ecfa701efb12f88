"""advance(): the two-leg state machine that closes the gap between target and truth.

The less liquid leg goes first; the other follows at once from what the first really brought, net
of fees. When the hedge cannot be had the first leg is taken back. Nothing is decided from an order:
only from what is owned.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from shared.domain.instrument import Instrument, Pair
from shared.domain.market import PairMarket, Quote
from shared.domain.money import ONE, ZERO, ceil_to, floor_to
from shared.domain.order import Leg, Side
from shared.domain.policy import ExecutionPolicy


class Purpose(StrEnum):
    """Why an attempt is made."""

    FIRST = "first"
    HEDGE = "hedge"
    UNWIND = "unwind"


class Outcome(StrEnum):
    """How a plan ended."""

    HEDGED = "hedged"
    FLAT = "flat"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class PlanProgress:
    """A plan as far as it has come: what the pair owns now, and how many tries each purpose had.

    ``in_flight`` means an attempt is not terminal; ``target`` is the wanted quantity, base units.
    """

    target: Decimal
    first: Leg
    spot: Decimal
    perp: Decimal
    tries: tuple[Purpose, ...] = ()
    in_flight: bool = False

    def tried(self, purpose: Purpose) -> int:
        """Return how many attempts this purpose had."""
        return self.tries.count(purpose)


@dataclass(frozen=True, slots=True)
class Send:
    """Place one immediate-or-cancel limit order."""

    leg: Leg
    purpose: Purpose
    side: Side
    quantity: Decimal
    limit_price: Decimal
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """An attempt is under way, or a price is missing: nothing new is placed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The plan is over."""

    outcome: Outcome


Command = Send | Wait | Finish


def first_leg(market: PairMarket, *, opening: bool) -> Leg:
    """Return the leg with the thinner top of book on the side it would take; spot on a tie."""
    if market.spot is None or market.perp is None:
        return Leg.SPOT
    if opening:
        spot, perp = market.spot.ask * market.spot.ask_size, market.perp.bid * market.perp.bid_size
    else:
        spot, perp = market.spot.bid * market.spot.bid_size, market.perp.ask * market.perp.ask_size
    return Leg.PERP if perp < spot else Leg.SPOT


def advance(
    plan: PlanProgress,
    market: PairMarket,
    policy: ExecutionPolicy,
    spot_fee: Decimal,
) -> Command:
    """Return the next step of ``plan``.

    ``spot_fee`` is the taker fee of a spot buy, taken in base coin, as a fraction.
    """
    if plan.in_flight:
        return Wait("an attempt is in flight")
    if market.spot is None or market.perp is None:
        return Wait("a book is missing")
    if plan.tried(Purpose.FIRST) == 0:
        command = _first(plan, market, policy, spot_fee)
        if command is not None:
            return command
    if plan.tried(Purpose.HEDGE) < len(policy.bands):
        command = _hedge(plan, market, policy, spot_fee)
        if command is not None:
            return command
    return _unwind(plan, market, policy)


def _first(
    plan: PlanProgress, market: PairMarket, policy: ExecutionPolicy, spot_fee: Decimal
) -> Send | None:
    goal = plan.target if plan.first is Leg.SPOT else -plan.target
    return _order(plan, market, plan.first, goal, Purpose.FIRST, policy.bands[0], spot_fee)


def _hedge(
    plan: PlanProgress, market: PairMarket, policy: ExecutionPolicy, spot_fee: Decimal
) -> Send | None:
    """Bring the other leg to what the first one has, never beyond the target or what is there."""
    band = policy.bands[plan.tried(Purpose.HEDGE)]
    short = plan.perp.copy_negate()
    if plan.first is Leg.SPOT:
        held = floor_to(max(plan.spot, ZERO), market.pair.common_lot)
        goal = min(held, max(plan.target, short)).copy_negate()
        return _order(plan, market, Leg.PERP, goal, Purpose.HEDGE, band, spot_fee)
    goal = min(short, max(plan.target, plan.spot))
    return _order(plan, market, Leg.SPOT, goal, Purpose.HEDGE, band, spot_fee)


def _unwind(plan: PlanProgress, market: PairMarket, policy: ExecutionPolicy) -> Send | Finish:
    """Take back what stayed without its partner; end when nothing tradable is left over."""
    surplus = plan.spot + plan.perp
    tried = plan.tried(Purpose.UNWIND)
    if abs(surplus) < market.pair.common_lot:
        pass  # within one lot both legs are one thing: trading the rest would only cost
    elif tried < len(policy.unwind_bands):
        band = policy.unwind_bands[tried]
        if surplus > ZERO:
            goal = plan.spot - surplus
            command = _order(plan, market, Leg.SPOT, goal, Purpose.UNWIND, band, ZERO)
        else:
            command = _order(
                plan, market, Leg.PERP, plan.perp - surplus, Purpose.UNWIND, band, ZERO
            )
        if command is not None:
            return command
    elif _tradable(market.pair, abs(surplus), market):
        return Finish(Outcome.BROKEN)
    flat = abs(plan.perp) < market.pair.perp.step
    return Finish(Outcome.FLAT if flat else Outcome.HEDGED)


def _order(
    plan: PlanProgress,
    market: PairMarket,
    leg: Leg,
    goal: Decimal,
    purpose: Purpose,
    band: Decimal,
    spot_fee: Decimal,
) -> Send | None:
    """Return the order that brings ``leg`` to ``goal`` (signed base units); None if too small."""
    instrument = market.pair.spot if leg is Leg.SPOT else market.pair.perp
    quote = market.spot if leg is Leg.SPOT else market.perp
    assert quote is not None
    gap = goal - (plan.spot if leg is Leg.SPOT else plan.perp)
    side = Side.BUY if gap > ZERO else Side.SELL
    quantity = _sendable(abs(gap), side, leg, instrument, spot_fee)
    price = _limit_price(quote, side, band, instrument.tick)
    if not _meets_minimum(quantity, price, instrument, reducing=_reduces(leg, side)):
        return None
    quantity = min(quantity, instrument.max_quantity)
    return Send(leg, purpose, side, quantity, price, leg is Leg.PERP and side is Side.BUY)


def _sendable(
    gap: Decimal, side: Side, leg: Leg, instrument: Instrument, spot_fee: Decimal
) -> Decimal:
    """Return the quantity to send: a spot buy is grossed up by the fee it loses in base coin."""
    if leg is Leg.SPOT and side is Side.BUY:
        if gap < instrument.step:
            return ZERO
        return ceil_to(gap / (ONE - spot_fee), instrument.step)
    return floor_to(gap, instrument.step)


def _limit_price(quote: Quote, side: Side, band: Decimal, tick: Decimal) -> Decimal:
    """Return the touch moved away by ``band``, rounded to the tick inside the band."""
    if side is Side.BUY:
        return max(floor_to(quote.ask * (ONE + band), tick), ceil_to(quote.ask, tick))
    return min(ceil_to(quote.bid * (ONE - band), tick), floor_to(quote.bid, tick))


def _reduces(leg: Leg, side: Side) -> bool:
    return (leg is Leg.SPOT) == (side is Side.SELL)


def _meets_minimum(
    quantity: Decimal, price: Decimal, instrument: Instrument, *, reducing: bool
) -> bool:
    if quantity <= ZERO or quantity < instrument.min_quantity:
        return False
    if reducing and instrument.category.value == "linear":
        return True
    return quantity * price >= instrument.min_notional


def _tradable(pair: Pair, residual: Decimal, market: PairMarket) -> bool:
    assert market.perp is not None
    return residual >= pair.common_lot and residual * market.perp.bid >= pair.spot.min_notional
