"""Cross margin of one unified account, valued in the settlement coin."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from shared.venue.amounts import ROUNDED, ZERO, exact
from shared.venue.records import Order, Position
from shared.venue.rules import RiskTier, Rule

SETTLE_COIN: Final = "USDT"
COLLATERAL_RATIO: Final = Decimal("0.9")


@dataclass(frozen=True, slots=True)
class CollateralTier:
    """Of a coin, the quantity up to ``upto`` (None: without end) backs ``ratio`` of its price."""

    upto: Decimal | None
    ratio: Decimal


FLAT: Final = (CollateralTier(None, COLLATERAL_RATIO),)


@dataclass(slots=True)
class Collateral:
    """What coins back: brackets by coin, and the coins whose owner switched them off.

    Brackets are marginal, each for its own part of the quantity. Source: Bybit V5, tiered
    collateral ratio (whether they are marginal is not documented).
    """

    tiers: Mapping[str, Sequence[CollateralTier]] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)

    @exact
    def value(self, coin: str, amount: Decimal, price: Decimal) -> Decimal:
        """Return what ``amount`` of a coin backs, in USDT; what is owed counts in full."""
        if coin == SETTLE_COIN:
            return amount
        if amount <= 0:
            return amount * price
        if coin in self.off:
            return ZERO
        backed, below = ZERO, ZERO
        for tier in self.tiers.get(coin, FLAT):
            upto = amount if tier.upto is None else min(amount, tier.upto)
            backed += max(ZERO, upto - below) * tier.ratio
            below = max(below, upto)
        return backed * price


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

    @property
    def is_exhausted(self) -> bool:
        """Whether the account is due for liquidation: its maintenance rate has reached one."""
        return self.maintenance > 0 and self.maintenance >= self.balance


@exact
def account_margin(
    wallet: Mapping[str, Decimal],
    coin_prices: Mapping[str, Decimal],
    positions: Iterable[tuple[Position, Decimal, Rule]],
    open_orders: Iterable[tuple[Order, Rule]],
    collateral: Collateral,
) -> Margin:
    """Return the margin of an account; ``positions`` come with their mark price and rule.

    A coin without a price backs nothing.
    """
    balance = ZERO
    for coin, amount in wallet.items():
        balance += collateral.value(coin, amount, coin_prices.get(coin, ZERO))
    initial = maintenance = ZERO
    for position, mark, rule in positions:
        worth = abs(position.size) * mark
        balance += position.unrealised_pnl(mark)
        initial += initial_margin(worth, position.leverage)
        maintenance += maintenance_margin(rule, worth)
    for order, rule in open_orders:
        if rule.category == "linear" and not order.reduce_only and order.price is not None:
            initial += initial_margin(order.leaves_qty * order.price, rule.max_leverage)
    return Margin(balance, initial, maintenance)


def initial_margin(value: Decimal, leverage: Decimal) -> Decimal:
    """Return the margin that ``value`` (quote units) binds at ``leverage``."""
    return ROUNDED.divide(value, leverage).quantize(Decimal("1E-12"), context=ROUNDED)


@exact
def maintenance_margin(rule: Rule, worth: Decimal) -> Decimal:
    """Return the least margin of a position worth ``worth`` (quote units), by its risk tier."""
    tier = risk_tier(rule, worth)
    return worth * rule.maintenance_rate if tier is None else worth * tier.rate - tier.deduction


def risk_tier(rule: Rule, worth: Decimal) -> RiskTier | None:
    """Return the tier that a position worth ``worth`` falls into, the last one beyond them all."""
    for tier in rule.risk_tiers:
        if worth <= tier.limit:
            return tier
    return rule.risk_tiers[-1] if rule.risk_tiers else None


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
