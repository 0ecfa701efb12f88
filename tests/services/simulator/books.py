"""Holds executions, transaction log and wallet against each other, to the last digit."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]


def check_books(executions: Iterable[Row], log: Iterable[Row], wallet: Mapping[str, str]) -> None:
    """Fail unless the three agree; rows as the venue writes them, ``log`` oldest first."""
    done, booked = list(executions), list(log)
    _check_chain(booked, wallet)
    _check_fees(done, booked)
    assert {row["tradeId"] for row in booked if row["tradeId"]} == {e["execId"] for e in done}
    assert _amounts(wallet) == _from_executions(done, booked)


def _check_chain(log: list[Row], wallet: Mapping[str, str]) -> None:
    """Each balance follows from the one before it, and the last is the wallet's."""
    balances: dict[str, Decimal] = defaultdict(Decimal)
    for row in log:
        moved = _of(row, "cashFlow") + _of(row, "funding") - _of(row, "fee")
        assert _of(row, "change") == moved
        balances[row["currency"]] += moved
        assert _of(row, "cashBalance") == balances[row["currency"]]
    assert _amounts(balances) == _amounts(wallet)


def _check_fees(executions: list[Row], log: list[Row]) -> None:
    """What executions paid is what the log booked; a funding fee paid is funding received."""
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for e in executions:
        paid[e["execId"]] += _of(e, "execFee")
    for row in log:
        paid[row["tradeId"]] -= _of(row, "fee") - _of(row, "funding")
    assert not any(paid.values())


def _from_executions(executions: list[Row], log: list[Row]) -> dict[str, Decimal]:
    """Return what the wallet must hold by the executions alone, once the position is flat."""
    held: dict[str, Decimal] = defaultdict(Decimal)
    for row in log:
        if row["type"] == "TRANSFER_IN":
            held[row["currency"]] += _of(row, "change")
    position = Decimal(0)
    for e in executions:
        sign = 1 if e["side"] == "Buy" else -1
        if e["execType"] == "Trade":
            held["USDT"] -= sign * _of(e, "execPrice") * _of(e, "execQty")
            if e["category"] == "spot":
                held[e["symbol"].removesuffix("USDT")] += sign * _of(e, "execQty")
            else:
                position += sign * _of(e, "execQty")
        held[e["feeCurrency"]] -= _of(e, "execFee")
    assert position == 0
    return _amounts(held)


def _of(row: Row, key: str) -> Decimal:
    return Decimal(row[key] or "0")


def _amounts(amounts: Mapping[str, Any]) -> dict[str, Decimal]:
    return {coin: Decimal(amount) for coin, amount in amounts.items() if Decimal(amount)}
