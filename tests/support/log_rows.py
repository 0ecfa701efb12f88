"""Rows of the venue's log, written by hand."""

from datetime import UTC, datetime
from decimal import Decimal

from shared.domain.log import LogRow, OwnedRow

AT = datetime(2023, 11, 11, 8, tzinfo=UTC)
AMOUNTS = ("quantity", "price", "cash_flow", "funding", "fee", "change", "balance")


def row(**changes: object) -> LogRow:
    """A row of nothing; amounts may be given as text."""
    values: dict[str, object] = {
        "key": "k1", "kind": "TRADE", "category": "spot", "symbol": "BTCUSDT", "currency": "USDT",
        "side": "Buy", "quantity": "0", "price": None, "cash_flow": "0", "funding": "0",
        "fee": "0", "change": "0", "balance": "0", "exec_id": "e1", "order_id": "o1",
        "link_id": "l1", "venue_at": AT, **changes,
    }  # fmt: skip
    for name in AMOUNTS:
        if isinstance(values[name], str):
            values[name] = Decimal(str(values[name]))
    return LogRow(**values)  # type: ignore[arg-type]


def own(of: LogRow, reference: str | None = None, *, lot: str = "0.001") -> OwnedRow:
    """The row as the bitcoin pair's."""
    price = None if reference is None else Decimal(reference)
    return OwnedRow(of, "BTCUSDT", "BTC", price, Decimal(lot), "c")


def spot(
    quantity: str, price: str, *, fee: str = "0", at: datetime = AT, name: str = "s"
) -> list[LogRow]:
    """The coin's and the cash's row of one spot fill; bought is positive, its fee is in coin."""
    moved, paid, cost = Decimal(quantity), Decimal(fee), Decimal(quantity) * Decimal(price)
    side = "Buy" if moved > 0 else "Sell"
    in_coin = paid if moved > 0 else Decimal(0)
    in_cash = paid - in_coin
    return [
        row(
            key=f"{name}:BTC", currency="BTC", side=side, quantity=moved, price=price,
            cash_flow=moved, fee=in_coin, change=moved - in_coin, exec_id=name, venue_at=at,
        ),
        row(
            key=f"{name}:USDT", side=side, quantity=-cost, price=price, cash_flow=-cost,
            fee=in_cash, change=-cost - in_cash, exec_id=name, venue_at=at,
        ),
    ]  # fmt: skip


def perp(
    quantity: str,
    price: str,
    *,
    gain: str = "0",
    fee: str = "0",
    at: datetime = AT,
    name: str = "p",
    kind: str = "TRADE",
) -> LogRow:
    """The row of one fill of the perpetual; sold is negative, ``gain`` is what it realised."""
    moved, paid = Decimal(quantity), Decimal(fee)
    return row(
        key=name, kind=kind, category="linear", side="Buy" if moved > 0 else "Sell",
        quantity=abs(moved), price=price, cash_flow=gain, fee=paid, change=Decimal(gain) - paid,
        exec_id=name, venue_at=at,
    )  # fmt: skip


def funding(amount: str, *, at: datetime = AT, name: str = "f") -> LogRow:
    """The row of one settlement; received is positive."""
    return row(
        key=name, kind="SETTLEMENT", category="linear", funding=amount, change=amount,
        exec_id=name, venue_at=at,
    )  # fmt: skip


def transfer(amount: str, *, coin: str = "USDT", at: datetime = AT, name: str = "t") -> LogRow:
    """The row of a deposit (+) or a withdrawal (-)."""
    return row(
        key=name, kind="TRANSFER_IN" if Decimal(amount) > 0 else "TRANSFER_OUT", category="",
        symbol="", currency=coin, side="", cash_flow=amount, change=amount, exec_id="",
        venue_at=at,
    )  # fmt: skip
