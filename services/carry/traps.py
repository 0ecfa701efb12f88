"""``carry traps``: what went wrong in other desks, and the tests that keep it from ours."""

import json
import tomllib
from dataclasses import asdict, dataclass
from importlib.resources import files

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Trap:
    """One failure; ``tests`` are pytest's names, and ``not_yet`` says why there are none."""

    number: int
    title: str
    tests: tuple[str, ...] = ()
    not_yet: str = ""


def read_traps() -> tuple[Trap, ...]:
    """Return the traps in the order of their numbers, as ``traps.toml`` beside this file says."""
    rows = tomllib.loads(files("services.carry").joinpath("traps.toml").read_text("utf-8"))["trap"]
    traps = (Trap(**{**row, "tests": tuple(row.get("tests", ()))}) for row in rows)
    return tuple(sorted(traps, key=lambda trap: trap.number))


def sentence(test: str) -> str:
    """Return what a test claims: its name in words, without its file."""
    return test.rpartition("::test_")[2].replace("_", " ")


def show(*, as_json: bool) -> None:
    """Print every trap with what its tests claim, or with the reason why it has none.

    The JSON names each test as pytest does: file, two colons, function.
    """
    console = Console(highlight=False)
    traps = read_traps()
    if as_json:
        console.print(json.dumps([asdict(t) for t in traps]), markup=False, soft_wrap=True)
        return
    table = Table(box=box.SIMPLE)
    for heading in ("trap", "what goes wrong", "guarded by"):
        table.add_column(heading, overflow="fold")
    for trap in traps:
        guard = "\n".join(sentence(name) for name in trap.tests) or f"not yet: {trap.not_yet}"
        table.add_row(str(trap.number), trap.title, guard)
    console.print(table)
    guarded = sum(1 for trap in traps if trap.tests)
    console.print(f"{guarded} guarded by tests, {len(traps) - guarded} not yet")
