"""Whether an account can pay for an order, and what its resting orders hold back."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from shared.venue.amounts import ZERO, exact
from shared.venue.books import Book
from shared.venue.margin import Collateral
from shared.venue.records import Order, OrderRequest, spends_quote
from shared.venue.rules import Rule, insufficient

Rules = Mapping[tuple[str, str], Rule]


@exact
def locked(coin: str, resting: Iterable[Order], rules: Rules) -> Decimal:
    """Return how much of ``coin`` resting spot orders hold back."""
    held = ZERO
    for order in resting:
        rule = rules[order.category, order.symbol]
        if rule.category == "spot" and order.price is not None:
            if order.side == "Buy" and coin == rule.quote:
                held += order.leaves_qty * order.price
            if order.side == "Sell" and coin == rule.base:
                held += order.leaves_qty
    return held


def order_size(
    rule: Rule, request: OrderRequest, limit: Decimal | None, book: Book
) -> tuple[Decimal, Decimal]:
    """Return the quote value an order may cost, a limit order at its price, and its base size."""
    if spends_quote(request):
        fills = book.preview_value(request.side, limit, request.qty, rule.step)
        return request.qty, sum((qty for _, qty in fills), ZERO)
    if request.order_type == "Limit" and limit is not None:
        return request.qty * limit, request.qty
    fills = book.preview(request.side, limit, request.qty)
    return sum((price * qty for price, qty in fills), ZERO), request.qty


@exact
def check_spot_funds(
    rule: Rule,
    side: str,
    size: tuple[Decimal, Decimal],
    free: Mapping[str, Decimal],
    available: Decimal,
    collateral: Collateral,
) -> None:
    """Raise Refused when the coin, or the margin a purchase takes by its haircut, is not there.

    ``size`` is quote value and base quantity, ``free`` what each coin has unlocked, ``available``
    the account's free margin in USDT.
    """
    cost, qty = size
    coin, needed = (rule.quote, cost) if side == "Buy" else (rule.base, qty)
    if needed > free.get(coin, ZERO):
        raise insufficient(rule.category)
    if side == "Buy" and qty:
        held = max(ZERO, free.get(rule.base, ZERO))
        # ``cost`` stands for the price: both sides of the comparison are ``qty`` times too large.
        before = collateral.value(rule.base, held, cost)
        after = collateral.value(rule.base, held + qty, cost)
        if cost * qty - (after - before) > max(ZERO, available) * qty:
            raise insufficient(rule.category)
