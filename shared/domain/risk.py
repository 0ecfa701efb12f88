"""review(): the last word before money moves."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from shared.domain.intents import HoldPair
from shared.domain.market import PairMarket
from shared.domain.money import ONE, ZERO


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What may never be exceeded; amounts are USDT."""

    pair_notional: Decimal = Decimal(12_000)
    gross_notional: Decimal = Decimal(60_000)
    orders_per_hour: int = 400
    collar: Decimal = Decimal("0.02")
    before_settlement: timedelta = timedelta(seconds=90)
    after_settlement: timedelta = timedelta(seconds=30)


class Refusal(StrEnum):
    """Why an intent is not carried out."""

    KILLED = "killed"
    LEDGER_DIFFERS = "ledger_differs"
    PRICE_MISSING = "price_missing"
    STALE = "stale"
    NOT_TRADING = "not_trading"
    PAIR_LIMIT = "pair_limit"
    GROSS_LIMIT = "gross_limit"
    ORDER_RATE = "order_rate"
    COLLAR = "collar"
    SETTLEMENT_WINDOW = "settlement_window"
    EXPIRED = "expired"
    MARGIN = "margin"


@dataclass(frozen=True, slots=True)
class Approved:
    """The intent may be carried out."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The intent may not be carried out, for ``reason``."""

    reason: Refusal
    detail: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is at stake now: open, in flight and unknown, each at its worst. USDT."""

    gross_notional: Decimal
    pair_quantity: Decimal
    orders_last_hour: int
    free_usdt: Decimal
    kill_level: int = 0
    ledger_differs: bool = False
    fresh: bool = True


def review(
    intent: HoldPair, market: PairMarket, exposure: Exposure, limits: RiskLimits, now: datetime
) -> Approved | Refused:
    """Return whether ``intent`` may be carried out at venue time ``now``.

    What reduces risk is never refused for size, margin, timing or freshness, only when killed dead.
    """
    if intent.quantity <= exposure.pair_quantity:
        return Approved() if exposure.kill_level < 4 else Refused(Refusal.KILLED, "level 4")
    if exposure.kill_level >= 1:
        return Refused(Refusal.KILLED, f"level {exposure.kill_level}")
    if exposure.ledger_differs:
        return Refused(Refusal.LEDGER_DIFFERS, "the ledger differs from the venue")
    if intent.until is not None and now >= intent.until:
        return Refused(Refusal.EXPIRED, f"wanted until {intent.until.isoformat()}")
    return _review_market(intent, market, exposure, limits, now) or Approved()


def _review_market(
    intent: HoldPair, market: PairMarket, exposure: Exposure, limits: RiskLimits, now: datetime
) -> Refused | None:
    if not exposure.fresh:
        return Refused(Refusal.STALE, "the books are older than their bound")
    if market.spot is None or market.perp is None or market.mark_price is None:
        return Refused(Refusal.PRICE_MISSING, "a book or the mark price is missing")
    if not (market.pair.spot.is_trading and market.pair.perp.is_trading):
        return Refused(Refusal.NOT_TRADING, "a leg is not trading")
    mark = market.mark_price
    if any(abs(q.mid_price - mark) > limits.collar * mark for q in (market.spot, market.perp)):
        return Refused(Refusal.COLLAR, f"a mid price is over {limits.collar} from the mark {mark}")
    if _near_settlement(market, limits, now):
        return Refused(Refusal.SETTLEMENT_WINDOW, "a settlement is near")
    return _review_size(intent, mark, exposure, limits)


def _review_size(
    intent: HoldPair, mark: Decimal, exposure: Exposure, limits: RiskLimits
) -> Refused | None:
    notional = intent.quantity * mark
    added = (intent.quantity - exposure.pair_quantity) * mark
    if notional > limits.pair_notional:
        return Refused(Refusal.PAIR_LIMIT, f"{notional} over {limits.pair_notional}")
    if exposure.gross_notional + added > limits.gross_notional:
        return Refused(Refusal.GROSS_LIMIT, f"{exposure.gross_notional} + {added}")
    if exposure.orders_last_hour >= limits.orders_per_hour:
        return Refused(Refusal.ORDER_RATE, f"{exposure.orders_last_hour} orders in an hour")
    if added * (ONE + limits.collar) > exposure.free_usdt:
        return Refused(Refusal.MARGIN, f"{exposure.free_usdt} USDT free for {added}")
    return None


def _near_settlement(market: PairMarket, limits: RiskLimits, now: datetime) -> bool:
    ahead = market.next_funding_at
    if ahead is not None and ahead - now < limits.before_settlement:
        return True
    behind = market.settlements[-1].settled_at if market.settlements else None
    return behind is not None and timedelta(0) <= now - behind < limits.after_settlement


def reduces_only(intent: HoldPair, held: Decimal) -> bool:
    """Return whether carrying the intent out cannot add exposure."""
    return ZERO <= intent.quantity <= held
