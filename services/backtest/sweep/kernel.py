"""REF-1's money on integers: only what a set has and its neighbour has not is booked.

Sets that share span, exit and hold differ in their entry alone and mostly hold the same pairs. One
is reached from the other by booking what only it has and taking off what only the other had:
whole numbers come out of a sum as they went in. A pair's hourly marks and payments are contiguous
runs. Everything is rounded by ``mul_round`` and by nothing else.

What is booked when, at instant k: marks of the hours up to it; payments of pairs held; signals;
exits; entries.
"""

from typing import Final

import numpy as np
from numba import prange
from numpy.typing import NDArray

from services.backtest.sweep.choice import (
    CHOICE_FIELDS,
    ENTERED,
    LEFT,
    SYMBOL,
    TURN,
    choose,
    fill_best,
    fill_next_exit,
)
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
from services.backtest.sweep.signals import fill_ema

TRADES, FUNDING, BASIS, FEES, NET, DRAWDOWN, BEYOND = range(7)
FIGURES: Final = 7
"""Columns of ``out``: trades, then 1e-8 units, then whether a sum grew too large to trust."""

QUANTITY, SPOT_IN, PERP_IN, SPOT_OUT, PERP_OUT, PAID, GAIN, COST = range(3, 11)
TRADE_FIELDS: Final = 11
"""A trade begins as its choice does: symbol, entered, left."""

GROSS_MAX: Final = 2.0**61

Terms = tuple[int, int, int, int, int]
"""Notional, cap, spot fee, perpetual fee, slippage, in units."""


@inlined
def live(
    c: Columns, choice: Ints, t: Terms, sign: int, marks: Ints, cash: Ints, trade: Ints
) -> None:
    """Book one pair from its entry to its exit and describe it in ``trade``.

    ``marks`` (T,) receives what the open pair is worth at each hour, ``cash`` (K,) what it books.
    ``sign``: 1, or -1 to take off again what was booked; rounding half-even knows no direction.
    """
    s, k, x = choice[SYMBOL], choice[ENTERED], choice[LEFT]
    notional, _, spot_fee, perp_fee, slip = t
    spot_in = mul_round_near(c.quotes[s, k, SPOT], RATE + slip, RATE, PER_RATE)
    perp_in = mul_round_near(c.quotes[s, k, PERP], RATE - slip, RATE, PER_RATE)
    spot_out = mul_round_near(c.quotes[s, x, SPOT], RATE - slip, RATE, PER_RATE)
    perp_out = mul_round_near(c.quotes[s, x, PERP], RATE + slip, RATE, PER_RATE)
    q = mul_round(notional, UNIT, spot_in, 1.0 / np.float64(spot_in))
    near = bool(np.float64(q) * np.float64(c.highest[s]) * (2 * PER_UNIT) < NEAR_MAX)
    q *= sign
    a, b, i, j = c.at[k] + 1, c.at[x] + 1, k + 1, x + 1
    if near:
        add_marks_near(marks[a:b], c.basis[s, a:b], q, spot_in - perp_in)
        paid = add_payments_near(cash[i:j], c.mark[s, i:j], c.rate[s, i:j], q)
    else:
        add_marks(marks[a:b], c.basis[s, a:b], q, spot_in - perp_in)
        paid = add_payments(cash[i:j], c.mark[s, i:j], c.rate[s, i:j], q)
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


@inlined
def step(was: Ints, i: int, now: Ints, j: int) -> int:
    """Return 1 when ``now[j]`` comes first, -1 when ``was[i]`` does, 0 when they are one pair."""
    if i == len(was):
        return 1
    if j == len(now):
        return -1
    return int(np.int64(was[i, TURN] > now[j, TURN]) - np.int64(was[i, TURN] < now[j, TURN]))


@compiled_lean
def apart(was: Ints, now: Ints) -> int:
    """Return how many pairs only one of two sets has."""
    n, i, j = 0, 0, 0
    while i < len(was) or j < len(now):
        sign = step(was, i, now, j)
        n += sign != 0
        i += sign <= 0
        j += sign >= 0
    return n


@compiled_lean
def book(
    c: Columns, was: Ints, now: Ints, t: Terms, marks: Ints, cash: Ints, trade: Ints, out: Ints,
    trades: Ints,
) -> float:  # fmt: skip
    """Lead ``marks``, ``cash`` and ``out`` from one set's pairs to another's.

    ``was``, ``now`` (n, 4): what is booked and what is to be; ``trade`` (11,) is room to work in;
    ``trades`` (n, 11) receives the first n booked, n may be 0. Returns by how much more is turned
    over, in units.
    """
    gross, i, j = 0.0, 0, 0
    while i < len(was) or j < len(now):
        sign = step(was, i, now, j)
        if sign != 0:
            live(c, now[j] if sign > 0 else was[i], t, sign, marks, cash, trade)
            if out[TRADES] < len(trades):
                for field in range(TRADE_FIELDS):
                    trades[out[TRADES], field] = trade[field]
            out[TRADES] += sign
            out[FUNDING] += trade[PAID]
            out[BASIS] += trade[GAIN]
            out[FEES] += trade[COST]
            gross += sign * (abs(np.float64(trade[PAID])) + abs(np.float64(trade[GAIN])))
        i += sign <= 0
        j += sign >= 0
    return gross


@compiled_lean
def sum_up(c: Columns, marks: Ints, cash: Ints, equity: Ints, out: Ints) -> None:
    """Write equity (T,) before each hour's bookings, net and the deepest drawdown."""
    balance, peak, deepest, h = 0, 0, 0, 0
    for k in range(len(c.at) + 1):
        end = c.at[k] + 1 if k < len(c.at) else len(marks)
        for g in range(h, end):
            equity[g] = balance + marks[g]
            peak = max(peak, equity[g])
            deepest = max(deepest, peak - equity[g])
        h = max(h, end)
        if k < len(c.at):
            balance += cash[k]
    out[NET] = balance
    out[DRAWDOWN] = deepest


@compiled_lean
def by_day(c: Columns, equity: Ints, net: int, capital: int, returns: NDArray[np.float64]) -> None:
    """Write each day's gain over the capital; what is booked at a midnight is the next day's."""
    before = 0
    for d in range(len(c.day_ends)):
        after = net if d == len(c.day_ends) - 1 else equity[c.day_ends[d]]
        returns[d] = np.float64(after - before) / np.float64(capital)
        before = after


@compiled
def run_span(
    c: Columns, params: Ints, t: Terms, capital: int, out: Ints, returns: NDArray[np.float64]
) -> None:
    """Run sets that share their span and stand in order of exit, hold and entry.

    Writes ``out`` (n, 7) and daily ``returns`` (n, D).
    """
    instants, symbols = c.signal_rate.shape
    hours, cap = c.basis.shape[1], t[1]
    signals = np.empty((instants, symbols), np.int64)
    fill_ema(c.signal_rate, params[0, 0], signals)
    rows, most = instants if len(params) > 1 else 0, min(2 * cap, symbols)
    who, value = np.empty((max(rows, 1), most), np.int32), np.empty((max(rows, 1), most), np.int64)
    following = np.empty((rows, symbols), np.int32)
    marks, cash, equity = (
        np.empty(hours, np.int64),
        np.empty(instants, np.int64),
        np.empty(hours, np.int64),
    )
    blocked, until = np.empty(symbols, np.int64), np.empty(cap, np.int64)
    trade, nothing = np.empty(TRADE_FIELDS, np.int64), np.empty((0, TRADE_FIELDS), np.int64)
    room = instants * min(cap, symbols)
    was, now = np.empty((room, CHOICE_FIELDS), np.int64), np.empty((room, CHOICE_FIELDS), np.int64)
    booked, gross = 0, 0.0
    if rows:
        fill_best(c, signals, params[:, 1].min(), blocked, who, value)
    for i in range(len(params)):
        entry, leave, hold = params[i, 1], params[i, 2], params[i, 3]
        other = i == 0 or leave != params[i - 1, 2]
        if rows and other:
            fill_next_exit(c, signals, leave, following)
        n = choose(c, signals, who, value, following, entry, leave, hold, blocked, until, now)
        if other or hold != params[i - 1, 3] or apart(was[:booked], now[:n]) > n:
            marks[:] = 0
            cash[:] = 0
            out[i] = 0
            booked, gross = 0, 0.0
        else:
            out[i] = out[i - 1]
        gross += book(c, was[:booked], now[:n], t, marks, cash, trade, out[i], nothing)
        out[i, BEYOND] = gross > GROSS_MAX
        sum_up(c, marks, cash, equity, out[i])
        by_day(c, equity, out[i, NET], capital, returns[i])
        was, now, booked = now, was, n


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
