"""One row of the venue's transaction log, and whose it is."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from shared.domain.errors import InvariantViolation
from shared.domain.money import ZERO
from shared.domain.order import Side

STABLE: Final = "USDT"
TRADES: Final = frozenset(
    {"TRADE", "LIQUIDATION", "ADL", "DELIVERY", "SPOT_REPAYMENT_SELL", "SPOT_REPAYMENT_BUY"}
)
KINDS: Final = {
    "SETTLEMENT": "funding",
    "TRANSFER_IN": "external",
    "TRANSFER_OUT": "external",
    "FEE_REFUND": "fees",
    "INTEREST": "borrow",
    "BORROW": "borrow",
    "REPAY": "borrow",
    "OPENING": "opening",
    "ADOPT": "repair",
}
"""What the venue's words mean to the ledger; the last two are our own, for rows nobody sends."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row of the transaction log: ``change`` = cash flow + funding - fee, then the balance.

    ``key`` is unique: the venue repeats ``id`` on more than one row. ``funding`` positive is
    received, ``fee`` positive is paid.
    """

    key: str
    kind: str
    category: str
    symbol: str
    currency: str
    side: str
    quantity: Decimal
    price: Decimal | None
    cash_flow: Decimal
    funding: Decimal
    fee: Decimal
    change: Decimal
    balance: Decimal
    exec_id: str
    order_id: str
    link_id: str
    venue_at: datetime

    @property
    def signed_quantity(self) -> Decimal:
        """Base units bought (+) or sold (-), of a row that names a side."""
        return abs(self.quantity) * Side(self.side).sign

    @property
    def traded_at(self) -> Decimal:
        """The price; raises InvariantViolation where a row trades without one."""
        if self.price is None:
            raise InvariantViolation(f"log row {self.key} trades without a price")
        return self.price

    @property
    def odd(self) -> Decimal:
        """What the row's parts do not explain of its change; zero, says the venue (R:M4)."""
        return self.change - (self.cash_flow + self.funding - self.fee)


@dataclass(frozen=True, slots=True)
class OwnedRow:
    """A row with what we knew when it was booked; all that the books are made from.

    ``pair`` owns it, None: nobody. ``reference_price`` is the mid of the order's book when it was
    journaled, or the price that a repair or an opening counts at. ``lot`` is the pair's common lot.
    """

    row: LogRow
    pair: str | None = None
    base: str = ""
    reference_price: Decimal | None = None
    lot: Decimal = ZERO
    correlation_id: str | None = None
    is_seen: bool = False
    """Older than the opening balance that contains it: kept, but nothing is booked for it."""


def kind_of(row: LogRow) -> str:
    """Return what the ledger calls it; ``suspense`` for what we do not know."""
    if row.kind in TRADES and row.category in ("spot", "linear"):
        return "trade"
    return KINDS.get(row.kind, "suspense")
