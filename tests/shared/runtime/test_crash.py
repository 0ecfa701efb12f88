"""Crash points: named, silent by default, and deadly only where a test asked for it."""

import subprocess
import sys

import pytest

from shared.domain.errors import Misconfigured
from shared.runtime.crash import EXIT_CODE, CrashPoint, dies_at, on_reached, reached

DYING = """
from shared.runtime.crash import CrashPoint, dies_at, on_reached, reached
on_reached(dies_at("cp5:2"))
for point in ("cp5", "cp6", "cp5"):
    print(point, flush=True)
    reached(CrashPoint(point))
print("survived")
"""


def test_a_point_does_nothing_until_a_hook_is_set() -> None:
    seen: list[CrashPoint] = []
    reached(CrashPoint.CLAIMED)
    on_reached(seen.append)
    try:
        reached(CrashPoint.CLAIMED)
    finally:
        on_reached(None)
    reached(CrashPoint.CLAIMED)
    assert seen == [CrashPoint.CLAIMED]


def test_the_process_ends_at_the_second_time_of_its_point_and_at_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (EXIT_CODE, ["cp5", "cp6", "cp5"])


def test_the_papers_twenty_one_points_are_there() -> None:
    assert [point.value for point in CrashPoint] == [f"cp{n}" for n in range(21)]


@pytest.mark.parametrize("text", ["cp99", "CP5", "cp5:x", "cp5:1:wait"])
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"no crash point; write cp0 to cp20"):
        dies_at(text)
