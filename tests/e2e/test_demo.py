"""``carry demo`` from outside: the books agree, also when a service dies; targets match replay."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from services.backtest.engine import run_carry
from services.carry.demo.supervisor import KILLABLE
from services.carry.embedded import EmbeddedServers
from services.strategy.replay import replay
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.profit import PARTS
from shared.domain.risk import RiskLimits
from shared.history.files import read_history
from shared.history.rules import sample_rules
from shared.store.decisions import read_decision
from tests.support.servers import connected, made_folder

ROOT = Path(__file__).parents[2]
START = datetime.fromisoformat("2023-11-11T00:00:00+00:00")
HOURS = 72

STRANGE = {"CARRY_VENUE": "paper", "CARRY_VENU": "misspelt"}
"""Settings of the real platform, and a misspelt one: a demo names them and uses its own."""

Ended = tuple[int, dict[str, Any], str]
"""Exit code, last line, and what was said on standard error."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def carry(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.carry.cli", *arguments],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("CARRY_")} | STRANGE,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@asynccontextmanager
async def stored(state: Path) -> AsyncIterator[Any]:
    """Lend the database that a demo left behind."""
    async with (
        EmbeddedServers(state / "demo" / "servers", keep=True) as servers,
        connected(servers.owner_dsn) as connection,
    ):
        yield connection


def demo(state: Path, seconds: int, *arguments: str) -> Ended:
    done = carry("demo", "--for", str(seconds), "--state", str(state), "--port", "0", *arguments)
    lines = done.stdout.strip().splitlines()
    assert lines, done.stderr
    return done.returncode, json.loads(lines[-1]), done.stderr


def assert_books_agree(line: dict[str, Any]) -> None:
    assert line["fills_booked"] == line["fills_venue"]
    assert line["adjustments"] == 0
    assert set(line["ledger_difference"].values()) == {"0"}
    parts = sum(Decimal(line[name]) for name in PARTS)
    assert parts == Decimal(line["pnl"])
    assert Decimal(line["equity_end"]) - Decimal(line["equity_start"]) == Decimal(line["pnl"])


@dataclass(frozen=True)
class Run:
    """An undisturbed demo that ended: its last line, the targets it said, where its data is."""

    line: dict[str, Any]
    targets: list[dict[str, str]]
    state: Path
    said: str


@pytest.fixture(scope="module")
def quiet_run() -> Iterator[Run]:
    with made_folder() as state:
        code, line, errors = demo(state, 80)
        assert code == 0, errors
        targets = json.loads((state / "demo" / "targets.json").read_text())
        yield Run(line, targets, state, errors)


@pytest.fixture
def state() -> Iterator[Path]:
    with made_folder() as folder:
        yield folder


def test_an_undisturbed_demo_trades_and_its_books_agree(quiet_run: Run) -> None:
    line = quiet_run.line
    assert_books_agree(line)
    assert line["pairs_opened"] >= 3
    assert line["settlements_booked"] >= 20
    assert line["instants_late"] == 0


def test_settings_that_a_demo_does_not_use_are_named(quiet_run: Run) -> None:
    assert "its own settings; not used: CARRY_VENU, CARRY_VENUE" in quiet_run.said


def test_the_first_72_hours_say_the_same_targets_as_the_back_test_row_for_row(
    quiet_run: Run,
) -> None:
    assert_targets_are_the_back_tests(quiet_run.targets, START, HOURS)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("start", "targets"),
    [
        # The week of FTX: SOL goes over from eight hours to two, nothing is worth opening.
        ("2022-11-09T00:00:00+00:00", 0),
        ("2023-01-26T12:00:00+00:00", 1),
    ],
)
def test_other_times_say_the_same_targets_as_the_back_test(
    state: Path, start: str, targets: int
) -> None:
    code, line, errors = demo(state, 80, "--start", start)
    assert code == 0, errors
    assert_books_agree(line)
    said = json.loads((state / "demo" / "targets.json").read_text())
    assert_targets_are_the_back_tests(said, datetime.fromisoformat(start), HOURS, least=targets)


def assert_targets_are_the_back_tests(
    said: list[dict[str, str]], start: datetime, hours: int, *, least: int = 3
) -> None:
    end = start + timedelta(hours=hours)
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
        start=start,
        end=end,
    )
    assert live == sorted(replayed.targets, key=lambda row: (row[2], row[0]))
    assert len(live) >= least


async def test_a_decision_its_order_fill_ledger_rows_and_log_lines_share_one_id(
    quiet_run: Run,
) -> None:
    async with stored(quiet_run.state) as connection:
        rows = await connection.fetch(
            """
            SELECT d.correlation_id, i.pair, count(DISTINCT a.link_id) AS orders,
                   count(DISTINCT f.exec_id) AS fills, count(DISTINCT g.id) AS groups
            FROM strategy.decision d
            JOIN strategy.intent i ON i.decision_id = d.id AND i.correlation_id = d.correlation_id
            JOIN execution.plan p ON p.intent_id = i.id AND p.correlation_id = d.correlation_id
            JOIN execution.attempt a ON a.plan_id = p.id
            JOIN execution.fill f ON f.plan_id = p.id
            JOIN ledger.posting_group g
                ON g.correlation_id = d.correlation_id AND g.pair = i.pair AND g.kind = 'trade'
            GROUP BY d.correlation_id, i.pair"""
        )
    assert len(rows) == quiet_run.line["pairs_opened"] + quiet_run.line["pairs_closed"]
    logs = {
        name: (quiet_run.state / "demo" / "logs" / f"{name}.log").read_text().splitlines()
        for name in ("strategy", "executor")
    }
    for row in rows:
        # Two legs each, and a group of ledger rows for each row of the venue's log.
        assert (row["orders"], row["fills"]) == (2, 2)
        assert row["groups"] >= 2
        for lines in logs.values():
            said = [json.loads(line) for line in lines if row["correlation_id"] in line]
            assert row["pair"] in {line.get("pair") for line in said}


async def test_every_kept_decision_comes_out_the_same_again(quiet_run: Run) -> None:
    async with stored(quiet_run.state) as connection:
        ids = [r["id"] for r in await connection.fetch("SELECT id FROM strategy.decision")]
        decisions = [await read_decision(connection, decision_id) for decision_id in ids]
    assert len(decisions) >= HOURS
    for decision in decisions:
        assert decision is not None
        assert replay(decision).difference is None


def test_carry_replay_says_that_a_decision_is_equal(quiet_run: Run) -> None:
    done = carry("replay", "last", "--state", str(quiet_run.state))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("equal: ")
    missing = carry("replay", "nothing", "--state", str(quiet_run.state))
    assert (missing.returncode, missing.stdout.strip()) == (
        1,
        "carry replay: there is no decision nothing.",
    )


def test_a_kept_demo_goes_on_where_it_stopped(state: Path) -> None:
    first_code, first, errors = demo(state, 5)
    assert first_code == 0, errors
    second_code, second, errors = demo(state, 8, "--keep")
    assert second_code == 0, errors
    assert_books_agree(second)
    assert second["equity_start"] == first["equity_start"]
    assert second["fills_booked"] >= first["fills_booked"] >= 2
    assert second["settlements_booked"] >= 4


KILLS_START = "2023-11-12T06:00Z"
# From there SOL is opened 2.017 s after the clock starts, just after the others were first paid:
# these moments, in seconds, lie around it.
KILLS = [
    ("collector", 1852),  # 2.005
    ("strategy", 1047),  # 2.027
    ("executor", 1497),  # 2.070
    ("executor", 121),  # 2.135
    ("redis", 1242),  # 2.029
    ("postgres", 89),  # 2.05
    ("simulator", 3386),  # 2.058
    ("api", 7),  # 5.2
    ("watchdog", 8),
]
HOURLY = {("executor", 1497), ("postgres", 89)}
"""Those of every run; the others are for the night, so that the tier keeps its minutes."""


def cases() -> list[ParameterSet]:
    night = [pytest.mark.nightly]
    return [pytest.param(*kill, marks=[] if kill in HOURLY else night) for kill in KILLS]


@pytest.fixture(scope="module")
def killed(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, int], Future[Ended]]]:
    """The demos in which a service is killed, two at a time: each leaves most of a core alone."""

    def run(service: str, seed: int) -> Ended:
        with made_folder() as state:
            kill = ("--kill", service, "--seed", str(seed))
            return demo(state, 20, "--start", KILLS_START, *kill)

    chosen = {item.name for item in request.session.items}
    wanted = [k for k in KILLS if any(f"[{k[0]}-{k[1]}]" in name for name in chosen)]
    with ThreadPoolExecutor(2) as pool:
        yield {kill: pool.submit(run, *kill) for kill in wanted}


@pytest.mark.parametrize(("service", "seed"), cases())
def test_killing_one_service_changes_nothing_in_the_books(
    service: str, seed: int, killed: dict[tuple[str, int], Future[Ended]]
) -> None:
    code, line, errors = killed[service, seed].result()
    assert f"kill -9 {service}" in errors
    assert code == 0, errors
    assert_books_agree(line)
    assert line["pairs_opened"] >= 4
    assert line["settlements_booked"] >= 8


def test_every_service_is_killed() -> None:
    assert {service for service, _ in KILLS} == set(KILLABLE)
