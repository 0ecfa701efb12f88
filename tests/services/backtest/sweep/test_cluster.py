"""The same sweep through Dask: two real worker processes, one of them ended by kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from services.backtest.sweep.chunks import sweep_stored
from services.backtest.sweep.cluster import Cluster
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import Terms
from shared.domain.errors import Misconfigured
from tests.services.backtest.sweep.test_chunks import GRID, MARKET, Counting, assert_same

dask: Any = pytest.importorskip(
    "dask", reason="Dask is not installed: pip install 'carrydesk[dask]'"
)
pytest.importorskip("distributed")

ROOT = Path(__file__).parents[4]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``dask ...`` and ends it with the test."""
    with ExitStack() as stack:

        def run(*arguments: str) -> subprocess.Popen[bytes]:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
                cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield run


def address(file: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if file.exists() and file.stat().st_size:
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.05)
    raise TimeoutError("the scheduler did not start")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_worker_killed_half_way_changes_nothing(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.backtest.sweep.cluster.CONNECT", "120s")  # other tests run beside
    file = tmp_path / "scheduler.json"
    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    where = address(file)
    options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path))
    workers = [start("worker", where, *options) for _ in range(2)]
    seen: list[int] = []

    def killing(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 2:  # the first chunk is stored, fifteen are not
            workers[0].send_signal(signal.SIGKILL)
            workers[0].wait()

    cluster = Cluster(where, workers=2)
    found = sweep_stored(
        MARKET, GRID.sets(), Terms(), tmp_path / "kept", compute=cluster, chunk=1, progress=killing
    )
    assert seen == list(range(17))
    assert workers[0].returncode == -signal.SIGKILL
    assert workers[1].poll() is None
    assert_same(found, sweep(MARKET, GRID.sets()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    # A client waits 23 s for a scheduler to come back.
    "lost",
    ["worker", pytest.param("scheduler", marks=pytest.mark.nightly)],
)
def test_losing_the_last_worker_or_the_scheduler_is_one_sentence_and_keeps_the_chunks(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr("services.backtest.sweep.cluster.CONNECT", "20s")  # how long a client waits
    monkeypatch.setattr("services.backtest.sweep.cluster.WORKER_AGAIN", 1)
    file = tmp_path / "scheduler.json"
    scheduler = start(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)
    )
    where = address(file)
    options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path))
    victim = {"worker": start("worker", where, *options), "scheduler": scheduler}[lost]

    def killing(done: int, total: int) -> None:
        if done == 1:
            victim.send_signal(signal.SIGKILL)
            victim.wait()

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(Misconfigured, match="start a worker and run the same command"),
    ):
        sweep_stored(
            MARKET, GRID.sets(), Terms(), tmp_path / "kept",
            compute=Cluster(where), chunk=1, progress=killing,
        )  # fmt: skip
    counting = Counting()
    found = sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path / "kept", compute=counting, chunk=1)
    assert 0 < len(counting.computed) < len(GRID.sets())
    assert_same(found, sweep(MARKET, GRID.sets()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_address_where_nobody_answers_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.backtest.sweep.cluster.CONNECT", "1s")
    with pytest.raises(Misconfigured, match="no Dask scheduler answers at tcp://127"):
        list(Cluster("tcp://127.0.0.1:1")(MARKET, Terms(), []))


def test_without_dask_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Misconfigured, match=r"pip install 'carrydesk\[dask\]'"):
        list(Cluster("tcp://127.0.0.1:1")(MARKET, Terms(), []))
