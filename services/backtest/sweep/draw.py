"""Random search: some sets of a grid that is too large to be tried whole."""

from math import prod

import numpy as np

from services.backtest.sweep.terms import Grid, ParameterSet
from shared.domain.errors import Misconfigured


def drawn(grid: Grid, count: int, seed: int) -> list[ParameterSet]:
    """Return ``count`` different sets in the order of the grid; the same for the same ``seed``.

    The grid itself is never built. Raises: Misconfigured when it has fewer sets.
    """
    lists = (grid.spans, grid.entries, grid.exits, grid.holds)
    shape = tuple(len(values) for values in lists)
    if count > prod(shape):
        raise Misconfigured(f"--random {count} is more than the {prod(shape)} sets of the grid.")
    picks = np.sort(np.random.default_rng(seed).choice(prod(shape), count, replace=False))
    return [
        ParameterSet(grid.spans[a], grid.entries[b], grid.exits[c], grid.holds[d])
        for a, b, c, d in zip(*np.unravel_index(picks, shape), strict=True)
    ]
