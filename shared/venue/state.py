"""Plain JSON-able state: records become dicts with decimals as strings, and come back equal."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any, Final, TypeVar, get_type_hints

from shared.venue.account import Account
from shared.venue.records import Execution, LogEntry, Order, Position

Row = TypeVar("Row", Order, Execution, LogEntry, Position)
HINTS: Final[dict[type[Any], tuple[tuple[str, Any], ...]]] = {}  # reading type hints is slow


def encode(row: Order | Execution | LogEntry | Position) -> dict[str, Any]:
    """Return the row's fields; decimals are strings, everything else is as it is."""
    return {f.name: _plain(getattr(row, f.name)) for f in fields(row)}


def decode(kind: type[Row], data: Mapping[str, Any]) -> Row:
    """Return the row that ``encode`` made ``data`` from; fields it lacks take their defaults."""
    return kind(**{name: _typed(hint, data[name]) for name, hint in _hints(kind) if name in data})


def account_state(account: Account) -> dict[str, Any]:
    """Return wallet, positions and counter of an account, without its growing rows."""
    return {
        "wallet": {coin: str(amount) for coin, amount in account.wallet.items()},
        "positions": [encode(position) for position in account.positions.values()],
        "counter": account.counter,
    }


def restored_account(
    head: Mapping[str, Any], executions: Iterable[Any], log: Iterable[Any]
) -> Account:
    """Return the account that ``account_state`` and its rows describe."""
    positions = [decode(Position, row) for row in head["positions"]]
    return Account(
        wallet={coin: Decimal(amount) for coin, amount in head["wallet"].items()},
        positions={position.symbol: position for position in positions},
        executions=[decode(Execution, row) for row in executions],
        log=[decode(LogEntry, row) for row in log],
        counter=int(head["counter"]),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {key: str(amount) for key, amount in value.items()}
    return value


def _typed(hint: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: Decimal(amount) for key, amount in value.items()}
    if value is not None and hint in (Decimal, Decimal | None):
        return Decimal(value)
    return value


def _hints(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    if kind not in HINTS:
        hints = get_type_hints(kind)
        HINTS[kind] = tuple((f.name, hints[f.name]) for f in fields(kind))
    return HINTS[kind]
