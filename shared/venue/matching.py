"""What a book gives an order, and the state that leaves the order in: values in, values out."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from shared.venue.amounts import ZERO, ceil_to, floor_to
from shared.venue.books import Book, Levels
from shared.venue.records import Order, OrderRequest, spends_quote
from shared.venue.rules import Refused, Rule

MARKET_BAND: Final = Decimal("0.05")  # how far from the touch a market order may walk the book


def market_bound(best: Decimal, request: OrderRequest, tick: Decimal) -> Decimal:
    """Return the worst price of a market order: the venue makes it a bounded IOC limit."""
    if request.slippage_type == "TickSize":
        distance = request.slippage * tick
        return best + distance if request.side == "Buy" else max(tick, best - distance)
    band = request.slippage / 100 if request.slippage_type else MARKET_BAND
    if request.side == "Buy":
        return floor_to(best * (1 + band), tick)
    return ceil_to(best * (1 - band), tick)


def price_bounds(reference: Decimal, band: Decimal) -> tuple[Decimal, Decimal]:
    """Return the highest bid and the lowest ask, ``band`` (a fraction) around ``reference``."""
    width = reference * band
    return reference + width, reference - width


def banded_price(
    rule: Rule, side: str, price: Decimal, reference: Decimal, *, adjusts: bool
) -> Decimal:
    """Return the price inside the product's band around ``reference``.

    Beyond the band it is moved to the bound, or refused, as the account chose: the venue moves
    futures and refuses spot by default (170193, 170194; 30208, 30209 for futures).
    """
    if rule.price_band is None:
        return price
    top, bottom = price_bounds(reference, rule.price_band)
    if (price <= top) if side == "Buy" else (price >= bottom):
        return price
    if adjusts:
        return floor_to(top, rule.tick) if side == "Buy" else ceil_to(bottom, rule.tick)
    high, low = (170193, 170194) if rule.category == "spot" else (30208, 30209)
    raise Refused(high if side == "Buy" else low, "order price is outside the price limit")


def order_fills(
    order: Order, rule: Rule, book: Book, reducible: Decimal, *, maker: bool
) -> tuple[Levels, str]:
    """Return the fills an order gets and, when its time in force forbids them, the reason."""
    if spends_quote(order):
        return book.preview_value(order.side, order.price, order.qty, rule.step), ""
    left = order.qty - order.filled_qty
    if order.reduce_only:
        left = min(left, reducible)
    fills = book.preview(order.side, order.price, left)
    if order.time_in_force == "PostOnly" and fills and not maker:
        return [], "EC_PostOnlyWillTakeLiquidity"
    if order.time_in_force == "FOK" and sum((qty for _, qty in fills), ZERO) < left:
        return [], "EC_NoEnoughQtyToFill"
    return fills, ""


def settled_order(order: Order, reducible: Decimal, reason: str, now_ms: int) -> Order:
    """Return the order with the status that its fills and its time in force leave it in."""
    by_value = spends_quote(order) and order.filled_qty > 0
    if by_value or order.filled_qty >= order.qty:
        return replace(order, status="Filled", updated_ms=now_ms)
    if order.reduce_only and not reducible:
        return cancelled_order(order, now_ms, cancel_type="CancelByReduceOnly")
    if reason:
        return cancelled_order(order, now_ms, reason=reason)
    if order.time_in_force in ("IOC", "FOK"):
        return cancelled_order(order, now_ms, reason="EC_NoImmediateQtyToFill")
    return order


def cancelled_order(
    order: Order, now_ms: int, *, reason: str = "EC_NoError", cancel_type: str = "UNKNOWN"
) -> Order:
    """Return the order cancelled; only spot has a status of its own for a part that was filled."""
    partial = order.category == "spot" and order.filled_qty > 0
    return replace(
        order,
        status="PartiallyFilledCanceled" if partial else "Cancelled",
        reject_reason=reason,
        cancel_type=cancel_type,
        updated_ms=now_ms,
    )
