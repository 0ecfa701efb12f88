"""Cross margin of one unified account, valued in the settlement coin."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.venue.amounts import ROUNDED, ZERO, exact
from shared.venue.records import Order, Position
from shared.venue.rules import Rule

SETTLE_COIN: Final = "USDT"
COLLATERAL_RATIO: Final = Decimal("0.9")


@dataclass(frozen=True, slots=True)
class Margin:
    """Amounts in USDT: what backs the account, and what its positions and orders bind."""

    balance: Decimal
    initial: Decimal
    maintenance: Decimal

    @property
    def available(self) -> Decimal:
        """What new orders may bind; negative when short."""
        return self.balance - self.initial


@exact
def account_margin(
    wallet: Mapping[str, Decimal],
    coin_prices: Mapping[str, Decimal],
    positions: Iterable[tuple[Position, Decimal, Rule]],
    open_orders: Iterable[tuple[Order, Rule]],
) -> Margin:
    """Return the margin of an account; ``positions`` come with their mark price and rule.

    Coins other than USDT count at nine tenths of their price, and not at all without one.
    """
    balance = wallet.get(SETTLE_COIN, ZERO)
    for coin, amount in wallet.items():
        if coin != SETTLE_COIN:
            balance += amount * coin_prices.get(coin, ZERO) * COLLATERAL_RATIO
    initial = maintenance = ZERO
    for position, mark, rule in positions:
        worth = abs(position.size) * mark
        balance += position.unrealised_pnl(mark)
        initial += initial_margin(worth, position.leverage)
        maintenance += worth * rule.maintenance_rate
    for order, rule in open_orders:
        if rule.category == "linear" and not order.reduce_only and order.price is not None:
            initial += initial_margin(order.leaves_qty * order.price, rule.max_leverage)
    return Margin(balance, initial, maintenance)


def initial_margin(value: Decimal, leverage: Decimal) -> Decimal:
    """Return the margin that ``value`` (quote units) binds at ``leverage``."""
    return ROUNDED.divide(value, leverage).quantize(Decimal("1E-12"), context=ROUNDED)


@exact
def equity_of(
    wallet: Mapping[str, Decimal],
    prices: Mapping[str, Decimal],
    positions: Iterable[tuple[Position, Decimal]],
) -> Decimal:
    """Return the account's worth in USDT: coins at full price plus unrealised gains at mark.

    Raises KeyError when a coin that is held has no price: a missing price is not zero.
    """
    worth = wallet.get(SETTLE_COIN, ZERO)
    for coin, amount in wallet.items():
        if coin != SETTLE_COIN and amount:
            worth += amount * prices[coin]
    for position, mark in positions:
        worth += position.unrealised_pnl(mark)
    return worth
