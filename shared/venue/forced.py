"""Trades that the venue makes by itself, by the words it uses for them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Forced:
    """One kind of forced trade: how executions, orders and log rows name it.

    ``has_order`` is false where the venue shows a trade without an order. ``pays_fee`` is whether
    the taker fee is charged; only liquidations are documented to.
    """

    exec_type: str
    create_type: str
    cancel_type: str
    log_type: str
    has_order: bool = True
    pays_fee: bool = False


LIQUIDATION: Final = Forced(
    "BustTrade", "CreateByLiq", "CancelByPrepareLiq", "LIQUIDATION", pays_fee=True
)
DELEVERAGING: Final = Forced("AdlTrade", "CreateByAdl_PassThrough", "CancelAllBeforeAdl", "ADL")
DELIVERY: Final = Forced(
    "Delivery", "CreateBySettle", "CancelBySettle", "DELIVERY", has_order=False
)
REPAYMENT: Final = Forced(
    "Trade", "CreateByLiq", "CancelByPrepareLiq", "SPOT_REPAYMENT_SELL", pays_fee=True
)
"""Selling spot to pay what is owed in the settlement coin."""
