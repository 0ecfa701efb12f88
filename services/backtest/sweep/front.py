"""``scipy.optimize.brute`` over the compiled sweep: ranges in, the best set and the grid out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from services.backtest.sweep.fixed import RATE, RATE_SCALE
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.result import SweepResult
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import ParameterSet, Terms

Objective = Callable[[SweepResult], NDArray[np.float64]]
"""(N,) values to make as small as possible."""


@dataclass(frozen=True, slots=True, eq=False)
class BruteResult:
    """``best`` and its ``value``; ``values`` over the grid, with an axis for each range."""

    best: ParameterSet
    value: float
    values: NDArray[np.float64]
    swept: SweepResult


def minus_net(result: SweepResult) -> NDArray[np.float64]:
    """Return what is lost, in 1e-8 USDT: the default objective."""
    return -result.net.astype(np.float64)


def brute(
    market: SweepMarket,
    ranges: Sequence[slice],
    terms: Terms | None = None,
    *,
    objective: Objective = minus_net,
    evaluate: Callable[[SweepMarket, Sequence[ParameterSet], Terms | None], SweepResult] = sweep,
) -> BruteResult:
    """Return the best point of a grid: slices for span, entry, exit and hold, ends excluded.

    SciPy builds the grid and picks the best; all its points are evaluated in one compiled batch.
    Rates are taken to the nearest 1e-12, spans and holds to the nearest whole.
    """
    seen: list[SweepResult] = []

    def batch(_: object, points: Iterable[NDArray[np.float64]]) -> list[float]:
        seen.append(evaluate(market, [_set(point) for point in points], terms))
        return [float(value) for value in objective(seen[0])]

    best, value, _, values = optimize.brute(
        _never, tuple(ranges), full_output=True, finish=None, workers=batch
    )
    return BruteResult(_set(np.atleast_1d(best)), float(value), np.asarray(values), seen[0])


def _never(point: object) -> float:
    raise AssertionError("points are evaluated in batches")


def _set(point: NDArray[np.float64]) -> ParameterSet:
    span, entry, leave, hold = (float(value) for value in point)
    return ParameterSet(round(span), _rate(entry), _rate(leave), round(hold))


def _rate(value: float) -> Decimal:
    return Decimal(round(value * RATE)).scaleb(-RATE_SCALE)
