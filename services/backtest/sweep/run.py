"""``sweep``: many parameter sets over one market, here and now."""

from collections.abc import Iterator, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.columns import Columns, columns_of
from services.backtest.sweep.kernel import FIGURES, run_spans
from services.backtest.sweep.market import Ints, SweepMarket
from services.backtest.sweep.result import SweepResult, result_of
from services.backtest.sweep.terms import ParameterSet, Params, Terms, as_params, check_range

GROUP_MAX = 128
"""Sets of one span that share one computation of its signals, at most."""


def sweep(
    market: SweepMarket, sets: Sequence[ParameterSet], terms: Terms | None = None
) -> SweepResult:
    """Return what each set would have come to, bit-identical on every run and thread count.

    Raises: Misconfigured when a set, a term or a price is out of range, by name.
    """
    terms = Terms() if terms is None else terms
    check_range(market, terms)
    params = as_params(sets)
    out, returns = run_params(columns_of(market), params, terms)
    return result_of(params, out, returns, market.days)


def run_params(columns: Columns, params: Params, terms: Terms) -> tuple[Ints, NDArray[np.float64]]:
    """Return ``out`` (N, 7) and daily returns (N, D) of the sets, in the order given."""
    notional, cap, spot_fee, perp_fee, slip, capital = terms.in_units()
    t = notional, cap, spot_fee, perp_fee, slip
    order = np.lexsort((params[:, 1], params[:, 3], params[:, 2], params[:, 0]))
    rows = np.ascontiguousarray(params[order])
    out = np.zeros((len(rows), FIGURES), np.int64)
    returns = np.zeros((len(rows), len(columns.day_ends)))
    starts = np.array([*_starts(rows[:, 0]), len(rows)], np.int64)
    turns = np.concatenate(list(_dealt(len(starts) - 1, numba.get_num_threads())))
    run_spans(columns, rows, starts, turns, t, capital, out, returns)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return out[back], returns[back]


def _starts(spans: Ints) -> Iterator[int]:
    """Yield where a group begins: at each new span, and after ``GROUP_MAX`` sets of one."""
    begin = 0
    for i in range(len(spans)):
        if i == 0 or spans[i] != spans[i - 1] or i - begin == GROUP_MAX:
            begin = i
            yield i


def _dealt(groups: int, threads: int) -> Iterator[Ints]:
    """Yield each thread's groups, dealt there and back again: shorter spans trade more."""
    for i in range(threads):
        there = np.arange(i, groups, 2 * threads)
        back = np.arange(2 * threads - 1 - i, groups, 2 * threads)
        yield np.sort(np.concatenate([there, back]))
