"""Clocks, chance, sockets and threads enter through adapters and ``main.py`` alone.

Everything else is given them by constructor, which is what lets a test, a replay and a back-test
run the same code.
"""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ADAPTERS = (
    "shared/exchange/bybit/*",
    "shared/bus/redis.py",
    "shared/store/pool.py",
    "shared/store/migrate.py",
    "shared/runtime/clock.py",
    "shared/runtime/service.py",
    "shared/telemetry/health.py",
    "services/*/main.py",
    "services/carry/*",
    "services/backtest/cli.py",
    "services/backtest/commands_*.py",
)
"""Who may touch the machine: the shell's edge, and the command lines."""

FORBIDDEN_MODULES = frozenset({"random", "secrets", "socket", "threading", "multiprocessing"})
FORBIDDEN_NAMES = frozenset(
    {
        "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter",
        "time.perf_counter_ns", "time.sleep",
        "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
        "datetime.date.today",
        "uuid.uuid1", "uuid.uuid4", "os.urandom",
        "concurrent.futures.ThreadPoolExecutor", "concurrent.futures.ProcessPoolExecutor",
        "asyncio.to_thread", "asyncio.open_connection", "asyncio.open_unix_connection",
        "asyncio.start_server",
    }
)  # fmt: skip


def is_adapter(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in ADAPTERS)


def breaches(source: str) -> list[str]:
    """Return every forbidden thing that ``source`` reaches, with its line, however it was named."""
    tree = ast.parse(source)
    origins = dict(_origins(tree))
    found = [
        f"{origin} on line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for origin in _imported(node)
        if origin.split(".")[0] in FORBIDDEN_MODULES or origin in FORBIDDEN_NAMES
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = _dotted(node, origins)
            if name in FORBIDDEN_NAMES:
                found.append(f"{name} on line {node.lineno}")
    return found


def _origins(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each local name that an import binds, and what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.split(".")[0]
                yield bound, alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _dotted(node: ast.expr, origins: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, origins)}.{node.attr}"
    return origins.get(node.id, "") if isinstance(node, ast.Name) else ""


def _modules() -> list[str]:
    return [
        path.relative_to(ROOT).as_posix()
        for folder in ("shared", "services")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def test_only_adapters_read_clocks_draw_lots_open_sockets_or_start_threads() -> None:
    broken = {
        path: found
        for path in _modules()
        if not is_adapter(path) and (found := breaches((ROOT / path).read_text()))
    }
    assert broken == {}


def test_every_adapter_that_is_named_exists() -> None:
    paths = _modules()
    gone = [pattern for pattern in ADAPTERS if not any(fnmatch(path, pattern) for path in paths)]
    assert gone == []


def test_only_main_and_the_command_line_read_settings() -> None:
    readers = {
        path
        for path in _modules()
        if not path.startswith(("shared/config/", "services/carry/"))
        and not fnmatch(path, "services/*/main.py")
        and path != "services/backtest/cli.py"
        and not fnmatch(path, "services/backtest/commands_*.py")
        and "load_settings" in (ROOT / path).read_text()
    }
    assert readers == set()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import time\ntime.time()", "time.time"),
        ("import time as t\nt.monotonic()", "time.monotonic"),
        ("from time import monotonic", "time.monotonic"),
        ("from datetime import datetime\ndatetime.now()", "datetime.datetime.now"),
        ("import datetime as dt\ndt.datetime.utcnow()", "datetime.datetime.utcnow"),
        ("from uuid import uuid4 as make", "uuid.uuid4"),
        ("import random", "random"),
        ("from secrets import token_hex", "secrets.token_hex"),
        ("import socket", "socket"),
        ("def f():\n    import threading", "threading"),
        ("from concurrent.futures import ThreadPoolExecutor", "ThreadPoolExecutor"),
        ("import asyncio\nasyncio.to_thread(f)", "asyncio.to_thread"),
        ("import asyncio\nasyncio.open_connection('h', 1)", "asyncio.open_connection"),
    ],
)
def test_the_checker_finds_a_planted_breach(source: str, name: str) -> None:
    assert any(name in breach for breach in breaches(source))


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasyncio.sleep(0)",
        "from datetime import UTC, datetime\ndatetime(2023, 11, 11, tzinfo=UTC)",
        "def f(clock):\n    return clock.now(), clock.monotonic()",
        "class A:\n    def time(self):\n        return self.time",
        "from shared.runtime.clock import SystemClock",
        "from uuid import UUID",
    ],
)
def test_the_checker_leaves_what_is_given_alone(source: str) -> None:
    assert breaches(source) == []


def test_an_adapter_is_known_by_its_path() -> None:
    assert is_adapter("services/collector/main.py")
    assert is_adapter("shared/exchange/bybit/rest.py")
    assert not is_adapter("services/collector/collector.py")
    assert not is_adapter("shared/domain/main.py")
