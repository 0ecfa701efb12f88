"""Plants one bug after another in a copy of the tree, and says which of them a test found."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.mutants.listed import MUTANTS
from tests.mutants.planted import Mutant
from tests.support.servers import embedded

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("services", "shared", "migrations", "tests")
SECONDS_MAX: Final = 120
HANGS_AFTER: Final = 15
FAILED: Final = 1
"""What pytest and the simulation end with when a test fails; anything else proves nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the list, or the bugs whose name holds ``--only``; return 1 when one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", action="append", help="a part of the names to run")
    parts = parser.parse_args(arguments).only or [""]
    chosen = [mutant for mutant in MUTANTS if any(part in mutant.name for part in parts)]
    if not chosen:
        parser.error(f"no planted bug is named {' or '.join(parts)}")
    began, wrong = time.monotonic(), 0
    with embedded() as servers:
        where = {"CARRY_TEST_DSN": servers.owner_dsn, "CARRY_TEST_REDIS_URL": servers.redis_url}
        if said := _found_without_bugs(chosen, where):
            say(said)
            return 1
        for mutant in chosen:
            verdict, is_right, seconds, why = _tried(mutant, where)
            wrong += not is_right
            say(f"{verdict:<10} {seconds:5.1f} s  {mutant.rule:<4} {mutant.name:<55} {why}")
    say(f"{len(chosen)} planted, {wrong} not as they should be, {time.monotonic() - began:.0f} s")
    return int(wrong > 0)


def planted(text: str, mutant: Mutant) -> str:
    """Return ``text`` with the bug; raises ValueError unless the old text is there once."""
    if (times := text.count(mutant.old)) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} holds the text {times} times, not once")
    return text.replace(mutant.old, mutant.new)


def say(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _found_without_bugs(chosen: Sequence[Mutant], where: Mapping[str, str]) -> str:
    """Return what the tests say of the tree as it is; nothing when they are green."""
    tests = sorted({mutant.tier for mutant in chosen if not mutant.is_simulated})
    seeds = sorted({mutant.tier for mutant in chosen if mutant.is_simulated})
    commands = [_command(tier) for tier in seeds] + ([_pytest(tests)] if tests else [])
    with _copy() as tree:
        for command in commands:
            ended = _ended(command, tree, where)
            if ended.returncode != 0:
                return f"without any bug this fails, so nothing is proven:\n{ended.stdout}"
    return ""


def _tried(mutant: Mutant, where: Mapping[str, str]) -> tuple[str, bool, float, str]:
    """Return the verdict, whether it is the right one, how long it took, and what was said."""
    with _copy() as tree:
        path = tree / mutant.file
        path.write_text(planted(path.read_text(), mutant))
        began = time.monotonic()
        ended = _ended(_command(mutant.tier), tree, where)
        seconds = time.monotonic() - began
    if ended.returncode not in (0, FAILED):
        return "BROKEN", False, seconds, ended.stdout[-2_000:]
    is_caught = ended.returncode == FAILED
    if mutant.equivalent:
        verdict = "NOT EQUAL" if is_caught else "equivalent"
        return verdict, not is_caught, seconds, mutant.equivalent
    return ("caught" if is_caught else "SURVIVED"), is_caught, seconds, _first_reason(ended.stdout)


def _command(tier: str) -> list[str]:
    if "::" in tier:
        return _pytest([tier])
    first, count = tier.split("/")
    simulation = ["-m", "tests.simulation", "--from", first, "--seeds", count, "--jobs", "1"]
    return [sys.executable, *simulation]


def _pytest(tests: Sequence[str]) -> list[str]:
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--timeout={HANGS_AFTER}"]
    return [sys.executable, "-m", "pytest", *options, *tests]


def _ended(
    command: Sequence[str], tree: Path, where: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run one tier on servers that all share, and wait for its end."""
    own = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command,
        cwd=tree,
        env={**os.environ, **where, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@contextmanager
def _copy() -> Iterator[Path]:
    """Lend a copy of what tests need; the compiled files in it keep it quick."""
    with tempfile.TemporaryDirectory(prefix="carry-mutant-") as name:
        tree = Path(name)
        for folder in COPIED:
            shutil.copytree(ROOT / folder, tree / folder)
        shutil.copy2(ROOT / "pyproject.toml", tree)
        yield tree


def _first_reason(output: str) -> str:
    """Return the first line that says what went wrong."""
    found = re.search(r"^E +(.+)$|VIOLATED (.*)$", output, re.MULTILINE)
    return "" if found is None else (found[1] or found[2])[:100]
