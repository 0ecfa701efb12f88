"""What a newcomer reads when something is wrong: one sentence that names it, never a traceback."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.store.migrate import claim_installation
from tests.support.servers import Database, connected

ROOT = Path(__file__).parents[3]

COLLECTOR = {
    "CARRY_DATABASE_URL": "postgresql://carry_collector:hunter2secret@127.0.0.1:1/carrydesk",
    "CARRY_REDIS_URL": "redis://127.0.0.1:1/0",
    "CARRY_VENUE_REST_URL": "http://127.0.0.1:8100",
    "CARRY_VENUE_WS_URL": "ws://127.0.0.1:8100",
}


def carry(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARRY_")}
    return subprocess.run(
        [sys.executable, "-m", "services.carry.cli", *arguments],
        cwd=ROOT,
        env={**inherited, "CARRY_ENV_FILE": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_line_starts_without_what_only_some_commands_use() -> None:
    dear = {"scipy", "pandas", "numba", "pybit", "distributed", "jinja2"}
    asked = f"import sys, services.carry.cli; print(sorted({dear} & set(sys.modules)))"
    command = [sys.executable, "-c", asked]

    assert subprocess.check_output(command, cwd=ROOT, text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("service", "change", "said"),
    [
        ("collector", {"CARRY_SYMBOL": "BTCUSDT"}, "CARRY_SYMBOL is not known; did you mean"),
        ("executor", {}, "CARRY_API_KEY (or CARRY_API_KEY_FILE) is missing"),
        ("collector", {"CARRY_VENUE": "live"}, "CARRY_LIVE_CONFIRM is missing"),
        ("strategy", {"CARRY_MAX_PAIR_NOTIONAL": "-1"}, "CARRY_MAX_PAIR_NOTIONAL=-1 is wrong"),
        ("collector", {"CARRY_VENUE_REST_URL": "ftp://x"}, "CARRY_VENUE_REST_URL"),
        ("collector", {"CARRY_DATABASE_URL": "mysql://x/y"}, "CARRY_DATABASE_URL"),
        ("strategy", {"CARRY_POLICY_FILE": "nowhere.toml"}, "nowhere.toml"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(
    service: str, change: dict[str, str], said: str
) -> None:
    done = carry(service, **{**COLLECTOR, **change})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("carry: ")
    assert said in done.stderr
    assert "hunter2secret" not in done.stderr + done.stdout


def test_a_database_that_is_not_up_is_one_sentence_and_exit_code_1() -> None:
    done = carry("collector", **COLLECTOR)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("carry: the database does not answer")
    assert "Traceback" not in done.stderr
    assert "hunter2secret" not in done.stderr


async def test_another_venues_database_is_refused(database: Database) -> None:
    async with connected(database.owner_dsn) as connection:
        await claim_installation(connection, "paper", "other", datetime.now(UTC))
    ours = {**COLLECTOR, "CARRY_DATABASE_URL": database.dsn_for("carry_strategy")}
    done = await asyncio.to_thread(lambda: carry("strategy", **ours))
    assert done.returncode == 2
    assert "this database belongs to venue 'paper', account 'other'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--kill", "grafana"], "--kill grafana is not one of"),
        (["replay", "x", "--state", "/nowhere"], "no demo ran in /nowhere/demo"),
        (["backtest", "run", "--from", "2019-01-01"], "stay inside it"),
    ],
)
def test_a_wrong_argument_is_one_sentence(arguments: list[str], said: str) -> None:
    done = carry(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_every_command() -> None:
    said = carry("--help").stdout
    for command in (
        "demo", "simulator", "collector", "strategy", "executor", "api", "backtest", "data", "db",
        "replay", "kill", "lift", "doctor",
    ):  # fmt: skip
        assert f" {command} " in said


async def test_k2_the_switch_is_pressed_and_lifted_with_nothing_but_the_database(
    database: Database,
) -> None:
    reached = {"CARRY_DATABASE_URL": database.dsn_for("carry_commander")}
    pressed = await asyncio.to_thread(lambda: carry("kill", "3", "--reason", "drill", **reached))
    assert (pressed.returncode, pressed.stdout) == (0, "kill 1 of level 3 stands: drill\n")
    early = await asyncio.to_thread(lambda: carry("lift", "1", "--reason", "over", **reached))
    assert early.returncode == 1
    assert early.stdout.startswith("carry lift: no executor has said of late")
    async with connected(database.owner_dsn) as connection:
        await connection.execute(
            "INSERT INTO ops.heartbeat VALUES ('executor', true, '', NULL, now())"
        )
        lifted = await asyncio.to_thread(lambda: carry("lift", "1", "--reason", "over", **reached))
        assert (lifted.returncode, lifted.stdout) == (0, "kill 1 is lifted: over\n")
        row = await connection.fetchrow("SELECT pressed_by = lifted_by AS same FROM execution.kill")
    assert row["same"]


@pytest.mark.parametrize(
    "arguments", [["0", "--reason", "x"], ["2", "--reason", "x", "--pair", "BTCUSDT"]]
)
def test_a_pair_is_named_with_level_0_and_no_other(arguments: list[str]) -> None:
    done = carry("kill", *arguments)
    assert done.returncode == 2
    assert "Level 0 pauses one pair and needs --pair" in done.stderr


def test_a_kill_without_a_database_says_what_to_set(tmp_path: Path) -> None:
    done = carry("kill", "1", "--reason", "x", "--state", str(tmp_path))
    assert done.returncode == 2
    assert "set CARRY_DATABASE_URL" in done.stderr
