"""advance(): the two-leg state machine that closes the gap between target and truth.

The less liquid leg goes first; the other follows at once from what the first really brought, net
of fees. When the hedge cannot be had, or not in time, the first leg is taken back. Nothing is
decided from an order: only from what is owned.
"""

from dataclasses import dataclass, replace
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


class Mode(StrEnum):
    """How the first leg is got."""

    TAKER = "taker"
    MAKER = "maker"
    SLICED = "sliced"


@dataclass(frozen=True, slots=True)
class Approach:
    """How often the first leg may be tried, and at most how much of it at once (base units).

    A maker's first try rests at the near touch; what it leaves is taken like any other.
    """

    mode: Mode = Mode.TAKER
    tries: int = 1
    clip: Decimal | None = None


class Outcome(StrEnum):
    """How a plan ended."""

    HEDGED = "hedged"
    FLAT = "flat"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class PlanProgress:
    """A plan as far as it has come: what the pair owns now, and how many tries each purpose had.

    ``in_flight`` means an attempt is not terminal; ``target`` is the wanted quantity, base units;
    ``unhedged_seconds`` is for how long one leg has stood without the other, wall time.
    """

    target: Decimal
    first: Leg
    spot: Decimal
    perp: Decimal
    tries: tuple[Purpose, ...] = ()
    in_flight: bool = False
    approach: Approach = Approach()
    unhedged_seconds: Decimal = ZERO

    def tried(self, purpose: Purpose) -> int:
        """Return how many attempts this purpose had."""
        return self.tries.count(purpose)

    @property
    def hedges(self) -> int:
        """How many attempts at a hedge the newest try of the first leg had."""
        done = self.tries[::-1]
        return done[: done.index(Purpose.FIRST) if Purpose.FIRST in done else None].count(
            Purpose.HEDGE
        )


@dataclass(frozen=True, slots=True)
class Send:
    """Place one limit order, immediate-or-cancel, or resting at the near touch if it ``rests``."""

    leg: Leg
    purpose: Purpose
    side: Side
    quantity: Decimal
    limit_price: Decimal
    reduce_only: bool
    rests: bool = False


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
    if _may_go_on(plan, market, policy):
        command = _first(plan, market, policy, spot_fee)
        if command is not None:
            return command
    rung = _rung(plan, policy)
    surplus = plan.spot + plan.perp
    if rung < len(policy.bands):
        other = market.perp if plan.first is Leg.SPOT else market.spot
        if abs(surplus) >= market.pair.common_lot and not is_usable(other, policy):
            return Wait("a book is unusable")
        command = _hedge(plan, market, policy.bands[rung], spot_fee)
        if command is not None:
            return command
    own = market.spot if surplus > ZERO else market.perp
    if abs(surplus) >= market.pair.common_lot and not own.is_sound:
        return Wait("a book is unsound")
    return _unwind(plan, market, policy)


def is_usable(quote: Quote, policy: ExecutionPolicy) -> bool:
    """Return whether a book may be traded on to acquire: sound, and not wider than the limit."""
    return quote.is_sound and quote.spread_rate <= policy.spread_limit


def _may_go_on(plan: PlanProgress, market: PairMarket, policy: ExecutionPolicy) -> bool:
    """Whether the first leg may be tried: once, and again only while both legs stand together.

    An unusable book on either side stops it: what is acquired could not be hedged within a band.
    """
    assert market.spot is not None
    assert market.perp is not None
    if not (is_usable(market.spot, policy) and is_usable(market.perp, policy)):
        return False
    tried = plan.tried(Purpose.FIRST)
    if tried == 0:
        return True
    together = abs(plan.spot + plan.perp) < market.pair.common_lot
    return tried < plan.approach.tries and together and plan.tried(Purpose.UNWIND) == 0


def _rung(plan: PlanProgress, policy: ExecutionPolicy) -> int:
    """Return which band the hedge may use now: each try and each deadline that passes widens it.

    Beyond the last one the hedge is given up and the first leg taken back (R:H1).
    """
    if plan.unhedged_seconds >= policy.unwind_after_seconds:
        return len(policy.bands)
    late = 1 if plan.unhedged_seconds >= policy.escalate_after_seconds else 0
    return max(plan.hedges, late)


def _first(
    plan: PlanProgress, market: PairMarket, policy: ExecutionPolicy, spot_fee: Decimal
) -> Send | None:
    goal = plan.target if plan.first is Leg.SPOT else -plan.target
    owned = plan.spot if plan.first is Leg.SPOT else plan.perp
    clip = plan.approach.clip
    if clip is not None and abs(goal - owned) > clip:
        goal = owned + clip.copy_sign(goal - owned)
    command = _order(plan, market, plan.first, goal, Purpose.FIRST, policy.bands[0], spot_fee)
    if command is None or plan.approach.mode is not Mode.MAKER or plan.tried(Purpose.FIRST):
        return command
    return _resting(command, market)


def _resting(command: Send, market: PairMarket) -> Send:
    """Return the same order at the near touch: it gives liquidity or is refused."""
    quote = market.spot if command.leg is Leg.SPOT else market.perp
    assert quote is not None
    price = quote.bid if command.side is Side.BUY else quote.ask
    return replace(command, limit_price=price, rests=True)


def _hedge(plan: PlanProgress, market: PairMarket, band: Decimal, spot_fee: Decimal) -> Send | None:
    """Bring the other leg to what the first one has, never beyond the target or what is there."""
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
    if abs(surplus) >= market.pair.common_lot:  # less is one thing: trading it would only cost
        if tried < len(policy.unwind_bands):
            band = policy.unwind_bands[tried]
            leg = Leg.SPOT if surplus > ZERO else Leg.PERP
            goal = (plan.spot if leg is Leg.SPOT else plan.perp) - surplus
            command = _order(plan, market, leg, goal, Purpose.UNWIND, band, ZERO)
            if command is not None:
                return command
        if _tradable(market.pair, abs(surplus), market):
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
    if leg is Leg.SPOT and side is Side.SELL:  # nothing at the venue caps it there (R:H10)
        gap = max(gap, -max(plan.spot, ZERO))
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
