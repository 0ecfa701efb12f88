"""The last word before money moves: review() looks at the market, admit() at what is at stake."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from shared.domain.intents import HoldPair
from shared.domain.market import PairMarket
from shared.domain.money import floor_to


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What may never be exceeded; amounts are USDT, an hour and a day are venue time.

    ``rejects_per_minute`` and ``unknown_max`` are wall time: they bound our talk with the venue.
    ``adl_rank_max`` is how far up the line to be deleveraged, 0 to 5, our short may be added to.
    """

    pair_notional: Decimal = Decimal(12_000)
    gross_notional: Decimal = Decimal(60_000)
    orders_per_hour: int = 400
    plans_per_hour: int = 20
    round_trips_per_hour: int = 3
    fees_per_hour: Decimal = Decimal(500)
    daily_loss: Decimal = Decimal(5_000)
    rejects_per_minute: int = 10
    unknown_max: timedelta = timedelta(minutes=5)
    collar: Decimal = Decimal("0.02")
    before_settlement: timedelta = timedelta(seconds=90)
    after_settlement: timedelta = timedelta(seconds=30)
    adl_rank_max: int = 3


class Refusal(StrEnum):
    """Why an intent is not carried out."""

    KILLED = "killed"
    LEDGER_DIFFERS = "ledger_differs"
    PRICE_MISSING = "price_missing"
    STALE = "stale"
    NOT_TRADING = "not_trading"
    NOT_VIABLE = "not_viable"
    PAIR_LIMIT = "pair_limit"
    GROSS_LIMIT = "gross_limit"
    ORDER_RATE = "order_rate"
    REJECT_RATE = "reject_rate"
    THROTTLE = "throttle"
    FEE_RATE = "fee_rate"
    DAILY_LOSS = "daily_loss"
    COLLAR = "collar"
    SETTLEMENT_WINDOW = "settlement_window"
    EXPIRED = "expired"
    MARGIN = "margin"
    ADL_RANK = "adl_rank"
    MARGIN_RATE = "margin_rate"

    @property
    def disarms(self) -> bool:
        """Whether nothing more is opened until a person has looked: it presses the kill switch."""
        return self in (Refusal.THROTTLE, Refusal.FEE_RATE, Refusal.DAILY_LOSS)


@dataclass(frozen=True, slots=True)
class Refused:
    """The intent may not be carried out, for ``reason``."""

    reason: Refusal
    detail: str

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Stake:
    """What is at stake if the target is reached and every order in flight fills. USDT.

    An order whose end is unknown counts as filled for what it may cost and as not filled for what
    it may bring. ``needed`` is what working plans may still spend on spot, ``free`` what is there.
    ``plans`` and ``round_trips`` (of this pair) are those of the last venue hour that sent orders.
    """

    pair_notional: Decimal
    gross_notional: Decimal
    unpriced: tuple[str, ...]
    needed: Decimal
    free: Decimal
    orders: int
    plans: int
    round_trips: int
    fees: Decimal
    rejects: int
    day_loss: Decimal


def review(
    intent: HoldPair,
    market: PairMarket,
    held: Decimal,
    limits: RiskLimits,
    now: datetime,
    *,
    fresh: bool,
) -> Refused | None:
    """Return why the market forbids to carry ``intent`` out at venue time ``now``; None: it may be.

    ``held`` is what is hedged now, base units. What reduces risk is never refused.
    """
    if not adds_risk(intent, market, held):
        return None
    if intent.until is not None and now >= intent.until:
        return Refused(Refusal.EXPIRED, f"wanted until {intent.until.isoformat()}")
    if not fresh:
        return Refused(Refusal.STALE, "the books are older than their bound")
    if market.spot is None or market.perp is None:
        return Refused(Refusal.PRICE_MISSING, "a book is missing")
    if not market.pair.is_trading:
        return Refused(Refusal.NOT_TRADING, "a leg is not trading or is to be delivered")
    if _near_settlement(market, limits, now):
        return Refused(Refusal.SETTLEMENT_WINDOW, "a settlement is near")
    mids = (market.spot.mid_price, market.perp.mid_price)
    return next(
        (r for mid in mids if (r := review_price(mid, market, limits)) is not None),
        _review_legs(intent.quantity - held, market),
    )


def adds_risk(intent: HoldPair, market: PairMarket, held: Decimal) -> bool:
    """Return whether the intent asks for at least one lot more than is hedged."""
    return intent.quantity - held >= market.pair.common_lot


def review_price(price: Decimal, market: PairMarket, limits: RiskLimits) -> Refused | None:
    """Return why ``price`` is no price to trade at: too far from the mark or the index (H8)."""
    for name, reference in (("mark", market.mark_price), ("index", market.index_price)):
        if reference is None:
            return Refused(Refusal.PRICE_MISSING, f"the {name} price is missing")
        if abs(price - reference) > limits.collar * reference:
            detail = f"{price} is over {limits.collar} from the {name} price {reference}"
            return Refused(Refusal.COLLAR, detail)
    return None


def review_rank(rank: int, limits: RiskLimits) -> Refused | None:
    """Return why a short at place ``rank`` of the line to be deleveraged is not added to (A10)."""
    if rank <= limits.adl_rank_max:
        return None
    detail = f"the short is at {rank} of 5 in the line to be deleveraged"
    return Refused(Refusal.ADL_RANK, f"{detail}, {limits.adl_rank_max} allowed")


def admit(stake: Stake, limits: RiskLimits) -> Refused | None:
    """Return which limit ``stake`` would exceed; None when it exceeds none."""
    checks = (
        (bool(stake.unpriced), Refusal.PRICE_MISSING, f"no price of {', '.join(stake.unpriced)}"),
        _over(Refusal.DAILY_LOSS, stake.day_loss, limits.daily_loss, "USDT lost today"),
        _reached(Refusal.THROTTLE, stake.plans, limits.plans_per_hour, "plans in an hour"),
        _reached(
            Refusal.THROTTLE,
            stake.round_trips,
            limits.round_trips_per_hour,
            "round trips of the pair in an hour",
        ),
        _over(Refusal.FEE_RATE, stake.fees, limits.fees_per_hour, "USDT of fees in an hour"),
        _reached(Refusal.ORDER_RATE, stake.orders, limits.orders_per_hour, "orders in an hour"),
        _reached(
            Refusal.REJECT_RATE, stake.rejects, limits.rejects_per_minute, "rejects in a minute"
        ),
        _over(Refusal.PAIR_LIMIT, stake.pair_notional, limits.pair_notional, "USDT in the pair"),
        _over(Refusal.GROSS_LIMIT, stake.gross_notional, limits.gross_notional, "USDT in all"),
        _over(Refusal.MARGIN, stake.needed, stake.free, "USDT needed"),
    )
    return next((Refused(reason, detail) for is_so, reason, detail in checks if is_so), None)


def _over(reason: Refusal, amount: Decimal, limit: Decimal, what: str) -> tuple[bool, Refusal, str]:
    return amount > limit, reason, f"{amount} {what}, {limit} allowed"


def _reached(reason: Refusal, count: int, limit: int, what: str) -> tuple[bool, Refusal, str]:
    return count >= limit, reason, f"{count} {what}, {limit} allowed"


def _review_legs(added: Decimal, market: PairMarket) -> Refused | None:
    """Return which leg could not be traded for ``added``, base units, at the touch (H3)."""
    legs = ((market.pair.spot, market.spot), (market.pair.perp, market.perp))
    for product, quote in legs:
        quantity = floor_to(added, product.step)
        if quantity < product.min_quantity:
            detail = f"{quantity} under the least {product.category.value} quantity"
            return Refused(Refusal.NOT_VIABLE, f"{detail} {product.min_quantity}")
        if quote is None or quantity * quote.bid < product.min_notional:
            detail = f"{quantity} under the least {product.category.value} notional"
            return Refused(Refusal.NOT_VIABLE, f"{detail} {product.min_notional}")
    return None


def _near_settlement(market: PairMarket, limits: RiskLimits, now: datetime) -> bool:
    ahead = market.next_funding_at
    if ahead is not None and ahead - now < limits.before_settlement:
        return True
    return any(timedelta(0) <= now - at < limits.after_settlement for at in _settled(market))


def _settled(market: PairMarket) -> Iterator[datetime]:
    """Yield when the newest settlement may have been: its rate may be published long after."""
    if market.settlements:
        yield market.settlements[-1].settled_at
    if market.settled_by is not None:
        yield market.settled_by
    if market.next_funding_at is not None and market.funding_interval is not None:
        yield market.next_funding_at - market.funding_interval
