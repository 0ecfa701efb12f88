"""REF-1's rule: which pairs are entered when, and when each is left.

Once per span: the signals, and at each instant the few symbols that could be entered, best first.
Once per (span, exit): the next settlement at which a pair would be left. A set then jumps from
entry to exit. A set that shares its span with no other ranks and looks ahead only where it comes
by: tables would cost it four times as much as they save.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.columns import Columns
from services.backtest.sweep.compiled import compiled_lean, inlined
from services.backtest.sweep.market import Ints
from services.backtest.sweep.signals import UNKNOWN

SYMBOL, ENTERED, LEFT, TURN = range(4)
CHOICE_FIELDS: Final = 4
"""Of a pair: its symbol, the instants at which it is entered and left, its turn in the span.

Of two sets that share span, exit and hold, the same turn is the same pair with the same end.
"""


@inlined
def rank(
    c: Columns, row: Ints, k: int, floor: int, blocked: Ints, symbol: NDArray[np.int32], best: Ints
) -> None:
    """Write the best symbols that may be entered at ``k``: ``symbol``, ``best`` (M,), best first.

    Only what is above ``floor`` and not ``blocked`` until ``k``. Ties go to the lower symbol.
    """
    most = len(best)
    best[:], symbol[:] = UNKNOWN, -1
    n, least = 0, floor
    for s in range(len(row)):
        x = row[s]
        if x <= least or blocked[s] >= k or k < c.first[s] or k >= c.last[s]:
            continue
        i = min(n, most - 1)
        while i > 0 and best[i - 1] < x:
            best[i], symbol[i] = best[i - 1], symbol[i - 1]
            i -= 1
        best[i], symbol[i] = x, s
        n = min(n + 1, most)
        least = max(floor, best[most - 1])


@compiled_lean
def fill_best(
    c: Columns, signals: Ints, floor: int, blocked: Ints, who: NDArray[np.int32], value: Ints
) -> None:
    """Write ``rank`` of each instant (K, M) for sets that block none and enter above ``floor``.

    Twice the cap is enough: of what is better than the last entry, no more than the cap is held or
    was just left.
    """
    blocked[:] = -1
    for k in range(len(signals)):
        rank(c, signals[k], k, floor, blocked, who[k], value[k])


@compiled_lean
def fill_next_exit(c: Columns, signals: Ints, leave: int, following: NDArray[np.int32]) -> None:
    """Write (K, S): the first settlement of its own after k at which the signal is below."""
    instants, symbols = signals.shape
    for s in range(symbols):
        following[instants - 1, s] = instants
    for k in range(instants - 2, -1, -1):
        settles, signal, later = c.settles[k + 1], signals[k + 1], following[k + 1]
        row, here = following[k], np.int32(k + 1)
        for s in range(symbols):
            leaves = -np.int32(settles[s] & (signal[s] < leave))  # all bits or none: no branch
            row[s] = (here & leaves) | (later[s] & ~leaves)


@inlined
def next_exit(c: Columns, signals: Ints, s: int, k: int, leave: int, end: int) -> int:
    """Return the first settlement of its own after k at which the signal is below, or ``end``."""
    for n in range(c.nth[k, s], c.nth[-1, s]):
        j = int(c.own[s, n])
        if j >= end:
            break
        if signals[j, s] < leave:
            return j
    return end


@inlined
def held_until(c: Columns, s: int, k: int, hold: int) -> int:
    """Return the instant at which a pair opened at ``k`` is left at the latest."""
    nth = c.nth[k, s] + hold - 1
    if nth < c.nth[-1, s]:
        return int(min(c.last[s], np.int64(c.own[s, nth])))
    return int(c.last[s])


@compiled_lean
def choose(
    c: Columns,
    signals: Ints,
    who: NDArray[np.int32],
    value: Ints,
    following: NDArray[np.int32],
    entry: int,
    leave: int,
    hold: int,
    blocked: Ints,
    until: Ints,
    chosen: Ints,
) -> int:
    """Write the pairs of one set in the order of their entries, ``chosen`` (n, 4); return how many.

    ``who``, ``value`` and ``following`` are the tables; where ``following`` has no row, what they
    would hold is found on the way, and the other two are room for one instant.
    Room to work in: ``blocked`` (S,), until which instant a symbol is not to be entered; ``until``
    (cap,), when the pairs held are left.
    """
    instants, cap, most, tabled = len(c.at), len(until), who.shape[1], len(following) > 0
    blocked[:] = -1
    n, held, k = 0, 0, 0
    while k < instants:
        kept = 0
        for i in range(held):
            if until[i] > k:
                until[kept] = until[i]
                kept += 1
        held = kept
        row, free = k if tabled else 0, cap - held
        if not tabled:
            rank(c, signals[k], k, entry, blocked, who[0, :free], value[0, :free])
        for i in range(most):
            if held == cap or value[row, i] <= entry:
                break
            s = who[row, i]
            if blocked[s] >= k:
                continue
            x = held_until(c, s, k, hold)
            x = min(x, int(following[k, s])) if tabled else next_exit(c, signals, s, k, leave, x)
            chosen[n, SYMBOL], chosen[n, ENTERED], chosen[n, LEFT] = s, k, x
            chosen[n, TURN] = k * most + i
            n += 1
            blocked[s] = x
            until[held] = x
            held += 1
        if held < cap:
            k += 1
            continue
        k = until[0]
        for i in range(1, cap):
            k = min(k, until[i])
    return n
