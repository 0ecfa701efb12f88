"""What the venue does to an account by itself: liquidation, deleveraging, delivery."""

from decimal import Decimal
from typing import Final

from shared.venue.amounts import ROUNDED, ZERO, ceil_to, exact, floor_to
from shared.venue.exchange import Exchange
from shared.venue.forced import DELEVERAGING, DELIVERY, LIQUIDATION, REPAYMENT
from shared.venue.margin import SETTLE_COIN, maintenance_margin
from shared.venue.records import Position

STEP_SHARE: Final = 4  # a position is liquidated a quarter at a time


@exact
def enforce_margin(exchange: Exchange) -> bool:
    """Liquidate in the venue's own order while the account is due for it; whether anything was.

    Orders are cancelled, then what is owed in the settlement coin is paid by selling spot, then
    positions are reduced step by step at the mark, the one that binds most first.
    Source: Bybit V5 reference 7.5 and 16.3; the size of a step is not documented.
    """
    acted = False
    if exchange.margin().is_exhausted:
        acted = bool(exchange.cancel_where(lambda _: True, LIQUIDATION.cancel_type))
    if exchange.margin().is_exhausted or exchange.wallet.get(SETTLE_COIN, ZERO) < 0:
        acted = repay_from_spot(exchange) or acted
    while exchange.margin().is_exhausted:
        held = [p for p in exchange.positions.values() if p.size]
        if not held:
            break
        _reduce(exchange, max(held, key=lambda p: _maintenance(exchange, p)))
        acted = True
    if acted and exchange.wallet.get(SETTLE_COIN, ZERO) < 0:
        repay_from_spot(exchange)
    return acted


@exact
def repay_from_spot(exchange: Exchange) -> bool:
    """Sell spot, the most valuable coin first, until nothing is owed in the settlement coin.

    Owed is a negative wallet together with what open positions have lost.
    """
    prices = exchange.coin_prices()
    sold = False
    coins = sorted(
        (coin for coin in exchange.wallet if coin != SETTLE_COIN),
        key=lambda coin: exchange.wallet[coin] * prices.get(coin, ZERO),
        reverse=True,
    )
    for coin in coins:
        rule = next(
            (r for r in exchange.rules.values() if (r.category, r.base) == ("spot", coin)), None
        )
        price = prices.get(coin, ZERO)
        owed = -settled_equity(exchange)
        if rule is None or price <= 0 or owed <= 0:
            continue
        received = price * (1 - rule.taker_fee)
        needed = ceil_to(ROUNDED.divide(owed, received), rule.step)
        qty = floor_to(min(needed, max(ZERO, exchange.wallet[coin])), rule.step)
        if qty > 0:
            exchange.force(rule, "Sell", qty, price, REPAYMENT)
            sold = True
    return sold


def settled_equity(exchange: Exchange) -> Decimal:
    """Return the settlement coin's wallet with the gains and losses of open positions."""
    gains = (
        p.unrealised_pnl(exchange.marks[p.symbol]) for p in exchange.positions.values() if p.size
    )
    return exchange.wallet.get(SETTLE_COIN, ZERO) + sum(gains, ZERO)


@exact
def deleverage(exchange: Exchange, symbol: str, qty: Decimal, price: Decimal) -> Decimal:
    """Close up to ``qty`` of a position against a bankrupt party at ``price``; what was closed."""
    rule = exchange.rules["linear", symbol]
    position = exchange.positions.get(symbol)
    if position is None or not position.size:
        return ZERO
    exchange.cancel_where(lambda o: o.symbol == symbol, DELEVERAGING.cancel_type)
    closed = min(qty, abs(position.size))
    exchange.force(rule, _closing(position), closed, price, DELEVERAGING)
    return closed


@exact
def deliver(exchange: Exchange, symbol: str) -> None:
    """End a delisted perpetual: cancel its orders, close what is held at the mark."""
    rule = exchange.rules["linear", symbol]
    exchange.cancel_where(
        lambda o: (o.category, o.symbol) == ("linear", symbol), DELIVERY.cancel_type
    )
    position = exchange.positions.get(symbol)
    if position is not None and position.size:
        size = abs(position.size)
        exchange.force(rule, _closing(position), size, exchange.marks[symbol], DELIVERY)


def _reduce(exchange: Exchange, position: Position) -> None:
    rule = exchange.rules["linear", position.symbol]
    size = abs(position.size)
    qty = min(size, max(rule.step, ceil_to(size / STEP_SHARE, rule.step)))
    exchange.force(rule, _closing(position), qty, exchange.marks[position.symbol], LIQUIDATION)


def _maintenance(exchange: Exchange, position: Position) -> Decimal:
    rule = exchange.rules["linear", position.symbol]
    return maintenance_margin(rule, abs(position.size) * exchange.marks[position.symbol])


def _closing(position: Position) -> str:
    return "Sell" if position.size > 0 else "Buy"
