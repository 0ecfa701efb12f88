"""Who may import whom, and what only adapters may touch; held by parsing every module."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SHARED = {
    "domain": {"shared.domain"},
    "venue": {"shared.venue"},
    "history": {"shared.history", "shared.domain", "shared.venue", "pyarrow", "pandas", "numpy"},
    "analytics": {"shared.analytics", "shared.domain", "numpy", "pandas", "scipy"},
    "telemetry": {"shared.telemetry", "structlog", "prometheus_client"},
    "config": {"shared.config", "shared.domain", "pydantic", "pydantic_settings"},
    "runtime": {"shared.runtime", "shared.domain", "shared.telemetry", "uvloop"},
    "store": {
        "shared.store", "shared.domain", "shared.telemetry", "asyncpg", "sqlalchemy", "alembic",
        "structlog",
    },
    "bus": {
        "shared.bus", "shared.domain", "shared.telemetry", "shared.runtime", "shared.store",
        "redis", "msgspec", "asyncpg", "structlog",
    },
    "exchange": {
        "shared.exchange", "shared.domain", "shared.telemetry", "shared.runtime", "pybit",
        "picows", "ccxt", "Crypto", "msgspec", "requests", "structlog", "websocket",
    },
}  # fmt: skip

IMPURE = {"asyncio", "logging", "os", "random", "secrets", "socket", "threading", "time", "uuid"}
READS_A_CLOCK = {"now", "utcnow", "today"}


def modules(folder: str) -> Iterator[Path]:
    yield from sorted((ROOT / folder).rglob("*.py"))


def imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def strangers(source: str, allowed: set[str]) -> set[str]:
    """Return what ``source`` imports that is neither standard nor allowed."""
    return {
        name
        for name in imported(source)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == a or name.startswith(f"{a}.") for a in allowed)
    }


def impurities(source: str) -> list[str]:
    """Return what has no place in the core: clocks, chance, input and output, binary fractions."""
    found = [name for name in imported(source) if name.split(".")[0] in IMPURE]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"{node.value} on line {node.lineno}")
        if isinstance(node, ast.Name) and node.id in ("float", "open", "print"):
            found.append(f"{node.id} on line {node.lineno}")
        if isinstance(node, ast.Attribute) and node.attr in READS_A_CLOCK:
            found.append(f"{node.attr} on line {node.lineno}")
    return found


def foreign_services(path: str, source: str) -> set[str]:
    """Return the other services that a service's module imports."""
    own = path.split("/")[1]
    return {
        name
        for name in imported(source)
        if name.startswith("services.") and name.split(".")[1] != own
    }


@pytest.mark.parametrize("package", sorted(SHARED))
def test_a_shared_package_imports_only_what_its_line_names(package: str) -> None:
    for path in modules(f"shared/{package}"):
        assert strangers(path.read_text(), SHARED[package]) == set(), path


def test_every_shared_package_has_its_line() -> None:
    folders = {p.parent.name for p in (ROOT / "shared").glob("*/__init__.py")}
    assert folders <= set(SHARED)


def test_the_core_and_the_venue_are_pure_and_hold_no_binary_fraction() -> None:
    for folder in ("shared/domain", "shared/venue"):
        for path in modules(folder):
            assert impurities(path.read_text()) == [], path


def test_services_never_import_each_other_but_the_command_line_imports_them_all() -> None:
    for path in modules("services"):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("services/carry/"):
            assert foreign_services(name, path.read_text()) == set(), path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from shared.store.pool import open_pool", {"shared.store.pool"}),
        ("import numpy as np", {"numpy"}),
        ("import decimal", set()),
        ("from shared.domain.money import ZERO", set()),
        ("from shared.domains import x", {"shared.domains"}),
    ],
)
def test_the_checker_finds_strangers(source: str, found: set[str]) -> None:
    assert strangers(source, SHARED["domain"]) == found


@pytest.mark.parametrize(
    "source",
    ["import time", "x = 0.5", "float('1')", "from datetime import datetime\ndatetime.now()"],
)
def test_the_checker_finds_impurities(source: str) -> None:
    assert impurities(source) != []


def test_the_checker_finds_a_service_in_another() -> None:
    source = "from services.executor.lease import Lease"
    assert foreign_services("services/strategy/main.py", source) == {"services.executor.lease"}
    assert foreign_services("services/executor/main.py", source) == set()
