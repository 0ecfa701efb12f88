"""The register of traps: every one is in it, and each test that it names is really there."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.carry.traps import Trap, read_traps

ROOT = Path(__file__).parents[3]
TRAPS = read_traps()


def defined_in(file: str) -> set[str]:
    """Return the names of the tests that ``file`` defines."""
    found = ast.walk(ast.parse((ROOT / file).read_text()))
    functions = (n for n in found if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def carry_traps(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.carry.cli", "traps", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "300"},  # so wide that nothing is folded
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_trap_is_there_once() -> None:
    assert [trap.number for trap in TRAPS] == list(range(1, 50))
    assert len({trap.title for trap in TRAPS}) == 49


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: str(trap.number))
def test_a_trap_has_tests_that_exist_or_a_reason_why_not(trap: Trap) -> None:
    assert bool(trap.tests) != bool(trap.not_yet)
    for named in trap.tests:
        file, _, name = named.partition("::")
        assert name in defined_in(file), named


def test_a_test_that_is_not_there_is_noticed() -> None:
    here = defined_in("tests/services/carry/test_traps.py")
    assert "test_every_trap_is_there_once" in here
    assert "test_of_nothing" not in here


def test_the_command_prints_every_trap_with_its_guard() -> None:
    lines = carry_traps().splitlines()
    for trap in TRAPS:
        claims = [test.partition("::test_")[2].replace("_", " ") for test in trap.tests]
        guards = claims or [f"not yet: {trap.not_yet}"]
        first = next(n for n, line in enumerate(lines) if line.split()[:1] == [str(trap.number)])
        assert trap.title in lines[first]
        for number, guard in enumerate(guards):
            assert lines[first + number].rstrip().endswith(guard)
    guarded = sum(1 for trap in TRAPS if trap.tests)
    assert lines[-1] == f"{guarded} guarded by tests, {49 - guarded} not yet"


def test_the_command_prints_json_of_every_trap() -> None:
    said = json.loads(carry_traps("--json"))
    assert [row["number"] for row in said] == list(range(1, 50))
    assert said[0]["tests"] == list(TRAPS[0].tests)
    assert all(set(row) == {"number", "title", "tests", "not_yet"} for row in said)
