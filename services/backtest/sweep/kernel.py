"""REF-1's rule on integers, from entry to exit: only entries are decided, the rest is looked up.

Once per span: the signals, and at each instant the few symbols that could be entered, best first.
Once per (span, exit): the next settlement at which a pair would be left. A set then jumps from
entry to exit, adds each pair's hourly marks and payments as contiguous runs, and sums up. A set
that shares its span with no other ranks and looks ahead only where it comes by: tables would cost
it four times as much as they save.

What is booked when, at instant k: marks of the hours up to it; payments of pairs held; signals;
exits; entries. Everything is rounded by ``mul_round`` and by nothing else.
"""

from typing import Final

import numpy as np
from numba import prange
from numpy.typing import NDArray

from services.backtest.sweep.columns import PERP, SPOT, Columns
from services.backtest.sweep.compiled import (
    compiled,
    compiled_lean,
    compiled_parallel,
    inlined,
)
from services.backtest.sweep.fixed import (
    NEAR_MAX,
    PER_RATE,
    PER_UNIT,
    RATE,
    UNIT,
    mul_round,
    mul_round_near,
)
from services.backtest.sweep.loops import (
    add_marks,
    add_marks_near,
    add_payments,
    add_payments_near,
)
from services.backtest.sweep.market import Ints
from services.backtest.sweep.signals import UNKNOWN, fill_ema

TRADES, FUNDING, BASIS, FEES, NET, DRAWDOWN, BEYOND = range(7)
FIGURES: Final = 7
"""Columns of ``out``: trades, then 1e-8 units, then whether a sum grew too large to trust."""

SYMBOL, ENTERED, LEFT, QUANTITY, SPOT_IN, PERP_IN, SPOT_OUT, PERP_OUT, PAID, GAIN, COST = range(11)
TRADE_FIELDS: Final = 11

GROSS_MAX: Final = 2.0**61

Terms = tuple[int, int, int, int, int]
"""Notional, cap, spot fee, perpetual fee, slippage, in units."""


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


@inlined
def live(
    c: Columns, s: int, k: int, x: int, t: Terms, marks: Ints, cash: Ints, trade: Ints
) -> None:
    """Book one pair from its entry at ``k`` to its exit at ``x`` and describe it in ``trade``.

    ``marks`` (T,) receives what the open pair is worth at each hour, ``cash`` (K,) what it books.
    """
    notional, _, spot_fee, perp_fee, slip = t
    spot_in = mul_round_near(c.quotes[s, k, SPOT], RATE + slip, RATE, PER_RATE)
    perp_in = mul_round_near(c.quotes[s, k, PERP], RATE - slip, RATE, PER_RATE)
    spot_out = mul_round_near(c.quotes[s, x, SPOT], RATE - slip, RATE, PER_RATE)
    perp_out = mul_round_near(c.quotes[s, x, PERP], RATE + slip, RATE, PER_RATE)
    q = mul_round(notional, UNIT, spot_in, 1.0 / np.float64(spot_in))
    a, b, i, j = c.at[k] + 1, c.at[x] + 1, k + 1, x + 1
    near = bool(np.float64(q) * np.float64(c.highest[s]) * (2 * PER_UNIT) < NEAR_MAX)
    if near:
        add_marks_near(marks[a:b], c.basis[s, a:b], q, spot_in - perp_in)
        paid = add_payments_near(cash[i:j], c.quotes[s, i:j], q)
    else:
        add_marks(marks[a:b], c.basis[s, a:b], q, spot_in - perp_in)
        paid = add_payments(cash[i:j], c.quotes[s, i:j], q)
    cost_in = fee(near, q, spot_in, spot_fee) + fee(near, q, perp_in, perp_fee)
    cost_out = fee(near, q, spot_out, spot_fee) + fee(near, q, perp_out, perp_fee)
    gain = times(near, q, spot_out - spot_in, UNIT, PER_UNIT)
    gain -= times(near, q, perp_out - perp_in, UNIT, PER_UNIT)
    cash[k] -= cost_in
    cash[x] += gain - cost_out
    trade[SYMBOL], trade[ENTERED], trade[LEFT], trade[QUANTITY] = s, k, x, q
    trade[SPOT_IN], trade[PERP_IN], trade[SPOT_OUT], trade[PERP_OUT] = (
        spot_in, perp_in, spot_out, perp_out,
    )  # fmt: skip
    trade[PAID], trade[GAIN], trade[COST] = paid, gain, cost_in + cost_out


@inlined
def fee(near: bool, q: int, price: int, rate: int) -> int:
    """Return the fee of one leg: its value booked, then the share of it booked."""
    return times(near, times(near, q, price, UNIT, PER_UNIT), rate, RATE, PER_RATE)


@inlined
def times(near: bool, a: int, b: int, d: int, per_d: float) -> int:
    """Return a * b / d by the shorter way where it reaches."""
    return mul_round_near(a, b, d, per_d) if near else mul_round(a, b, d, per_d)


@compiled_lean
def walk(
    c: Columns,
    signals: Ints,
    who: NDArray[np.int32],
    value: Ints,
    following: NDArray[np.int32],
    entry: int,
    leave: int,
    hold: int,
    t: Terms,
    marks: Ints,
    cash: Ints,
    blocked: Ints,
    until: Ints,
    trade: Ints,
    out: Ints,
    trades: Ints,
) -> None:
    """Run one set. ``marks`` and ``cash`` are left as equity by hour and cash booked by instant.

    ``who``, ``value`` and ``following`` are the tables; where ``following`` has no row, what they
    would hold is found on the way, and the other two are room for one instant.
    Room to work in: ``blocked`` (S,), until which instant a symbol is not to be entered; ``until``
    (cap,), when the pairs held are left; ``trade`` (11,).
    ``trades`` (n, 11) receives the first n trades, in the order of their entries; n may be 0.
    """
    instants, cap, tabled = len(c.at), t[1], len(following) > 0
    marks[:] = 0
    cash[:] = 0
    out[:] = 0
    blocked[:] = -1
    gross, held, k = 0.0, 0, 0
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
        for i in range(who.shape[1]):
            if held == cap or value[row, i] <= entry:
                break
            s = who[row, i]
            if blocked[s] >= k:
                continue
            x = held_until(c, s, k, hold)
            x = min(x, int(following[k, s])) if tabled else next_exit(c, signals, s, k, leave, x)
            live(c, s, k, x, t, marks, cash, trade)
            if out[TRADES] < len(trades):
                for field in range(TRADE_FIELDS):
                    trades[out[TRADES], field] = trade[field]
            out[TRADES] += 1
            out[FUNDING] += trade[PAID]
            out[BASIS] += trade[GAIN]
            out[FEES] += trade[COST]
            gross += abs(np.float64(trade[PAID])) + abs(np.float64(trade[GAIN]))
            blocked[s] = x
            until[held] = x
            held += 1
        if held < cap:
            k += 1
            continue
        k = until[0]
        for i in range(1, cap):
            k = min(k, until[i])
    out[BEYOND] = gross > GROSS_MAX


@compiled_lean
def sum_up(c: Columns, marks: Ints, cash: Ints, out: Ints) -> None:
    """Turn ``marks`` into equity before each hour's bookings; write net and deepest drawdown."""
    balance, peak, deepest, h = 0, 0, 0, 0
    for k in range(len(c.at) + 1):
        end = c.at[k] + 1 if k < len(c.at) else len(marks)
        for g in range(h, end):
            equity = balance + marks[g]
            marks[g] = equity
            peak = max(peak, equity)
            deepest = max(deepest, peak - equity)
        h = max(h, end)
        if k < len(c.at):
            balance += cash[k]
    out[NET] = balance
    out[DRAWDOWN] = deepest


@compiled_lean
def by_day(c: Columns, marks: Ints, net: int, capital: int, returns: NDArray[np.float64]) -> None:
    """Write each day's gain over the capital; what is booked at a midnight is the next day's."""
    before = 0
    for d in range(len(c.day_ends)):
        equity = net if d == len(c.day_ends) - 1 else marks[c.day_ends[d]]
        returns[d] = np.float64(equity - before) / np.float64(capital)
        before = equity


@compiled
def run_span(
    c: Columns, params: Ints, t: Terms, capital: int, out: Ints, returns: NDArray[np.float64]
) -> None:
    """Run sets that share their span and stand in order of exit, writing ``out`` (n, 7)."""
    instants, symbols = c.signal_rate.shape
    signals = np.empty((instants, symbols), np.int64)
    fill_ema(c.signal_rate, params[0, 0], signals)
    rows, most = instants if len(params) > 1 else 0, min(2 * t[1], symbols)
    who, value = np.empty((max(rows, 1), most), np.int32), np.empty((max(rows, 1), most), np.int64)
    following = np.empty((rows, symbols), np.int32)
    marks, cash = np.empty(c.basis.shape[1], np.int64), np.empty(instants, np.int64)
    blocked, until = np.empty(symbols, np.int64), np.empty(t[1], np.int64)
    trade, nothing = np.empty(TRADE_FIELDS, np.int64), np.empty((0, TRADE_FIELDS), np.int64)
    if rows:
        fill_best(c, signals, params[:, 1].min(), blocked, who, value)
    for i in range(len(params)):
        entry, leave, hold = params[i, 1], params[i, 2], params[i, 3]
        if rows and (i == 0 or leave != params[i - 1, 2]):
            fill_next_exit(c, signals, leave, following)
        walk(
            c, signals, who, value, following, entry, leave, hold, t, marks, cash,
            blocked, until, trade, out[i], nothing,
        )  # fmt: skip
        sum_up(c, marks, cash, out[i])
        by_day(c, marks, out[i, NET], capital, returns[i])


@compiled_parallel
def run_spans(
    c: Columns,
    params: Ints,
    starts: Ints,
    turns: Ints,
    t: Terms,
    capital: int,
    out: Ints,
    returns: NDArray[np.float64],
) -> None:
    """Run groups of sets in parallel; group g is rows ``starts[g]`` up to ``starts[g + 1]``.

    ``turns``: the groups in the order in which they are handed out, the first to the first thread.
    """
    for i in prange(len(turns)):
        a, b = starts[turns[i]], starts[turns[i] + 1]
        run_span(c, params[a:b], t, capital, out[a:b], returns[a:b])
