"""The replay on integers: every close and every settlement handled in turn, for one set.

A pair is wanted in full and worked in parts: with each spot close as much of what is missing is
filled as ``depth`` buys there, with each close of the perpetual as much of what is unhedged. What
settles is paid at the last close of the perpetual. Whoever settles first is entered first.
Everything is rounded by ``mul_round`` and by nothing else.
"""

from typing import Final

import numpy as np

from services.backtest.replay.events import PERP, SETTLED, SPOT, Events
from services.backtest.sweep.compiled import compiled_lean, inlined
from services.backtest.sweep.fixed import PER_RATE, PER_UNIT, RATE, UNIT, mul_round
from services.backtest.sweep.market import HOURS_NORMAL, Ints
from services.backtest.sweep.signals import UNKNOWN

HELD, SIGNAL, WANTED, SETTLEMENTS, WORTH = 2, 4, 5, 6, 7
"""Of a symbol's row, after its two closes: quantity held by leg (the perpetual's is short), signal
in 1e-12, quantity wanted, settlements since it is wanted, worth at the last closes."""
FIELDS: Final = 8

ORDERS, FILLS, PARTS, FUNDING, FEES, NET, DRAWDOWN, BEYOND, CASH, TOTAL, PEAK, OPEN = range(12)
"""Of ``out``: how many orders, fills, and fills that left something over; then money in 1e-8, and
whether it grew too large to trust; the last four are the books while it runs."""
FIGURES: Final = 12

FILL_FIELDS: Final = 6
"""Of a fill: the event's number, symbol, leg, signed quantity, price, fee."""

GROSS_MAX: Final = 2**60

Rule = tuple[int, int, int, int]
"""Span, entry and exit in 1e-12, hold: see ``terms.Params``."""
Costs = tuple[int, int, int, int, int]
"""See ``kernel.Terms`` of the sweep."""


@compiled_lean
def run_events(
    events: Events, rule: Rule, t: Costs, depth: int, book: Ints, out: Ints, fills: Ints
) -> None:
    """Run all events. ``book`` (S, 8) and ``out`` (12,) begin as zero, signals as ``UNKNOWN``.

    ``fills`` (n, 6) receives the first n fills; n may be 0.
    """
    before = SPOT
    for i in range(len(events.kind)):
        kind, symbol = int(np.int64(events.kind[i])), int(np.int64(events.symbol[i]))
        row = book[symbol]
        if before == PERP and kind != PERP:
            look(out)
        before = kind
        if kind >= SETTLED:
            settle(row, kind - SETTLED + 1, events.value[i], rule, t, out)
            continue
        row[kind] = events.value[i]
        if row[WANTED] | row[HELD] | row[HELD + PERP]:
            work(row, kind, t, depth, out, fills, i, symbol)
            value_anew(row, out)
    look(out)
    out[NET] = out[CASH] + out[TOTAL]
    out[BEYOND] |= np.int64(abs(out[NET]) > GROSS_MAX)


@inlined
def settle(row: Ints, hours: int, rate: int, rule: Rule, t: Costs, out: Ints) -> None:
    """Pay the short, renew the signal, and order what follows from it."""
    span, entry, leave, hold = rule
    if row[HELD + PERP]:
        payment = mul_round(times(row[HELD + PERP], row[PERP]), rate, RATE, PER_RATE)
        out[CASH] += payment
        out[FUNDING] += payment
        out[BEYOND] |= np.int64(abs(out[FUNDING]) > GROSS_MAX)
    if hours != HOURS_NORMAL:
        rate = mul_round(rate, HOURS_NORMAL, hours, 1.0 / np.float64(hours))
    old = row[SIGNAL]
    if old == UNKNOWN:
        row[SIGNAL] = rate
    else:
        row[SIGNAL] = old + mul_round(rate - old, 2, span + 1, 1.0 / np.float64(span + 1))
    if row[WANTED] > 0:
        row[SETTLEMENTS] += 1
        if row[SIGNAL] < leave or row[SETTLEMENTS] >= hold:
            row[WANTED] = 0
            out[ORDERS] += 1
            out[OPEN] -= np.int64((row[HELD] | row[HELD + PERP]) == 0)
    elif row[HELD] | row[HELD + PERP]:
        return
    elif out[OPEN] < t[1] and row[SIGNAL] > entry and row[SPOT] > 0 and row[PERP] > 0:
        price = mul_round(row[SPOT], RATE + t[4], RATE, PER_RATE)
        row[WANTED] = mul_round(t[0], UNIT, price, 1.0 / np.float64(price))
        row[SETTLEMENTS] = 0
        out[OPEN] += np.int64(row[WANTED] > 0)
        out[ORDERS] += np.int64(row[WANTED] > 0)


@inlined
def work(
    row: Ints, leg: int, t: Costs, depth: int, out: Ints, fills: Ints, i: int, symbol: int
) -> None:
    """Fill what one leg lacks, as far as the depth of this close goes."""
    missing = row[HELD] - row[HELD + PERP] if leg else row[WANTED] - row[HELD]
    if missing == 0:
        return
    room = mul_round(depth, UNIT, row[leg], 1.0 / np.float64(row[leg]))
    q = max(-room, min(room, missing))
    if q == 0:
        return
    buys = (q > 0) != (leg == PERP)
    price = mul_round(row[leg], RATE + t[4] if buys else RATE - t[4], RATE, PER_RATE)
    value = times(q, price)
    fee = mul_round(abs(value), t[2 + leg], RATE, PER_RATE)
    row[HELD + leg] += q
    out[CASH] += (value if leg else -value) - fee
    out[FEES] += fee
    if out[FILLS] < len(fills):
        log = fills[out[FILLS]]
        log[0], log[1], log[2], log[3], log[4], log[5] = i, symbol, leg, q, price, fee
    out[FILLS] += 1
    out[PARTS] += np.int64(q != missing)
    out[OPEN] -= np.int64((row[WANTED] | row[HELD] | row[HELD + PERP]) == 0)


@inlined
def value_anew(row: Ints, out: Ints) -> None:
    """Value the pair at its last closes."""
    worth = times(row[HELD], row[SPOT]) - times(row[HELD + PERP], row[PERP])
    out[TOTAL] += worth - row[WORTH]
    row[WORTH] = worth


@inlined
def look(out: Ints) -> None:
    """See how deep the equity has fallen; at the end of an hour, when both closes are known."""
    equity = out[CASH] + out[TOTAL]
    out[PEAK] = max(out[PEAK], equity)
    out[DRAWDOWN] = max(out[DRAWDOWN], out[PEAK] - equity)


@inlined
def times(quantity: int, price: int) -> int:
    """Return the booked value of a quantity at a price."""
    return mul_round(quantity, price, UNIT, PER_UNIT)
