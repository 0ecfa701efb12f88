"""What the venue keeps and shows: requests, orders, executions, positions, the account log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Final

from shared.venue.amounts import EXACT, ZERO, quotient

OPEN_STATUSES: Final = frozenset({"New", "PartiallyFilled"})
BY_USER: Final = "CreateByUser"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order as asked for; ``qty`` is positive, in base units (quote units by market_unit).

    A market order may meet prices up to ``slippage`` from the touch: of the kind ``Percent``, or a
    number of ticks (``TickSize``). Zero is the whole position where ``closes_all``.
    """

    category: str
    symbol: str
    side: str
    order_type: str
    qty: Decimal
    price: Decimal | None = None
    time_in_force: str = "IOC"
    link_id: str = ""
    reduce_only: bool = False
    market_unit: str = "baseCoin"
    slippage_type: str = ""
    slippage: Decimal = ZERO
    closes_all: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the venue holds it; replaced, never changed.

    ``price`` of a market order is the bound it was given. ``filled_value`` is in quote units.
    ``fees`` holds what was paid per currency. Instants are venue milliseconds.
    """

    order_id: str
    link_id: str
    category: str
    symbol: str
    side: str
    order_type: str
    time_in_force: str
    price: Decimal | None
    qty: Decimal
    reduce_only: bool
    market_unit: str
    status: str
    created_ms: int
    updated_ms: int
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    fees: Mapping[str, Decimal] = field(default_factory=dict)
    reject_reason: str = "EC_NoError"
    cancel_type: str = "UNKNOWN"
    create_type: str = BY_USER

    @property
    def is_open(self) -> bool:
        """Whether the order still rests in the book."""
        return self.status in OPEN_STATUSES

    @property
    def leaves_qty(self) -> Decimal:
        """Quantity still to fill; zero once the order is final, as the venue shows it."""
        return EXACT.subtract(self.qty, self.filled_qty) if self.is_open else ZERO

    @property
    def average_price(self) -> Decimal | None:
        """Average fill price to twelve places; None while nothing is filled."""
        return quotient(self.filled_value, self.filled_qty) if self.filled_qty else None


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill, one funding settlement (``exec_type`` "Funding"), or one trade of the venue's own.

    ``fee`` is positive when paid (the opposite of the log's ``funding``), in ``fee_currency``.
    A settlement's ``side`` is the position's side and ``qty`` its absolute size.
    """

    exec_id: str
    order_id: str
    link_id: str
    category: str
    symbol: str
    side: str
    order_type: str
    order_price: Decimal
    order_qty: Decimal
    leaves_qty: Decimal
    price: Decimal
    qty: Decimal
    value: Decimal
    fee: Decimal
    fee_currency: str
    fee_rate: Decimal
    exec_type: str
    is_maker: bool
    closed_size: Decimal
    realised_pnl: Decimal
    mark_price: Decimal
    time_ms: int
    seq: int
    create_type: str = BY_USER


@dataclass(frozen=True, slots=True)
class Position:
    """One perpetual position: ``size`` signed, base units; ``entry_value`` positive, quote units.

    A closed position stays listed with size zero, for its ``realised_pnl`` (price gains alone,
    before fees and funding).
    """

    symbol: str
    size: Decimal
    entry_value: Decimal
    leverage: Decimal
    realised_pnl: Decimal = ZERO
    created_ms: int = 0
    updated_ms: int = 0
    seq: int = 0

    @property
    def side(self) -> str:
        """The venue's word for the direction: Buy, Sell, or nothing when flat."""
        return "" if not self.size else "Buy" if self.size > 0 else "Sell"

    @property
    def entry_price(self) -> Decimal:
        """Average entry price to twelve places; zero when flat."""
        return quotient(self.entry_value, abs(self.size)) if self.size else ZERO

    def unrealised_pnl(self, mark: Decimal) -> Decimal:
        """Return the gain (+) or loss (-) at ``mark``, quote units."""
        with localcontext(EXACT):
            worth = self.size * mark
            return worth - self.entry_value if self.size > 0 else worth + self.entry_value


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One row of the account log: ``change = cash_flow + funding - fee``, positive is received.

    ``cash_balance`` is the currency's balance after the row. ``qty`` is signed per currency for
    spot and unsigned for perpetuals; ``size`` is the signed position after the row.
    """

    id: str
    type: str
    category: str
    symbol: str
    side: str
    time_ms: int
    currency: str
    qty: Decimal
    size: Decimal
    trade_price: Decimal
    cash_flow: Decimal
    funding: Decimal
    fee: Decimal
    change: Decimal
    cash_balance: Decimal
    fee_rate: Decimal
    trade_id: str
    order_id: str
    link_id: str


@dataclass(frozen=True, slots=True)
class Event:
    """One private message: topic order, execution, position or wallet, and what it tells.

    Wallet events carry the balance of every coin that changed, after the change.
    """

    topic: str
    data: Order | Execution | Position | Mapping[str, Decimal]


def spends_quote(order: Order | OrderRequest) -> bool:
    """Return whether the quantity is an amount of quote currency: a spot market order by value."""
    return (
        order.category == "spot"
        and order.order_type == "Market"
        and order.market_unit == "quoteCoin"
    )
