"""Queued runs: worked off once, taken over from the dead, refused in one sentence."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.backtest.jobs import KIND, SWEEP, WALK
from services.backtest.main import perform
from services.backtest.worker import Tell, Worker
from services.carry.cli import app
from shared.domain.errors import Misconfigured
from shared.store.pool import WritePool, open_pool
from shared.store.runs import LEASE, ClaimedRun, Progress, claim_run, finish_run, queue_run
from tests.support.clock import ManualClock
from tests.support.servers import Database

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SPAN_OF_SWEEP = {"from": "2023-11-01", "to": "2023-12-01"}
SPAN = {"from": "2023-11-11", "to": "2023-11-14", "deposit": "100000"}


async def queued(pool: WritePool, run_id: str, kind: str = KIND, **parameters: str) -> None:
    async with pool.acquire() as connection:
        await queue_run(connection, run_id, kind, parameters, NOW)


async def row(pool: WritePool, run_id: str) -> Any:
    async with pool.acquire() as connection:
        return await connection.fetchrow("SELECT * FROM research.run WHERE id = $1", run_id)


@pytest.fixture
def dsn(database: Database) -> str:
    return database.dsn_for("carry_backtest")


async def test_a_queued_run_is_worked_off_and_its_parts_add_up(dsn: str) -> None:
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "r1", **SPAN)
        worker = Worker(pool, ManualClock(NOW), perform)
        assert await worker.step()
        assert not await worker.step()
        stored = await row(pool, "r1")
    assert stored["state"] == "done"
    figures = json.loads(stored["result"])
    parts = [Decimal(figures[name]) for name in ("funding", "fees", "basis")]
    assert sum(parts) == Decimal(figures["net"])
    assert figures["pairs_opened"] == 5
    assert (stored["done"], stored["total"]) == (72, 72)  # hours


GRID = {"spans": "3,6", "entries": "0.00005,0.0001", "exits": "0", "holds": "9"}
PAIRS = {"symbols": "BTCUSDT,SOLUSDT"}


async def trials(pool: WritePool, run_id: str) -> list[int]:
    async with pool.acquire() as connection:
        found = await connection.fetch(
            "SELECT number FROM research.trial WHERE run_id = $1 ORDER BY number", run_id
        )
    return [trial["number"] for trial in found]


async def test_a_queued_sweep_is_worked_off_with_its_trials_and_its_progress(
    dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARRY_DATABASE_URL", dsn)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "s1", kind=SWEEP, **SPAN_OF_SWEEP, **PAIRS, **GRID)
        assert await Worker(pool, ManualClock(NOW), perform).step()
        stored = await row(pool, "s1")
        assert (stored["state"], stored["detail"]) == ("done", None)
        assert await trials(pool, "s1") == [0, 1, 2, 3]
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM research.run") == 1
    assert (stored["done"], stored["total"]) == (4, 4)
    found = json.loads(stored["result"])
    assert (found["sets"], found["trials_ever"], found["run"]) == (4, 4, "s1")
    nets = [Decimal(best["net"]) for best in found["best"]]
    assert nets == sorted(nets, reverse=True)
    assert left_in(tmp_path) == []


def left_in(folder: Path) -> list[Path]:
    """Return the chunks that a run could go on from."""
    assert list(folder.glob("carry-backtest-*")) != []
    return list(folder.glob("carry-backtest-*/*"))


DIES = """
import os, signal, sys
from services.backtest.sweep.store import ChunkStore
from services.carry.cli import main
keep = ChunkStore.keep
def kept(*arguments):
    if {chunks}:
        keep(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
ChunkStore.keep = kept
sys.argv = ["carry", *sys.argv[3:]]  # after -m services.carry.cli
main()
"""


def dying(folder: Path, *, chunks: int, once: bool) -> str:
    """Return an interpreter that is killed after ``chunks`` (0 or 1) of a sweep."""
    (folder / "dies.py").write_text(DIES.format(chunks=chunks))
    python = folder / "python"
    python.write_text(
        "#!/bin/sh\n"
        f'{"" if once else "false && "}[ -e "{folder}/died" ] && exec "{sys.executable}" "$@"\n'
        f'echo >> "{folder}/died"; exec "{sys.executable}" "{folder}/dies.py" "$@"\n'
    )
    python.chmod(0o700)
    return str(python)


LARGE = {**GRID, "holds": ",".join(map(str, range(1, 76)))}  # 300 sets: two chunks


@pytest.fixture
def place(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where queued sweeps keep their chunks."""
    monkeypatch.setenv("CARRY_DATABASE_URL", dsn)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_a_queued_sweep_that_is_killed_goes_on_from_its_chunks(
    dsn: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", dying(place, chunks=1, once=True))
    told: list[Progress] = []
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "s1", kind=SWEEP)
    run = ClaimedRun("s1", SWEEP, {**SPAN_OF_SWEEP, **PAIRS, **LARGE}, NOW)
    found = await perform(run, told.append)
    assert found["sets"] == 300
    assert told == [(0, 300), (256, 300), (300, 300)]  # killed before it could tell of the first
    assert left_in(place) == []


async def test_a_queued_sweep_that_is_killed_before_it_gets_further_is_failed_with_the_signal(
    dsn: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", dying(place, chunks=0, once=False))
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "s1", kind=SWEEP, **SPAN_OF_SWEEP, **PAIRS, **GRID)
        assert await Worker(pool, ManualClock(NOW), perform).step()
        stored = await row(pool, "s1")
    assert stored["state"] == "failed"
    assert "ended by signal 9 (Killed): give the worker more memory" in stored["detail"]
    assert (place / "died").read_text() == "\n"


async def test_a_queued_walk_forward_is_worked_off_with_its_verdict(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARRY_DATABASE_URL", dsn)
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "w1", kind=WALK, **PAIRS, **GRID, folds="4")
        assert await Worker(pool, ManualClock(NOW), perform).step()
        stored = await row(pool, "w1")
        assert (stored["state"], stored["detail"]) == ("done", None)
        assert await trials(pool, "w1") == [0, 1, 2, 3]
    assert (stored["done"], stored["total"]) == (8, 8)  # each at both levels of cost
    found = json.loads(stored["result"])
    assert len(found["folds"]) == 4
    assert found["judgement"]["trials_ever"] is True


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"from": "yesterday"}, "yesterday is no instant"),
        ({"report": "/etc/passwd"}, "no carry has a parameter report"),
        ({"symbols": "DOGEUSDT"}, "DOGEUSDT has no rules"),
        ({"claimed": "r2"}, "no carry has a parameter claimed"),
    ],
)
async def test_a_run_that_cannot_be_is_failed_with_the_reason(
    dsn: str, parameters: dict[str, str], said: str
) -> None:
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "r1", **parameters)
        assert await Worker(pool, ManualClock(NOW), perform).step()
        stored = await row(pool, "r1")
    assert stored["state"] == "failed"
    assert said in stored["detail"]


async def test_a_run_of_another_kind_is_failed_by_name(dsn: str) -> None:
    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "r1", kind="monte-carlo")
        assert await Worker(pool, ManualClock(NOW), perform).step()
        stored = await row(pool, "r1")
    assert (stored["state"], stored["detail"]) == (
        "failed",
        "no run is called monte-carlo: choose from carry, sweep, walk-forward",
    )


async def test_workers_that_look_at_once_never_take_the_same_run(dsn: str) -> None:
    done: list[str] = []

    async def note(run: ClaimedRun, _tell: Tell) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        done.append(run.parameters["from"])
        return {"net": "0"}

    async with open_pool(dsn, application="test", max_size=8) as pool:
        for number in range(12):
            await queued(pool, f"r{number}", **{"from": str(number)})
        workers = [Worker(pool, ManualClock(NOW), note) for _ in range(4)]

        async def exhaust(worker: Worker) -> None:
            while await worker.step():
                pass

        await asyncio.gather(*map(exhaust, workers))
    assert sorted(done, key=int) == [str(number) for number in range(12)]


async def test_a_run_left_by_a_dead_worker_is_taken_over_when_its_lease_ends(dsn: str) -> None:
    async with open_pool(dsn, application="test") as pool, pool.acquire() as connection:
        await queue_run(connection, "r1", KIND, SPAN, NOW)
        first = await claim_run(connection, NOW)
        assert first is not None
        assert await claim_run(connection, NOW + LEASE) is None
        late = NOW + LEASE + timedelta(seconds=1)
        second = await claim_run(connection, late)
        assert second is not None
        assert second.id == "r1"
        assert not await finish_run(connection, first, late, result={"net": "1"})
        assert await finish_run(connection, second, late, result={"net": "2"})
        stored = await connection.fetchrow("SELECT state, result FROM research.run")
    assert (stored["state"], json.loads(stored["result"])) == ("done", {"net": "2"})


async def test_a_long_run_stays_ours_while_it_is_worked_on(dsn: str) -> None:
    clock = ManualClock(NOW)
    release = asyncio.Event()

    async def slow(_run: ClaimedRun, tell: Tell) -> Mapping[str, Any]:
        for done in count():
            if release.is_set():
                break
            tell((done, 1_000))
            await asyncio.sleep(0.001)
        return {"net": "3"}

    async with open_pool(dsn, application="test") as pool:
        await queued(pool, "r1")
        working = asyncio.create_task(Worker(pool, clock, slow).step())
        for _ in range(10):
            await settled(pool, clock)
        async with pool.acquire() as connection:
            assert await claim_run(connection, clock.now()) is None
        stored = await row(pool, "r1")
        assert stored["total"] == 1_000
        assert stored["done"] > 0
        release.set()
        assert await working
        assert (await row(pool, "r1"))["state"] == "done"


async def settled(pool: WritePool, clock: ManualClock) -> None:
    """Move five seconds on and wait until the claim says so."""
    await asyncio.sleep(0.05)
    before = clock.now()
    await clock.advance(5)
    for _ in range(200):
        stored = await row(pool, "r1")
        if stored["claimed_at"] is not None and stored["claimed_at"] > before:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the claim was not renewed")


async def test_parameters_reach_no_shell() -> None:
    with pytest.raises(Misconfigured, match=r"\$\(touch x\) is no instant"):
        await perform(ClaimedRun("r1", KIND, {"from": "$(touch x)"}, NOW), lambda _told: None)


def queue(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["backtest", "queue", *arguments])


def test_what_is_queued_is_checked_before_it_waits(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARRY_DATABASE_URL", dsn)
    for arguments, said in (
        (["monte-carlo"], "no run is called monte-carlo: choose from carry, sweep, walk-forward"),
        (["sweep", "--folds", "4"], "no sweep has a parameter folds"),
        (["carry", "--spans", "3"], "no carry has a parameter spans"),
    ):
        done = queue(*arguments)
        assert isinstance(done.exception, Misconfigured)
        assert said in str(done.exception)
    done = queue("walk-forward", "--symbols", "BTCUSDT", "--spans", "3,6", "--folds", "4")
    assert done.exit_code == 0, done.output

    async def waiting() -> Any:
        async with open_pool(dsn, application="test") as pool:
            return await row(pool, done.stdout.strip())

    stored = asyncio.run(waiting())
    assert (stored["kind"], stored["state"]) == (WALK, "queued")
    asked = {"symbols": "BTCUSDT", "spans": "3,6", "folds": 4}
    assert json.loads(stored["parameters"]) == asked
