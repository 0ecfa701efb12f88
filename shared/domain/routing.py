"""route(): how a plan's first leg is got, chosen by what each way is expected to cost."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from shared.domain.costs import FeeRates
from shared.domain.execution import Approach, Mode
from shared.domain.market import PairMarket
from shared.domain.money import ONE, ZERO, floor_to, ratio
from shared.domain.order import Leg
from shared.domain.policy import ExecutionPolicy


@dataclass(frozen=True, slots=True)
class Route:
    """The chosen approach, what each mode would cost (fractions of notional), and why.

    A mode that is not possible now has no cost.
    """

    approach: Approach
    costs: dict[Mode, Decimal]
    reason: str


def route(
    market: PairMarket,
    first: Leg,
    quantity: Decimal,
    *,
    opening: bool,
    may_rest: bool,
    policy: ExecutionPolicy,
    fees: FeeRates,
) -> Route:
    """Return the cheapest way to trade ``quantity`` base units of both legs.

    The other leg is taken at once in every mode, so only what differs counts: fees and half the
    spread of the first leg, and what a size beyond the touch costs on either. ``may_rest`` says
    whether somebody would cancel a resting order if we died.
    """
    if market.spot is None or market.perp is None:
        return Route(Approach(), {}, "a book is missing")
    touch = _touch(market, opening=opening)
    book = market.spot if first is Leg.SPOT else market.perp
    half = book.spread_rate / 2
    taker_fee = fees.spot_taker if first is Leg.SPOT else fees.perp_taker
    taken = taker_fee + half
    clip = floor_to(touch * policy.clip_share, market.pair.common_lot)
    clips = _clips(quantity, clip)
    costs = {Mode.TAKER: taken + _beyond(quantity, touch, policy)}
    least = max(market.pair.spot.min_notional, market.pair.perp.min_notional)
    if 1 < clips <= policy.clips_max and clip * book.bid > 2 * least:
        costs[Mode.SLICED] = taken + policy.clip_drift * (clips - 1)
    if may_rest and policy.maker_seconds > ZERO:
        costs[Mode.MAKER] = _rested(first, half, costs[Mode.TAKER], policy)
    best = min(costs, key=lambda mode: (costs[mode], mode is not Mode.TAKER))
    match best:
        case Mode.SLICED:
            approach = Approach(best, 2 * clips, clip)
        case Mode.MAKER:
            approach = Approach(best, 2)
        case _:
            approach = Approach()
    told = ", ".join(f"{mode.value} {_shown(cost)}" for mode, cost in costs.items())
    return Route(approach, costs, f"{best.value} is cheapest: {told}")


def _rested(first: Leg, half: Decimal, taken: Decimal, policy: ExecutionPolicy) -> Decimal:
    """Return the expected cost of resting first: part fills at the touch, the rest is taken."""
    fee = policy.spot_maker_fee if first is Leg.SPOT else policy.perp_maker_fee
    filled = fee - half + policy.maker_adverse
    return policy.maker_chance * filled + (ONE - policy.maker_chance) * (
        taken + policy.maker_adverse
    )


def _beyond(quantity: Decimal, touch: Decimal, policy: ExecutionPolicy) -> Decimal:
    """Return what walking past the touch costs: half the first band for each touch beyond it."""
    if touch <= ZERO:
        return policy.bands[0]
    excess = max(ZERO, ratio(quantity, touch) - ONE)
    return min(policy.bands[0], excess * policy.bands[0] / 2)


def _clips(quantity: Decimal, clip: Decimal) -> int:
    if clip <= ZERO:
        return 0
    return int(ratio(quantity, clip).to_integral_value(ROUND_CEILING))


def _touch(market: PairMarket, *, opening: bool) -> Decimal:
    """Return the base units that both touches offer to who opens (or closes)."""
    assert market.spot is not None
    assert market.perp is not None
    if opening:
        return min(market.spot.ask_size, market.perp.bid_size)
    return min(market.spot.bid_size, market.perp.ask_size)


def _shown(cost: Decimal) -> str:
    return f"{cost.quantize(Decimal('0.000001'))}"
