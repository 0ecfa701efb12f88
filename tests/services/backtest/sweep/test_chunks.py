"""Chunks: stored, resumed, never mixed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from services.backtest.sweep.chunks import here, sweep_stored
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.result import SweepResult
from services.backtest.sweep.run import sweep
from services.backtest.sweep.store import Figures
from services.backtest.sweep.terms import Grid, Params, Terms
from shared.domain.errors import Misconfigured
from tests.services.backtest.sweep.markets import random_market

GRID = Grid(
    (3, 9), (Decimal("0.00005"), Decimal("0.0001")), (Decimal(0), Decimal("0.00002")), (3, 30)
)
MARKET = random_market(21, 4, 600, wild=False)


def assert_same(one: SweepResult, other: SweepResult) -> None:
    for name in ("params", "trades", "funding", "basis", "fees", "net", "drawdown"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    assert np.array_equal(one.daily_returns, other.daily_returns)
    assert one.days == other.days


class Counting:
    """Computes here, counts the chunks, and stops dead after ``last`` of them."""

    def __init__(self, last: int | None = None) -> None:
        self.computed: list[int] = []
        self._last = last

    def __call__(
        self, market: SweepMarket, terms: Terms, chunks: Sequence[tuple[int, Params]]
    ) -> Iterator[tuple[int, Figures]]:
        for number, figures in here(market, terms, chunks):
            if len(self.computed) == self._last:
                raise KeyboardInterrupt
            self.computed.append(number)
            yield number, figures


def test_an_interrupted_sweep_computes_only_what_is_missing(tmp_path: Path) -> None:
    first, second, seen = Counting(last=2), Counting(), list[tuple[int, int]]()
    with pytest.raises(KeyboardInterrupt):
        sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path, compute=first, chunk=3)
    found = sweep_stored(
        MARKET, GRID.sets(), Terms(), tmp_path, compute=second, chunk=3,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert first.computed == [0, 1]
    assert second.computed == [2, 3, 4, 5]
    assert seen == [(6, 16), (9, 16), (12, 16), (15, 16), (16, 16)]
    assert_same(found, sweep(MARKET, GRID.sets()))
    assert found.trades.sum() > 0


@pytest.mark.parametrize("changed", ["data", "sets", "terms", "chunk"])
def test_chunks_of_another_sweep_are_refused(tmp_path: Path, changed: str) -> None:
    sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path, chunk=16)
    market = random_market(22, 4, 600, wild=False) if changed == "data" else MARKET
    sets = GRID.sets()[1:] if changed == "sets" else GRID.sets()
    terms = Terms(cap=3) if changed == "terms" else Terms()
    with pytest.raises(Misconfigured, match="another sweep"):
        sweep_stored(market, sets, terms, tmp_path, chunk=8 if changed == "chunk" else 16)


def test_a_torn_chunk_is_refused_by_name_and_a_half_written_one_is_no_chunk(
    tmp_path: Path,
) -> None:
    sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path, chunk=8)
    path = tmp_path / "chunk-000001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Misconfigured, match=r"chunk-000001\.parquet cannot be read"):
        sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path, chunk=8)
    path.rename(path.with_suffix(".new"))
    counting = Counting()
    sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path, compute=counting, chunk=8)
    assert counting.computed == [1]


def test_files_of_other_names_are_no_chunks(tmp_path: Path) -> None:
    (tmp_path / "chunk-x.parquet").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("ours")
    sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path, chunk=8)
    counting = Counting()
    sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path, compute=counting, chunk=8)
    assert counting.computed == []
    assert (tmp_path / "chunk-x.parquet").read_bytes() == b""


KILLED = """
import sys
from pathlib import Path
from tests.services.backtest.sweep.test_chunks import GRID, MARKET
from services.backtest.sweep.chunks import sweep_stored
from services.backtest.sweep.terms import Terms
import time
def slowly(done, total):
    if done:
        print(done, flush=True)
        time.sleep(60)
sweep_stored(MARKET, GRID.sets(), Terms(), Path(sys.argv[1]), chunk=4, progress=slowly)
"""


def test_a_sweep_ended_by_kill_9_goes_on_where_it_was(tmp_path: Path) -> None:
    root = Path(__file__).parents[4]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"4\n"
        os.kill(process.pid, signal.SIGKILL)
    counting = Counting()
    began = time.monotonic()
    found = sweep_stored(MARKET, GRID.sets(), Terms(), tmp_path, compute=counting, chunk=4)
    assert time.monotonic() - began < 30
    assert counting.computed == [1, 2, 3]
    assert_same(found, sweep(MARKET, GRID.sets()))
