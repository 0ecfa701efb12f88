"""From one row of the venue's transaction log to a posting group: pure, entries sum to zero."""

from datetime import datetime
from decimal import Decimal, localcontext
from typing import Final

from shared.domain.money import ZERO
from shared.exchange.ports import LogRow
from shared.store.ledger import WIDE, Entry, PostingGroup

TRADES: Final = frozenset({"TRADE", "LIQUIDATION", "ADL", "DELIVERY"})
TRANSFERS: Final = frozenset({"TRANSFER_IN", "TRANSFER_OUT"})
SETTLEMENT: Final = "SETTLEMENT"


def kind_of(row: LogRow) -> str:
    """Return ``trade``, ``funding``, ``external`` or, for what we do not know, ``suspense``."""
    if row.kind in TRADES and row.category in ("spot", "linear"):
        return "trade"
    if row.kind == SETTLEMENT:
        return "funding"
    return "external" if row.kind in TRANSFERS else "suspense"


def booked(row: LogRow, pair: str | None, correlation_id: str | None) -> PostingGroup:
    """Return what ``row`` books: the wallet moves by its change, the other side says why.

    Fees paid stand positive in ``fees``, funding received negative in ``funding``. What a row's
    parts do not explain goes to ``suspense``.
    Source: Bybit V5 transaction log: change = cash flow + funding - fee.
    """
    with localcontext(WIDE):
        odd = row.change - (row.cash_flow + row.funding - row.fee)
        lines = (
            ("wallet", row.change),
            (_account_of_cash(row), -row.cash_flow),
            ("funding", -row.funding),
            ("fees", row.fee),
            ("suspense", -odd),
        )
    return PostingGroup(
        key=row.key,
        kind=kind_of(row),
        pair=pair,
        exec_id=row.exec_id or None,
        asset=row.currency,
        venue_balance=row.balance,
        venue_at=row.venue_at,
        correlation_id=correlation_id,
        entries=tuple(Entry(a, row.currency, amount) for a, amount in lines if amount != ZERO),
    )


def opening(coin: str, balance: Decimal, venue_at: datetime) -> PostingGroup:
    """Return the group that brings in what ``coin`` held when we came, as of ``venue_at``."""
    return PostingGroup(
        key=f"opening:{coin}",
        kind="opening",
        pair=None,
        exec_id=None,
        asset=coin,
        venue_balance=balance,
        venue_at=venue_at,
        correlation_id=None,
        entries=(Entry("wallet", coin, balance), Entry("opening", coin, balance.copy_negate())),
    )


def seen(row: LogRow) -> PostingGroup:
    """Return a group without entries: a row older than the opening balance that contains it."""
    return PostingGroup(
        key=row.key,
        kind="opening",
        pair=None,
        exec_id=None,
        asset=row.currency,
        venue_balance=row.balance,
        venue_at=row.venue_at,
        correlation_id=None,
        entries=(),
    )


def is_consistent(row: LogRow) -> bool:
    """Return whether the row's change is explained by its parts, to the digit (R:M4)."""
    with localcontext(WIDE):
        return row.change == row.cash_flow + row.funding - row.fee


def _account_of_cash(row: LogRow) -> str:
    match kind_of(row):
        case "trade":
            return "trade" if row.category == "spot" else "realized"
        case "funding":
            return "realized"
        case "external":
            return "external"
        case _:
            return "suspense"
