"""PG1, PG2, PG3 and PG7: the fixed-point sweep against a plain port, vectorbt, and the memory."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np

from services.backtest.sweep.columns import Columns, columns_of
from services.backtest.sweep.run import run_params
from services.backtest.sweep.terms import Terms, as_params
from tests.bench.figures import (
    ROOT,
    Figure,
    NotMeasured,
    at_least,
    at_most,
    figures,
)
from tests.bench.ref1 import COSTS, ONE, SETS, columns, market, port
from tests.bench.rivals import bandwidth, data, number, rival, says

PAIRS = 5
PASS_BYTES = 57.8e6
"""What one set can need: rates, prices at settlements, hourly basis (PERFORMANCE A5)."""

Seconds = tuple[float, float]
"""Wall and CPU."""


def sweep() -> Iterator[Figure]:
    """Yield what the sweep comes to; the shared inputs are made once."""
    try:
        ours = columns_of(market(data(200)))
    except NotMeasured as error:
        yield Figure("PG1, PG2, PG3, PG7", str(error), "it", None)
        return
    run_params(ours, as_params([ONE]), Terms())
    yield from figures("PG1 sweep of 1,000 sets", lambda: against_port(ours))
    yield from figures("PG2 vectorbt", lambda: against_vectorbt(ours))
    yield from figures("PG3 one set", lambda: one_pass(ours))
    yield from figures("PG7 two cores", lambda: two_cores(ours))
    yield from figures("PG7 whole process", whole_process)


def against_port(ours: Columns) -> Iterator[Figure]:
    """The plain float port in ``prange``, in turn with ours; the least of each."""
    reference = port("ref_numba")
    rate, spot, perp = columns(data(200))
    inputs = rate / 1e8, spot / 1e6, perp / 1e6
    grid, theirs = reference.grid(), np.zeros((1_000, 6))
    reference.psweep_naive(*inputs, grid[:2], *COSTS, theirs[:2])
    params, found = as_params(SETS), list[Any]()
    pairs = [
        (
            timed(lambda: found.append(run_params(ours, params, Terms())[0])),
            timed(lambda: reference.psweep_naive(*inputs, grid, *COSTS, theirs)),
        )
        for _ in range(PAIRS)
    ]
    same = int((found[0][:, 0] == theirs[:, 0]).sum())
    (wall, cpu), (their_wall, their_cpu) = least(pairs, 0), least(pairs, 1)
    said = (
        f"{wall / their_wall:.3f} x the plain Numba float port ({wall:.2f} s against "
        f"{their_wall:.2f} s; CPU {cpu / their_cpu:.3f} x), trades equal in {same} of 1000 sets"
    )
    yield at_most("PG1 sweep of 1,000 sets", wall / their_wall if same == 1_000 else 99, 0.25, said)


def against_vectorbt(ours: Columns) -> Iterator[Figure]:
    """vectorbt's better engine with one pool of cash, per set."""
    interpreter = rival("vectorbt", "vectorbt[rust]")
    said = says(interpreter, "ref_vbt.py", str(data(200)), "rust")
    capped = said[said.index("capped 1 set", said.index("uncapped 1 set") + 5) :]
    theirs = number(capped, r"([\d.]+) ms(?:/set| \()")
    wall, _ = min(timed(lambda: run_params(ours, as_params(SETS), Terms())) for _ in range(2))
    ratio = theirs / wall  # ms a set against s a thousand sets
    yield at_least(
        "PG2 vectorbt", ratio, 100, f"{ratio:.0f} x ({wall:.3f} ms a set against {theirs:.1f} ms)"
    )


def one_pass(ours: Columns) -> Iterator[Figure]:
    """One set, warm, against reading the data once."""
    read = bandwidth()
    params = as_params([ONE])
    wall = min(timed(lambda: run_params(ours, params, Terms()))[0] for _ in range(25))
    ratio = wall / (PASS_BYTES / read / 1e9)
    said = f"{ratio:.2f} passes over the data ({wall * 1e3:.2f} ms; {read:.1f} GB/s)"
    yield at_most("PG3 one set", ratio, 0.7, said)


def two_cores(ours: Columns) -> Iterator[Figure]:
    """One thread against two, in turn."""
    if numba.get_num_threads() < 2:
        raise NotMeasured("there is one core")
    params, threads = as_params(SETS), numba.get_num_threads()

    def on(count: int) -> Callable[[], object]:
        def run() -> object:
            numba.set_num_threads(count)
            return run_params(ours, params, Terms())

        return run

    try:
        pairs = [(timed(on(1)), timed(on(2))) for _ in range(PAIRS)]
    finally:
        numba.set_num_threads(threads)
    ratio = least(pairs, 0)[0] / least(pairs, 1)[0]
    yield at_least("PG7 two cores", ratio, 1.75, f"{ratio:.2f} x one")


def whole_process() -> Iterator[Figure]:
    """From the start of Python to the last figure, code compiled before; in turn a float port's."""
    folder = str(data(200))
    command = [sys.executable, "-m", "tests.bench.whole", folder]
    runs, theirs = [], []
    for _ in range(PAIRS):
        began = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        runs.append((time.perf_counter() - began, float(done.stdout.split()[-1])))
        began = time.perf_counter()
        says(sys.executable, "sweep_cli.py", folder)
        theirs.append(time.perf_counter() - began)
    wall, peak = min(runs)[0], min(run[1] for run in runs)
    said = f"{wall:.2f} s, {wall / min(theirs):.2f} x the float yardstick's process"
    yield at_most("PG7 whole process, s", wall, 1.2, said)
    yield at_most("PG7 peak, MiB", peak, 400, f"{peak:.0f} MiB")


def timed(action: Callable[[], object]) -> Seconds:
    """Return wall and CPU seconds of one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


def least(pairs: list[tuple[Seconds, Seconds]], side: int) -> Seconds:
    """Return the least wall and the least CPU seconds of one side."""
    return min(pair[side][0] for pair in pairs), min(pair[side][1] for pair in pairs)
