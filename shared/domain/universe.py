"""Which pairs may be traded now, with a reason for each that may not."""

from datetime import datetime
from enum import StrEnum

from shared.domain.funding import is_complete
from shared.domain.market import PairMarket, Pool
from shared.domain.policy import CarryPolicy


class Reason(StrEnum):
    """Why a pair was passed over, held, opened or closed."""

    BOOK_MISSING = "book_missing"
    BOOK_UNSOUND = "book_unsound"
    BOOK_STALE = "book_stale"
    PRICE_MISSING = "price_missing"
    FUNDING_MISSING = "funding_missing"
    NOT_TRADING = "not_trading"
    IDENTITY_DOUBTFUL = "identity_doubtful"
    HISTORY_SHORT = "history_short"
    BASIS_MISSING = "basis_missing"
    SIGNALS_MISSING = "signals_missing"
    LONGS_ARE_PAID = "longs_are_paid"
    BREAK_EVEN_TOO_FAR = "break_even_too_far"
    BELOW_MARGIN = "below_margin"
    BASIS_LOW = "basis_low"
    LOSS_TOO_LIKELY = "loss_too_likely"
    ADL_ALERT = "adl_alert"
    ADL_UNKNOWN = "adl_unknown"
    SETTLEMENT_NEAR = "settlement_near"
    TOO_SMALL = "too_small"
    NO_ROOM = "no_room"
    WORTH_OPENING = "worth_opening"
    WORTH_STAYING = "worth_staying"
    PAID_SOON = "paid_soon"
    NOT_KNOWN = "not_known"
    WORTH_LEAVING = "worth_leaving"
    ROTATED = "rotated"
    DELISTING = "delisting"


def exclusion(market: PairMarket, policy: CarryPolicy, instant: datetime) -> Reason | None:
    """Return why nothing can be known of this pair at ``instant``; None when it is eligible."""
    if not market.pair.is_trading:
        return Reason.NOT_TRADING
    if market.spot is None or market.perp is None:
        return Reason.BOOK_MISSING
    if not (market.spot.is_sound and market.perp.is_sound):
        return Reason.BOOK_UNSOUND
    if min(market.spot.venue_at, market.perp.venue_at) < instant:
        return Reason.BOOK_STALE
    if market.mark_price is None or market.index_price is None:
        return Reason.PRICE_MISSING
    basis = market.basis_rate
    if basis is None or abs(basis) > policy.basis_limit:
        return Reason.IDENTITY_DOUBTFUL
    if market.next_funding_at is None or not is_complete(
        market.settlements,
        market.next_funding_at,
        market.funding_interval,
        market.settled_by,
        instant,
    ):
        return Reason.FUNDING_MISSING
    if len(market.settlements) < policy.forecast_settlements:
        return Reason.HISTORY_SHORT
    signals = market.signals
    if signals is None or signals.as_of != market.settlements[-1].settled_at:
        return Reason.SIGNALS_MISSING
    if signals.basis is None:
        return Reason.BASIS_MISSING
    return None if signals.is_complete else Reason.SIGNALS_MISSING


def newcomer_exclusion(market: PairMarket) -> Reason | None:
    """Return why a pair may not be entered that might be held: its winners are deleveraged (A10).

    A pool that nobody watches excludes nothing, one that was lost sight of does.
    """
    return {Pool.SHORT: Reason.ADL_ALERT, Pool.LOST: Reason.ADL_UNKNOWN}.get(market.pool)
