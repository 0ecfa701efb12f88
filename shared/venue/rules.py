"""The rules of one product, and the venue's refusals by their own codes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.venue.amounts import on_grid
from shared.venue.records import OrderRequest, spends_quote

LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]{0,36}")
SIDES: Final = ("Buy", "Sell")
TIMES_IN_FORCE: Final = ("GTC", "IOC", "FOK", "PostOnly")
MARKET_UNITS: Final = ("baseCoin", "quoteCoin")
SLIPPAGES: Final = {
    "Percent": (Decimal("0.01"), Decimal(10), Decimal("0.01"), 110108),
    "TickSize": (Decimal(1), Decimal(10_000), Decimal(1), 110109),
}
"""Least and greatest tolerance of a market order, its step, and the code of a wrong one."""


@dataclass(frozen=True, slots=True)
class RiskTier:
    """Positions worth up to ``limit`` (quote units): ``maintenance = worth * rate - deduction``."""

    limit: Decimal
    rate: Decimal
    deduction: Decimal
    max_leverage: Decimal


@dataclass(frozen=True, slots=True)
class Rule:
    """One product as traded: price tick, quantity step, bounds, fees (fractions of notional).

    ``price_band`` is the greatest distance of a limit price from mark (linear) or index (spot),
    as a fraction; None means that no band is held. ``risk_tiers``, by rising limit, take the place
    of ``maintenance_rate`` where there are any.
    """

    category: str
    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    taker_fee: Decimal
    maker_fee: Decimal
    max_leverage: Decimal = Decimal(10)
    maintenance_rate: Decimal = Decimal("0.01")
    price_band: Decimal | None = None
    risk_tiers: tuple[RiskTier, ...] = ()


class Refused(Exception):
    """The venue said no: ``code`` is its retCode, ``message`` its retMsg, ``result`` more of it."""

    def __init__(self, code: int, message: str, result: Mapping[str, object] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.result = dict(result or {})


def unknown_symbol(category: str, symbol: str) -> Refused:
    """Return the refusal for a product that is not listed."""
    if category == "spot":
        return Refused(170121, "Invalid symbol.")
    return Refused(10001, f"params error: symbol invalid {symbol}")


def unknown_order(category: str) -> Refused:
    """Return the refusal for an order that is final or never was."""
    if category == "spot":
        return Refused(170213, "Order does not exist.")
    return Refused(110001, "order not exists or too late to cancel")


def duplicate_link_id(category: str) -> Refused:
    """Return the refusal of a client id that was used before: proof that the first arrived."""
    if category == "spot":
        return Refused(170141, "Duplicate clientOrderId")
    return Refused(110072, "OrderLinkedID is duplicate")


def insufficient(category: str) -> Refused:
    """Return the refusal of an order the account cannot pay for."""
    if category == "spot":
        return Refused(170131, "Insufficient balance.")
    return Refused(110007, "ab not enough for new order")


def check_shape(request: OrderRequest) -> None:
    """Raise Refused (10001) when a field holds what the venue does not know."""
    if request.side not in SIDES:
        raise Refused(10001, "Side invalid")
    if request.order_type not in ("Limit", "Market"):
        raise Refused(10001, "OrderType invalid")
    if request.time_in_force not in TIMES_IN_FORCE:
        raise Refused(10001, "TimeInForce invalid")
    if LINK_ID.fullmatch(request.link_id) is None:
        raise Refused(10001, "OrderLinkId invalid")
    if request.order_type == "Limit" and (request.price is None or request.price <= 0):
        raise Refused(10001, "Price invalid")
    closes = request.closes_all and request.reduce_only and request.qty == 0
    if not request.qty.is_finite() or (request.qty <= 0 and not closes):
        raise Refused(10001, "Qty invalid")
    if request.market_unit not in MARKET_UNITS:
        raise Refused(10001, "MarketUnit invalid")
    if request.slippage_type:
        _check_slippage(request)


def _check_slippage(request: OrderRequest) -> None:
    if request.order_type != "Market" or request.slippage_type not in SLIPPAGES:
        raise Refused(10001, "SlippageTolerance invalid")
    least, most, step, code = SLIPPAGES[request.slippage_type]
    if not (least <= request.slippage <= most and on_grid(request.slippage, step)):
        raise Refused(code, f"slippageTolerance allowRange: {least} to {most}")


def check_grid(rule: Rule, request: OrderRequest) -> None:
    """Raise Refused when price or quantity are off the product's grid or outside its bounds."""
    spot = rule.category == "spot"
    if request.price is not None and not on_grid(request.price, rule.tick):
        raise Refused(170134 if spot else 10001, "Order price has too many decimals.")
    if spends_quote(request):
        if request.qty < rule.min_notional:
            raise Refused(170140, "Order value exceeded lower limit.")
        return
    if not spot and 0 < request.qty < rule.step:
        raise Refused(110017, "orderQty will be truncated to zero.")
    if not on_grid(request.qty, rule.step):
        raise Refused(170137 if spot else 10001, "Order quantity has too many decimals.")
    if request.qty > rule.max_qty:
        raise Refused(170124 if spot else 10001, "Order quantity exceeded upper limit.")
    if not request.reduce_only and request.qty < rule.min_qty:
        raise Refused(170136 if spot else 10001, "Order quantity exceeded lower limit.")


def check_notional(rule: Rule, request: OrderRequest, price: Decimal | None) -> None:
    """Raise Refused (170140, 110094) below the least value; reduce-only orders are exempt."""
    exempt = spends_quote(request) or (rule.category != "spot" and request.reduce_only)
    if exempt or price is None or request.qty * price >= rule.min_notional:
        return
    if rule.category == "spot":
        raise Refused(170140, "Order value exceeded lower limit.")
    raise Refused(110094, "Order does not meet minimum order value")
