"""A sweep in chunks: what is stored is not computed again, what is computed is stored at once."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from services.backtest.sweep.columns import columns_of
from services.backtest.sweep.kernel import FIGURES
from services.backtest.sweep.market import Ints, SweepMarket
from services.backtest.sweep.result import SweepResult, result_of
from services.backtest.sweep.run import run_params
from services.backtest.sweep.store import ChunkStore, Figures, inputs_digest
from services.backtest.sweep.terms import ParameterSet, Params, Terms, as_params, check_range

CHUNK: Final = 256

Progress = Callable[[int, int], None]
"""(sets finished, sets in all)."""

Keep = Callable[[Ints, SweepResult], None]
"""(numbers of the sets, their results), for each chunk, also for one that was there already."""


class Computer(Protocol):
    """Computes chunks wherever it likes and yields each as it is done, in any order."""

    def __call__(
        self, market: SweepMarket, terms: Terms, chunks: Sequence[tuple[int, Params]]
    ) -> Iterator[tuple[int, Figures]]:
        """Yield (number, figures) of every chunk."""


def here(
    market: SweepMarket, terms: Terms, chunks: Sequence[tuple[int, Params]]
) -> Iterator[tuple[int, Figures]]:
    """Compute the chunks one after another on this machine's cores."""
    columns = columns_of(market)
    for number, params in chunks:
        yield number, run_params(columns, params, terms)


def sweep_stored(
    market: SweepMarket,
    sets: Sequence[ParameterSet],
    terms: Terms,
    folder: Path,
    *,
    compute: Computer = here,
    chunk: int = CHUNK,
    progress: Progress = lambda done, total: None,
    keep: Keep = lambda numbers, part: None,
) -> SweepResult:
    """Return what ``sweep`` returns, chunk by chunk through ``folder``.

    Raises: Misconfigured as ``sweep`` and ``ChunkStore`` do.
    """
    check_range(market, terms)
    params = as_params(sets)
    order = np.lexsort((params[:, 3], params[:, 1], params[:, 2], params[:, 0]))
    rows = params[order]
    pieces = [rows[i : i + chunk] for i in range(0, len(rows), chunk)]
    store = ChunkStore(folder, inputs_digest(market.digest(), params, terms, chunk))
    places = [order[i : i + chunk] for i in range(0, len(rows), chunk)]

    def told(number: int, figures: Figures) -> None:
        keep(places[number], result_of(pieces[number], *figures, market.days))

    found = dict(store.finished(len(pieces)))
    for number, figures in found.items():
        told(number, figures)
    done = sum(len(pieces[number]) for number in found)
    progress(done, len(rows))
    missing = [(number, piece) for number, piece in enumerate(pieces) if number not in found]
    for number, figures in compute(market, terms, missing) if missing else ():
        store.keep(number, pieces[number], figures)
        told(number, figures)
        found[number] = figures
        done += len(pieces[number])
        progress(done, len(rows))
    out = np.empty((len(rows), FIGURES), np.int64)
    returns = np.empty((len(rows), len(market.day_ends)))
    out[order] = np.concatenate([found[number][0] for number in range(len(pieces))])
    returns[order] = np.concatenate([found[number][1] for number in range(len(pieces))])
    return result_of(params, out, returns, market.days)
