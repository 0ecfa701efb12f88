"""Rivals, each in a virtual environment of its own under .bench/; and the data all work on."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import PLACE, NotMeasured, yardstick

INSTALL_SECONDS = 600
RUN_SECONDS = 240


def data(symbols: int) -> Path:
    """Return a folder with three years of REF-1 data, made once.

    Raises: NotMeasured.
    """
    folder = PLACE / f"ref{symbols}"
    if not (folder / "perp.npy").exists():
        PLACE.mkdir(exist_ok=True)
        aside = PLACE / f"ref{symbols}.new"
        _run([sys.executable, str(yardstick("gen.py")), str(aside), str(symbols), "3"])
        aside.rename(folder)
    return folder


def rival(name: str, requirement: str, python: str = sys.executable) -> str:
    """Return the interpreter of a rival's environment, which is made once.

    Raises: NotMeasured with the reason when it cannot be installed.
    """
    place = PLACE / name
    interpreter = place / "bin" / "python"
    ready = place / "ready"
    if ready.exists():
        return str(interpreter)
    found = shutil.which(python)
    if (
        found is None
        or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode
    ):
        raise NotMeasured(
            f"{name} needs a {python} on PATH that runs, not a version manager's stub"
        )
    shutil.rmtree(place, ignore_errors=True)
    _run([found, "-m", "venv", str(place)], INSTALL_SECONDS)
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", requirement]
    _run(pip, INSTALL_SECONDS)
    ready.touch()
    return str(interpreter)


def says(interpreter: str, program: str, *arguments: str) -> str:
    """Return what a yardstick program prints under a rival's interpreter.

    Raises: NotMeasured.
    """
    return _run([interpreter, str(yardstick(program)), *arguments])


def number(text: str, pattern: str) -> float:
    """Return the smallest number that ``pattern`` captures in ``text``.

    Raises: NotMeasured.
    """
    found = re.findall(pattern, text)
    if not found:
        raise NotMeasured(f"no figure in: {text[-200:].strip()}")
    return min(map(float, found))


def bandwidth() -> float:
    """Return how fast one thread reads memory, GB/s.

    Raises: NotMeasured.
    """
    program = PLACE / "bw"
    source = str(yardstick("bw.c"))
    _run(["cc", "-O3", "-march=native", "-pthread", source, "-o", str(program)])
    return number(_run([str(program), "512", "5"]), r"threads=1 read-sum: ([\d.]+) GB/s")


def _run(command: list[str], seconds: int = RUN_SECONDS) -> str:
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(PLACE / "numba")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasured(f"{Path(command[0]).name} {command[1]}: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
        raise NotMeasured(f"{' '.join(command[1:4])} failed: {lines[-1][:200]}")
    return done.stdout
