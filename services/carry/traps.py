"""``carry traps``: what went wrong in other desks, and the tests that keep it from ours."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from xml.etree import ElementTree

from rich import box
from rich.console import Console
from rich.table import Table

from shared.domain.errors import Misconfigured

GUARDED: Final = "guarded"
GREEN: Final = "green"
RED: Final = "RED"
NOT_YET: Final = "not yet"


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


def show(*, as_json: bool, run: bool, root: Path) -> int:
    """Print every trap with what its tests claim, or with the reason why it has none.

    The JSON names each test as pytest does: file, two colons, function. ``run`` runs the tests of
    the repository at ``root`` first. Returns 1 when one of them did not pass, else 0.

    Raises:
        Misconfigured: not one test ran.
    """
    traps = read_traps()
    passed = run_tests({test for trap in traps for test in trap.tests}, root) if run else None
    states = [state_of(trap, passed) for trap in traps]
    console = Console(highlight=False)
    if as_json:
        rows = [{**asdict(t), "state": state} for t, state in zip(traps, states, strict=True)]
        console.print(json.dumps(rows), markup=False, soft_wrap=True)
    else:
        console.print(_table(traps, states))
        counts = (f"{states.count(s)} {s}" for s in dict.fromkeys(sorted(states)))
        console.print(", ".join(counts))
    return int(RED in states)


def state_of(trap: Trap, passed: Mapping[str, bool] | None) -> str:
    """Return how a trap stands; green only when all its tests were run now and passed."""
    if not trap.tests:
        return NOT_YET
    if passed is None:
        return GUARDED
    return GREEN if all(passed.get(test, False) for test in trap.tests) else RED


def sentence(test: str) -> str:
    """Return what a test claims: its name in words, without its file."""
    return test.rpartition("::test_")[2].replace("_", " ")


def run_tests(tests: Iterable[str], root: Path) -> dict[str, bool]:
    """Run ``tests`` in the repository at ``root``: which passed, with all their parameters.

    What was skipped did not pass; what pytest did not find is absent. Its own words go to stderr.

    Raises:
        Misconfigured: not one test ran.
    """
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *sorted(tests)]
        subprocess.run(command, cwd=root, stdout=sys.stderr, check=False)  # noqa: S603
        passed: dict[str, bool] = {}
        found = ElementTree.parse(report).iter("testcase") if report.exists() else ()  # noqa: S314
        for case in found:
            file = case.get("classname", "").replace(".", "/")
            name = f"{file}.py::{case.get('name', '').partition('[')[0]}"
            bad = any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
            passed[name] = passed.get(name, True) and not bad
    if not passed:
        raise Misconfigured(f"no test ran in {root}: --run needs the repository and pytest")
    return passed


def _table(traps: Iterable[Trap], states: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("trap")
    table.add_column("what goes wrong", overflow="fold")
    table.add_column("guarded by, or why not", overflow="fold")
    table.add_column("state", no_wrap=True)
    for trap, state in zip(traps, states, strict=True):
        guard = "\n".join(sentence(test) for test in trap.tests) or trap.not_yet
        table.add_row(str(trap.number), trap.title, guard, state)
    return table
