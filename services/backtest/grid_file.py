"""The files of ``carry backtest sweep``: lists or ranges to combine, and terms all sets share."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from decimal import ROUND_CEILING, Decimal
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final

from services.backtest.options import number_option, whole_option
from services.backtest.sweep.terms import SETS_MAX, Grid, Terms
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
    terms: dict[str, Any] = {name: _term(name, value) for name, value in costs.items()}
    return stated, Terms(**terms)


def lists_of(given: Mapping[str, str | None], stated: Mapping[str, Any]) -> Grid:
    """Return the lists: options ``given`` before what a file ``stated`` before what is built in.

    Raises: Misconfigured naming the list.
    """
    lists = {name: _parts(name, given[name], stated.get(name)) for name in BUILT_IN}
    spans, holds = ([whole_option(f"--{n}", v, "settlements") for v in lists[n]] for n in WHOLE)
    entries, exits = ([number_option(f"--{n}", v) for v in lists[n]] for n in ("entries", "exits"))
    return Grid(tuple(spans), tuple(entries), tuple(exits), tuple(holds))


def ranges_of(stated: Mapping[str, Any]) -> list[slice]:
    """Return the four ranges that a file ``stated``, each as its first, its last and how many.

    Raises: Misconfigured naming the range.
    """
    for name in BUILT_IN:
        if name not in stated:
            raise Misconfigured(f'--ranges names no {name}: write {name} = "3:51:6" or one value.')
    ranges = [_range(name, stated[name]) for name in BUILT_IN]
    sets = prod(int(one.step.imag) for one in ranges)
    if sets > SETS_MAX:
        raise Misconfigured(f"--ranges hold {sets} sets: give 1 to {SETS_MAX}.")
    return ranges


def _range(name: str, stated: object) -> slice:
    """Return ``first:end:step``, its end left out; counted in decimals, so that no float adds one.

    How many is the imaginary part of the step, as NumPy's grids have it.
    """
    number = partial(whole_option, of="settlements") if name in WHOLE else number_option
    parts = [Decimal(number(name, part)) for part in str(stated).split(":")]
    first, end, step = parts if len(parts) == 3 else (parts[0], parts[0] + 1, Decimal(1))
    if len(parts) not in (1, 3) or step <= 0 or end <= first:
        raise Misconfigured(
            f'{name} = {stated} is no range: write {name} = "3:51:6", from 3 to before 51 by 6.'
        )
    count = int(((end - first) / step).to_integral_value(ROUND_CEILING))
    return slice(float(first), float(first + (count - 1) * step), complex(0, count))


def _parts(name: str, given: str | None, stated: object) -> list[object]:
    values = given or (BUILT_IN[name] if stated is None else stated)
    if isinstance(values, str):
        return list(values.split(","))
    if isinstance(values, list):
        return values
    raise Misconfigured(f"{name} = {values} is no list: write {name} = [{values}].")


def _term(name: str, value: object) -> Decimal | int:
    return whole_option(name, value, "pairs") if name == "cap" else number_option(name, value)
