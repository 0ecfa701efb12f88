"""The register of traps: every one is in it, and each test that it names is really there."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.carry.traps import Trap, read_traps, run_tests, state_of
from shared.domain.errors import Misconfigured

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
        first = next(n for n, line in enumerate(lines) if line.split()[:1] == [str(trap.number)])
        assert trap.title in lines[first]
        assert lines[first].rstrip().endswith("guarded" if trap.tests else "not yet")
        for number, guard in enumerate(claims or [trap.not_yet]):
            assert guard in lines[first + number]
    guarded = sum(1 for trap in TRAPS if trap.tests)
    waiting = f", {49 - guarded} not yet" if guarded < 49 else ""
    assert lines[-1] == f"{guarded} guarded{waiting}"


def test_the_command_prints_json_of_every_trap() -> None:
    said = json.loads(carry_traps("--json"))
    assert [row["number"] for row in said] == list(range(1, 50))
    assert said[0]["tests"] == list(TRAPS[0].tests)
    assert all(set(row) == {"number", "title", "tests", "not_yet", "state"} for row in said)


PLANTED = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_good(n): pass

@pytest.mark.parametrize("n", [1, 2])
def test_half(n): assert n == 2

def test_skipped(): pytest.skip("not here")
"""


def test_only_a_trap_whose_tests_all_ran_and_passed_is_green(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PLANTED)
    good, half, skipped = (f"test_it.py::test_{name}" for name in ("good", "half", "skipped"))
    passed = run_tests([good, half, skipped], tmp_path)
    assert passed == {good: True, half: False, skipped: False}
    states = {
        "green": Trap(1, "x", (good,)),
        "RED": Trap(2, "x", (good, half)),
        "not yet": Trap(3, "x", not_yet="why"),
    }
    assert {state: state_of(trap, passed) for state, trap in states.items()} == {
        state: state for state in states
    }
    assert state_of(Trap(4, "x", (skipped,)), passed) == "RED"
    assert state_of(Trap(5, "x", ("test_it.py::test_gone",)), passed) == "RED"
    assert state_of(states["RED"], None) == "guarded"


def test_without_a_repository_nothing_is_called_green(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="needs the repository"):
        run_tests(["test_it.py::test_good"], tmp_path)
