"""Reads a script of faults and market events (YAML, docs/simulator.md) or refuses it, by name."""

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

from services.simulator.synthetic import Happening
from shared.domain.errors import Misconfigured

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
REQUEST_KINDS: Final = frozenset(
    {"lost_request", "late_request", "lost_reply", "late_reply", "error", "malformed"}
)
EVENT_KINDS: Final = frozenset(
    {
        "dropped_event", "duplicated_event", "reordered_event", "delayed_event", "silence",
        "stray_event", "filled_again",
    }
)  # fmt: skip
MOMENT_KINDS: Final = frozenset(
    {"restart", "disconnect", "maintenance", "key_revoked", "deleveraging"}
)
KINDS: Final = REQUEST_KINDS | EVENT_KINDS | MOMENT_KINDS | {"invisible", "clock_skew"}
FORMS: Final = ("html", "cut", "types", "empty")
HAPPENINGS: Final = frozenset({"funding", "mark_spike", "delisting"})
WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
INSTANT: Final = "whole seconds after the start, or an instant with its zone: 2024-01-01T08:00:00Z"
FRACTION: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


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


class _Plain(yaml.BaseLoader):
    """Every scalar as its text, so that no number becomes a float; no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping. Raises: ConstructorError for a key that comes twice."""
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise yaml.constructor.ConstructorError(
                None, None, "a key stands here twice", node.start_mark
            )
        return found


def read_script(path: Path, start_ms: int) -> Script:
    """Return the script in ``path``; times in whole seconds count from ``start_ms``.

    Raises: Misconfigured, naming the entry, the key and what may stand there.
    """
    stated = _stated(path)
    if extra := sorted(set(stated) - {"seed", "faults", "events"}):
        raise Misconfigured(f"{path}: {extra[0]} is not known: state seed, faults, events.")
    seed = _read(str(path), "seed", stated.get("seed", "0"), _whole(0, 2**63 - 1))
    return Script(
        seed,
        tuple(_fault(*entry, start_ms) for entry in _entries(path, stated, "faults")),
        tuple(_happening(*entry, start_ms) for entry in _entries(path, stated, "events")),
    )


def _stated(path: Path) -> Mapping[str, Any]:
    try:
        stated = yaml.load(path.read_text(encoding="utf-8"), _Plain)  # noqa: S506 - text alone
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Misconfigured(f"{path}: line {line}: {error.problem}; correct the script.") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Misconfigured(f"{path}: {error}; correct the script.") from error
    if not stated:
        return {}
    if not isinstance(stated, dict):
        raise Misconfigured(f"{path} is no mapping: state seed, faults, events.")
    return stated


def _entries(
    path: Path, stated: Mapping[str, Any], name: str
) -> list[tuple[str, Mapping[str, Any]]]:
    entries = stated.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Misconfigured(f"{path}: {name} is no list: begin each entry with '- kind: ...'.")
    return [(f"{path}: {name} {n}", entry) for n, entry in enumerate(entries, 1)]


# What a key may hold: returns the value, or raises ValueError saying what would do.
Reader = Callable[[Any], Any]


def _fault(place: str, entry: Mapping[str, Any], start_ms: int) -> Fault:
    least = -3600 if entry.get("kind") == "clock_skew" else 0
    values = _values(
        place,
        entry,
        {
            "kind": _choice(*sorted(KINDS)),
            "form": _choice(*FORMS),
            "where": _text,
            "symbol": _text,
            "message": _text,
            "from": _instant(start_ms),
            "until": _instant(start_ms),
            "nth": _counts,
            "rate": _number(0, 1),
            "quantity": _number(0, 10**12),
            "seconds": _number(least, 3600),
            "code": _whole(-(10**9), 10**9),
            "status": _whole(200, 599),
            "notice_seconds": _whole(0, 10**9),
            "executes": _truth,
        },
    )
    if values["kind"] == "deleveraging" and not {"symbol", "quantity"} <= values.keys():
        raise Misconfigured(f"{place}: deleveraging needs symbol and quantity.")
    if "seconds" in values:
        values["seconds"] = float(values["seconds"])
    return Fault(**values)


def _happening(place: str, entry: Mapping[str, Any], start_ms: int) -> Happening:
    values = _values(
        place,
        entry,
        {
            "kind": _choice(*sorted(HAPPENINGS)),
            "symbol": _text,
            "from": _instant(start_ms),
            "until": _instant(start_ms),
            "rate": _number("-0.99", 10),
            "move": _number("-0.99", 10),
            "interval_hours": lambda value: int(_choice("1", "2", "4", "8")(value)),
        },
    )
    if "symbol" not in values:
        raise Misconfigured(f"{place}: symbol is missing.")
    if values["kind"] == "delisting" and "until_ms" not in values:
        raise Misconfigured(f"{place}: a delisting needs until, the instant it ends.")
    return Happening(**{"from_ms": 0, **values})


def _values(place: str, entry: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    if "kind" not in entry:
        raise Misconfigured(f"{place}: kind is missing.")
    values = {}
    for name, value in entry.items():
        if name not in readers:
            raise Misconfigured(f"{place}: {name} is not known: state {', '.join(readers)}.")
        field = f"{name}_ms" if name in ("from", "until") else name
        values[field] = _read(place, name, value, readers[name])
    return values


def _read(place: str, name: str, value: Any, reader: Reader) -> Any:
    try:
        return reader(value)
    except ValueError as wanted:
        raise Misconfigured(f"{place}: {name} = {value!r} cannot be: write {wanted}.") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _choice(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return read


def _truth(value: Any) -> bool:
    return _choice("true", "false")(value) == "true"


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, str) or not WHOLE.fullmatch(value):
            raise ValueError("a whole number")
        if not least <= int(value) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(value)

    return read


def _counts(value: Any) -> tuple[int, ...]:
    count = _whole(1, 10**9)
    if isinstance(value, list) and value:
        return tuple(count(each) for each in value)
    return (count(value),)


def _number(least: int | str, most: int) -> Callable[[Any], Decimal]:
    def read(value: Any) -> Decimal:
        if isinstance(value, str) and FRACTION.fullmatch(value):
            number = Decimal(value)
            if Decimal(least) <= number <= most:
                return number
        raise ValueError(f"a number from {least} to {most}")

    return read


def _instant(start_ms: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, str) and WHOLE.fullmatch(value) and not value.startswith("-"):
            return start_ms + int(value) * 1000
        # An instant without its zone cannot be told from another: the difference is a TypeError.
        try:
            return (datetime.fromisoformat(value) - EPOCH) // timedelta(milliseconds=1)
        except (TypeError, ValueError):
            raise ValueError(INSTANT) from None

    return read
