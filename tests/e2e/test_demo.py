"""``carry demo`` from outside: the books agree, also when a service dies; targets match replay."""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.backtest.engine import run_carry
from services.carry.demo.supervisor import KILLABLE
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.history.files import read_history
from shared.history.rules import sample_rules

ROOT = Path(__file__).parents[2]
START = datetime.fromisoformat("2023-11-11T00:00:00+00:00")
HOURS = 72

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def demo(state: Path, seconds: int, *arguments: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [
            sys.executable, "-m", "services.carry.cli", "demo", "--for", str(seconds),
            "--state", str(state), "--port", "0", *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    assert lines, done.stderr
    return done.returncode, json.loads(lines[-1]), done.stderr


def assert_books_agree(line: dict[str, Any]) -> None:
    assert line["fills_booked"] == line["fills_venue"]
    assert line["adjustments"] == 0
    assert set(line["ledger_difference"].values()) == {"0"}
    parts = sum(Decimal(line[name]) for name in ("funding", "fees", "basis"))
    assert parts == Decimal(line["pnl"])
    assert Decimal(line["equity_end"]) - Decimal(line["equity_start"]) == Decimal(line["pnl"])


@pytest.fixture(scope="module")
def quiet_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any], Path]:
    state = tmp_path_factory.mktemp("demo")
    code, line, errors = demo(state, 80)
    assert code == 0, errors
    return line, json.loads((state / "demo" / "targets.json").read_text()), state


def test_an_undisturbed_demo_trades_and_its_books_agree(
    quiet_run: tuple[dict[str, Any], list[Any], Path],
) -> None:
    line, _, _ = quiet_run
    assert_books_agree(line)
    assert line["pairs_opened"] >= 3
    assert line["settlements_booked"] >= 20
    assert line["instants_late"] == 0


def test_the_first_72_hours_say_the_same_targets_as_the_back_test_row_for_row(
    quiet_run: tuple[dict[str, Any], list[Any], Path],
) -> None:
    _, said, _ = quiet_run
    end = START + timedelta(hours=HOURS)
    live = [
        (row["pair"], Decimal(row["quantity"]), datetime.fromisoformat(row["decided_at"]))
        for row in said
        if datetime.fromisoformat(row["decided_at"]) < end
    ]
    replayed = run_carry(
        read_history(),
        sample_rules(),
        CarryPolicy(),
        RiskLimits(),
        ExecutionPolicy(),
        deposit=Decimal(100_000),
        start=START,
        end=end,
    )
    assert live == sorted(replayed.targets, key=lambda row: (row[2], row[0]))
    assert len(live) >= 3


@pytest.mark.parametrize("service", KILLABLE)
def test_killing_one_service_changes_nothing_in_the_books(service: str, tmp_path: Path) -> None:
    code, line, errors = demo(tmp_path, 30, "--kill", service, "--seed", "7")
    assert f"kill -9 {service}" in errors
    assert code == 0, errors
    assert_books_agree(line)
    assert line["pairs_opened"] >= 1
