"""Trading fees: how much, and in which currency."""

from decimal import Decimal

from shared.venue.amounts import EXACT
from shared.venue.rules import Rule


def trading_fee(
    rule: Rule, side: str, qty: Decimal, value: Decimal, *, is_maker: bool
) -> tuple[Decimal, str]:
    """Return the fee (positive is paid, a rebate negative) and its currency, unrounded.

    A spot buy pays from the base coin it receives; everything else pays in the quote coin. A
    maker rebate on spot is paid in the other coin.
    Source: Bybit V5, enum page, spot fee currency instruction.
    """
    rate = fee_rate(rule, is_maker=is_maker)
    in_base = rule.category == "spot" and (side == "Buy") == (rate >= 0)
    return EXACT.multiply(qty if in_base else value, rate), rule.base if in_base else rule.quote


def fee_rate(rule: Rule, *, is_maker: bool) -> Decimal:
    """Return the fraction of notional charged to a maker or a taker."""
    return rule.maker_fee if is_maker else rule.taker_fee
