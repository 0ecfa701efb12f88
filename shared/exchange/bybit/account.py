"""What the account must be before the first order (F:E9, R:K7): each refusal says the remedy."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from shared.domain.errors import Misconfigured
from shared.domain.money import plain
from shared.exchange.bybit.parse import Row, optional_amount
from shared.exchange.ports import KeyInfo

CROSS_MARGIN: Final = "REGULAR_MARGIN"
LEVERAGE_LEAST: Final = Decimal(2)


def require_cross_margin(account: Row) -> None:
    """Refuse a margin mode in which spot does not back the short."""
    mode = account.get("marginMode")
    if mode != CROSS_MARGIN:
        raise Misconfigured(
            f"The account's margin mode is {mode}; "
            "set it to cross (REGULAR_MARGIN), where spot backs the short."
        )


def require_collateral(switches: Sequence[Row], coins: Sequence[str]) -> None:
    """Refuse a coin that the venue would take as margin and the account does not give."""
    for row in switches:
        if (
            row.get("currency") in coins
            and row.get("marginCollateral")
            and not row.get("collateralSwitch")
        ):
            raise Misconfigured(
                f"{row['currency']} is switched off as collateral, so it cannot back its short; "
                "switch it on under the account's collateral settings."
            )


def require_positions(held: Sequence[Row]) -> None:
    """Refuse hedge mode, and a leverage at which a short binds nearly all it is worth."""
    for row in held:
        if row.get("positionIdx", 0) != 0:
            raise Misconfigured("The account is in hedge mode; switch USDT perpetuals to one-way.")
        leverage = optional_amount(row, "leverage")
        if leverage is not None and leverage < LEVERAGE_LEAST:
            raise Misconfigured(
                f"The leverage of {row.get('symbol')} is {plain(leverage)}, which binds nearly all "
                f"that a short is worth; set it to {LEVERAGE_LEAST} or more."
            )


def require_key(key: KeyInfo, row: Row, venue: str) -> None:
    """Refuse a key that may withdraw or may not trade, and a live one bound to no address."""
    if key.can_withdraw:
        raise Misconfigured("The API key may withdraw; make one with trade rights only.")
    if not key.can_trade:
        raise Misconfigured(
            "The API key may not trade spot and contracts; give it order and position rights."
        )
    if row.get("uta") != 1:
        raise Misconfigured("The account is no unified account; upgrade it on Bybit first.")
    if venue == "live" and not key.bound_ips:
        raise Misconfigured("The API key is bound to no address; bind it to this server's.")
