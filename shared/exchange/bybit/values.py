"""Any payload of the venue as typed values: for what no service of ours has a parser for.

Names tell nothing here but which texts are ids: the venue writes amounts, rates and instants as
decimal texts, ``""`` where a field does not apply, and in places JSON numbers. Source:
bybit-v5.md 2.2.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from shared.domain.errors import Malformed
from shared.exchange.bybit.parse import MAGNITUDE_MAX

Value = None | bool | int | Decimal | str | list[Any] | dict[str, Any]

DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
ID: Final = re.compile(r"(id|Id|ID|ids|Ids|IDs|cursor|Cursor|note|apiKey)$")
DEPTH_MAX: Final = 32


def envelope_values(answer: Any) -> dict[str, Value]:
    """Return a REST answer, or a message of a socket, as typed values.

    Raises: Malformed when it is no object, or holds what is no value of anything.
    """
    if not isinstance(answer, dict):
        raise Malformed("the answer is no object")
    return _object(answer, 0)


def typed(value: Any, name: str = "", depth: int = 0) -> Value:
    """Return one value: decimal texts and fractions as Decimal, ``""`` as None, ids as they are."""
    if depth > DEPTH_MAX:
        raise Malformed(f"{name} is nested too deep")
    match value:
        case None | "":
            return None
        case bool():
            return value
        case int() | float():
            return _number(value, name)
        case str():
            is_amount = DECIMAL.fullmatch(value) is not None and ID.search(name) is None
            return _amount(value, name) if is_amount else value
        case list():
            return [typed(held, name, depth + 1) for held in value]
        case dict():
            return _object(value, depth + 1)
    raise Malformed(f"{name} is {value!r}, which JSON does not have")


def _object(held: Mapping[Any, Any], depth: int) -> dict[str, Value]:
    return {str(name): typed(value, str(name), depth) for name, value in held.items()}


def _number(value: int | float, name: str) -> int | Decimal:
    if isinstance(value, int):
        return value
    if not math.isfinite(value):
        raise Malformed(f"{name} is {value!r}, no amount of anything")
    return _amount(repr(value), name)


def _amount(text: str, name: str) -> Decimal:
    value = Decimal(text)
    if abs(value.adjusted()) > MAGNITUDE_MAX:
        raise Malformed(f"{name} is {text[:50]}, no amount of anything")
    return value
