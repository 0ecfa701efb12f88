"""The file of ``carry backtest sweep --grid``: lists to combine, and terms that all sets share."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from services.backtest.options import number_option, whole_option
from services.backtest.sweep.terms import Grid, Terms
from shared.domain.errors import Misconfigured

BUILT_IN: Final = {
    "spans": "3,6,12,24,48",
    "entries": "0.00005,0.0001,0.00015,0.0002,0.0003",
    "exits": "-0.0001,0,0.00005,0.0001",
    "holds": "9,30,90,270",
}
WHOLE: Final = ("spans", "holds")


def read_stated(option: str, path: Path) -> tuple[dict[str, Any], Terms]:
    """Return what a TOML file says of the four lists, as it says it, and its terms.

    Raises: Misconfigured naming the file and the field.
    """
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{option} {path} cannot be read: {error}") from error
    costs = stated.pop("terms", {})
    if not isinstance(costs, dict):
        raise Misconfigured(
            f"{option} {path}: terms = {costs} is no table: write [terms] and cap = 5 below it."
        )
    known = {field.name for field in fields(Terms)}
    for name in [*(n for n in stated if n not in BUILT_IN), *(n for n in costs if n not in known)]:
        choice = ", ".join([*BUILT_IN, *sorted(known)])
        raise Misconfigured(f"{option} {path} has no use for {name}: choose from {choice}.")
    return stated, Terms(**{name: _term(name, value) for name, value in costs.items()})


def lists_of(given: Mapping[str, str | None], stated: Mapping[str, Any]) -> Grid:
    """Return the lists: options ``given`` before what a file ``stated`` before what is built in.

    Raises: Misconfigured naming the list.
    """
    lists = {name: _parts(name, given[name], stated.get(name)) for name in BUILT_IN}
    spans, holds = ([whole_option(f"--{n}", v, "settlements") for v in lists[n]] for n in WHOLE)
    entries, exits = ([number_option(f"--{n}", v) for v in lists[n]] for n in ("entries", "exits"))
    return Grid(tuple(spans), tuple(entries), tuple(exits), tuple(holds))


def _parts(name: str, given: str | None, stated: object) -> list[object]:
    values = given or (BUILT_IN[name] if stated is None else stated)
    if isinstance(values, str):
        return list(values.split(","))
    if isinstance(values, list):
        return values
    raise Misconfigured(f"{name} = {values} is no list: write {name} = [{values}].")


def _term(name: str, value: object) -> Decimal | int:
    return whole_option(name, value, "pairs") if name == "cap" else number_option(name, value)
