"""From one row of the venue's transaction log to a posting group: pure, entries sum to zero."""

from datetime import datetime
from decimal import Decimal, localcontext
from typing import Final

from shared.domain.log import STABLE, LogRow, OwnedRow, kind_of
from shared.domain.money import ZERO
from shared.domain.order import Side
from shared.domain.profit import WIDE
from shared.store.ledger import Entry, PostingGroup

ACCOUNTS: Final = {
    "funding": "realized",
    "external": "external",
    "fees": "fees",
    "borrow": "borrow",
    "opening": "opening",
    "suspense": "suspense",
}
"""Where a row's cash flow goes, by the kind of the row; of a trade by its product."""


def booked(owned: OwnedRow) -> PostingGroup:
    """Return what ``owned`` books: the wallet moves by its change, the other side says why.

    Fees paid stand positive in ``fees``, funding received negative in ``funding``. What a row's
    parts do not explain goes to ``suspense``. A row that was seen before the opening has no lines.
    Source: Bybit V5 transaction log: change = cash flow + funding - fee.
    """
    row = owned.row
    kind = "opening" if owned.is_seen else kind_of(row)
    lines: tuple[tuple[str, str, Decimal], ...] = ()
    if not owned.is_seen:
        with localcontext(WIDE):
            match kind:
                case "repair":
                    lines = _adopted(owned)
                case "opening" if row.category == "linear":
                    lines = _carried_in(owned)
                case _:
                    lines = _moved(row)
    return PostingGroup(
        key=row.key,
        kind=kind,
        pair=owned.pair,
        exec_id=row.exec_id or None,
        asset=row.currency,
        venue_balance=row.balance,
        venue_at=row.venue_at,
        correlation_id=owned.correlation_id,
        entries=tuple(Entry(*line) for line in lines if line[2] != ZERO),
    )


def opening(coin: str, balance: Decimal, venue_at: datetime) -> LogRow:
    """Return the row that brings in what ``coin`` held when we came, as of ``venue_at``."""
    return _own_row(f"opening:{coin}", "OPENING", coin, venue_at, change=balance, balance=balance)


def opening_position(
    symbol: str, quantity: Decimal, entry_price: Decimal, balance: Decimal, venue_at: datetime
) -> LogRow:
    """Return the row that brings in a perpetual somebody held when we came."""
    return _own_row(
        f"opening:{symbol}",
        "OPENING",
        STABLE,
        venue_at,
        category="linear",
        symbol=symbol,
        quantity=quantity,
        price=entry_price,
        balance=balance,
    )


def adoption(
    command: int,
    category: str,
    symbol: str,
    coin: str,
    quantity: Decimal,
    price: Decimal,
    balance: Decimal,
    venue_at: datetime,
) -> LogRow:
    """Return the repair that gives a pair what nobody owned; its key derives from the command."""
    return _own_row(
        f"adopt:{command}:{category}",
        "ADOPT",
        coin,
        venue_at,
        category=category,
        symbol=symbol,
        quantity=quantity,
        price=price,
        balance=balance,
    )


def is_consistent(row: LogRow) -> bool:
    """Return whether the row's change is explained by its parts, to the digit (R:M4)."""
    with localcontext(WIDE):
        return row.odd == ZERO


def _moved(row: LogRow) -> tuple[tuple[str, str, Decimal], ...]:
    coin = row.currency
    return (
        ("wallet", coin, row.change),
        (_account_of_cash(row), coin, -row.cash_flow),
        ("funding", coin, -row.funding),
        ("fees", coin, row.fee),
        ("suspense", coin, -row.odd),
    )


def _carried_in(owned: OwnedRow) -> tuple[tuple[str, str, Decimal], ...]:
    """Return what an open perpetual had gained when it was taken up."""
    row = owned.row
    mark = owned.reference_price or row.traded_at
    gain = row.signed_quantity * (mark - row.traded_at)
    return (("position", row.currency, gain), ("opening", row.currency, -gain))


def _adopted(owned: OwnedRow) -> tuple[tuple[str, str, Decimal], ...]:
    """Return how coins change hands: what was brought in as coin counts as cash from now on."""
    row = owned.row
    if row.category == "linear":
        return ()
    quantity, value = row.signed_quantity, row.signed_quantity * row.traded_at
    return (
        ("opening", row.currency, quantity),
        ("adopted", row.currency, -quantity),
        ("opening", STABLE, -value),
        ("adopted", STABLE, value),
    )


def _account_of_cash(row: LogRow) -> str:
    kind = kind_of(row)
    if kind == "trade":
        return "trade" if row.category == "spot" else "realized"
    return ACCOUNTS[kind]


def _own_row(
    key: str,
    kind: str,
    coin: str,
    venue_at: datetime,
    *,
    category: str = "",
    symbol: str = "",
    quantity: Decimal = ZERO,
    price: Decimal | None = None,
    change: Decimal = ZERO,
    balance: Decimal = ZERO,
) -> LogRow:
    """Return a row that the venue never sent; ``quantity`` is signed, kept as side and size."""
    return LogRow(
        key=key,
        kind=kind,
        category=category,
        symbol=symbol,
        currency=coin,
        side=(Side.SELL if quantity < ZERO else Side.BUY).value,
        quantity=abs(quantity),
        price=price,
        cash_flow=change,
        funding=ZERO,
        fee=ZERO,
        change=change,
        balance=balance,
        exec_id="",
        order_id="",
        link_id="",
        venue_at=venue_at,
    )
