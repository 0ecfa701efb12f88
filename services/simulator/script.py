"""Reads a script of faults and market events (TOML, docs/simulator.md) or refuses it, by name."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from services.simulator.synthetic import Happening
from shared.domain.errors import Misconfigured

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
REQUEST_KINDS: Final = frozenset(
    {"lost_request", "late_request", "lost_reply", "late_reply", "error", "malformed"}
)
EVENT_KINDS: Final = frozenset(
    {"dropped_event", "duplicated_event", "reordered_event", "delayed_event", "silence"}
)
MOMENT_KINDS: Final = frozenset(
    {"restart", "disconnect", "maintenance", "key_revoked", "deleveraging"}
)
KINDS: Final = REQUEST_KINDS | EVENT_KINDS | MOMENT_KINDS | {"invisible", "clock_skew"}
FORMS: Final = ("html", "cut", "types", "empty")
HAPPENINGS: Final = frozenset({"funding", "mark_spike", "delisting"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, from ``from_ms`` to before ``until_ms`` of venue time.

    ``where`` is a pattern: the path behind /v5/ of a request, or channel/topic of a socket event.
    Of what it meets, the ``nth`` (counted from 1) or a share of ``rate`` goes wrong; neither means
    all. ``seconds`` are wall time.
    """

    kind: str
    where: str = "*"
    symbol: str = ""
    from_ms: int = 0
    until_ms: int | None = None
    nth: tuple[int, ...] = ()
    rate: Decimal = Decimal(1)
    seconds: float = 0.0
    code: int = 10016
    message: str = "Server error."
    status: int = 200
    executes: bool = False
    form: str = "html"
    notice_seconds: int = 0
    quantity: Decimal = Decimal(0)

    def holds(self, at_ms: int) -> bool:
        """Return whether the fault may strike."""
        return self.from_ms <= at_ms and (self.until_ms is None or at_ms < self.until_ms)


@dataclass(frozen=True, slots=True)
class Script:
    """What goes wrong, and what the market does; ``seed`` draws where a rate is given."""

    seed: int = 0
    faults: tuple[Fault, ...] = ()
    happenings: tuple[Happening, ...] = ()


def read_script(path: Path, start_ms: int) -> Script:
    """Return the script in ``path``; times in whole seconds count from ``start_ms``.

    Raises: Misconfigured, naming the entry and the field.
    """
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{path}: {error}; correct the script.") from error
    if extra := sorted(set(stated) - {"seed", "fault", "event"}):
        raise Misconfigured(f"{path}: {extra[0]} is not known: state seed, [[fault]], [[event]].")
    seed = stated.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise Misconfigured(f"{path}: seed = {seed!r} is no whole number from 0.")
    return Script(
        seed,
        tuple(_fault(*entry, start_ms) for entry in _entries(path, stated, "fault")),
        tuple(_happening(*entry, start_ms) for entry in _entries(path, stated, "event")),
    )


def _entries(
    path: Path, stated: Mapping[str, Any], name: str
) -> list[tuple[str, Mapping[str, Any]]]:
    entries = stated.get(name, [])
    if not isinstance(entries, list):
        raise Misconfigured(f"{path}: write [[{name}]], not [{name}].")
    return [(f"{path}: {name} {n}", entry) for n, entry in enumerate(entries, 1)]


def _fault(place: str, entry: Mapping[str, Any], start_ms: int) -> Fault:
    values = _span(place, entry, start_ms)
    for name, value in entry.items():
        match name, value:
            case ("kind", str()) if value in KINDS:
                values[name] = value
            case ("form", str()) if value in FORMS:
                values[name] = value
            case ("where" | "symbol" | "message", str()):
                values[name] = value
            case ("nth", int()) if value > 0 and not isinstance(value, bool):
                values[name] = (value,)
            case ("nth", list()) if value and all(isinstance(n, int) and n > 0 for n in value):
                values[name] = tuple(value)
            case ("rate", _):
                values[name] = _number(place, name, value, Decimal(0), Decimal(1))
            case ("quantity", _):
                values[name] = _number(place, name, value, Decimal(0), Decimal(10**12))
            case ("seconds", _):
                least = Decimal(-3600 if entry.get("kind") == "clock_skew" else 0)
                values[name] = float(_number(place, name, value, least, Decimal(3600)))
            case ("code" | "status" | "notice_seconds", int()) if not isinstance(value, bool):
                values[name] = value
            case ("executes", bool()):
                values[name] = value
            case ("from" | "until", _):
                pass
            case _:
                raise Misconfigured(f"{place}: {name} = {value!r} cannot be; see docs/simulator.md")
    if values.get("kind") == "deleveraging" and not (values.get("symbol") and "quantity" in values):
        raise Misconfigured(f"{place}: deleveraging needs symbol and quantity.")
    return Fault(**_with_kind(place, values))


def _happening(place: str, entry: Mapping[str, Any], start_ms: int) -> Happening:
    values = _span(place, entry, start_ms)
    for name, value in entry.items():
        match name, value:
            case ("kind", str()) if value in HAPPENINGS:
                values[name] = value
            case ("symbol", str()):
                values[name] = value
            case ("rate" | "move", _):
                values[name] = _number(place, name, value, Decimal("-0.99"), Decimal(10))
            case ("interval_hours", 1 | 2 | 4 | 8):
                values[name] = value
            case ("from" | "until", _):
                pass
            case _:
                raise Misconfigured(f"{place}: {name} = {value!r} cannot be; see docs/simulator.md")
    if "symbol" not in values:
        raise Misconfigured(f"{place}: symbol is missing.")
    if values.get("kind") == "delisting" and values.get("until_ms") is None:
        raise Misconfigured(f"{place}: a delisting needs until, the instant it ends.")
    return Happening(**{"from_ms": 0, **_with_kind(place, values)})


def _with_kind(place: str, values: dict[str, Any]) -> dict[str, Any]:
    if "kind" not in values:
        raise Misconfigured(f"{place}: kind is missing.")
    return values


def _span(place: str, entry: Mapping[str, Any], start_ms: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("from", "until"):
        value = entry.get(name)
        if isinstance(value, datetime) and value.tzinfo is not None:
            found[f"{name}_ms"] = (value - EPOCH) // timedelta(milliseconds=1)
        elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            found[f"{name}_ms"] = start_ms + value * 1000
        elif value is not None:
            raise Misconfigured(
                f"{place}: {name} = {value!r} is neither seconds after the start nor an instant "
                "with its zone, like 2024-01-01T08:00:00Z."
            )
    return found


def _number(place: str, name: str, value: Any, least: Decimal, most: Decimal) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, int | str | Decimal) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or not least <= number <= most:
        raise Misconfigured(f"{place}: {name} = {value!r} is no number from {least} to {most}.")
    return number
