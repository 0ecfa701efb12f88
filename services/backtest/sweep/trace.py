"""One set in full: every pair, booking and balance, to look at or to hold to another engine."""

from dataclasses import dataclass

import numpy as np

from services.backtest.sweep.choice import CHOICE_FIELDS, ENTERED, LEFT, SYMBOL, choose
from services.backtest.sweep.columns import columns_of
from services.backtest.sweep.fixed import PER_RATE, PER_UNIT, RATE, UNIT, mul_round
from services.backtest.sweep.kernel import (
    DRAWDOWN,
    FIGURES,
    NET,
    QUANTITY,
    TRADE_FIELDS,
    TRADES,
    book,
    sum_up,
)
from services.backtest.sweep.market import Ints, SweepMarket
from services.backtest.sweep.signals import ema_signals
from services.backtest.sweep.terms import ParameterSet, Terms, as_params, check_range


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Money in 1e-8; ``figures`` (7,) and the fields of ``pairs`` (n, 11) as ``kernel`` names them.

    ``pairs`` in the order of entries. ``payments`` (m, 3): pair, instant, amount. ``equity`` (T,):
    before each hour's bookings. ``balances`` (K,): cash after each instant.
    """

    pairs: Ints
    payments: Ints
    equity: Ints
    balances: Ints
    figures: Ints

    @property
    def net(self) -> int:
        """What is left in the end."""
        return int(self.figures[NET])

    @property
    def drawdown(self) -> int:
        """The deepest fall of the hourly equity, >= 0."""
        return int(self.figures[DRAWDOWN])


def trace(market: SweepMarket, one: ParameterSet, terms: Terms) -> Trace:
    """Run one set through the compiled walk and keep everything.

    Raises: Misconfigured as ``sweep`` does.
    """
    check_range(market, terms)
    c, params, t = columns_of(market), as_params([one])[0], terms.in_units()[:5]
    signals = ema_signals(c.signal_rate, one.span)
    instants, symbols = signals.shape
    who, value = np.empty((1, symbols), np.int32), np.empty((1, symbols), np.int64)
    following = np.empty((0, symbols), np.int32)
    marks, cash = np.zeros(market.hours, np.int64), np.zeros(instants, np.int64)
    equity = np.empty_like(marks)
    blocked, until = np.empty(symbols, np.int64), np.empty(terms.cap, np.int64)
    figures, field = np.zeros(FIGURES, np.int64), np.empty(TRADE_FIELDS, np.int64)
    pairs = np.empty((symbols * instants, TRADE_FIELDS), np.int64)
    chosen = np.empty((symbols * instants, CHOICE_FIELDS), np.int64)
    n = choose(
        c, signals, who, value, following, params[1], params[2], params[3], blocked, until, chosen
    )
    book(c, chosen[:0], chosen[:n], t, marks, cash, field, figures, pairs)
    sum_up(c, marks, cash, equity, figures)
    pairs = pairs[: figures[TRADES]]
    return Trace(pairs, _payments(market, pairs), equity, np.cumsum(cash), figures)


def _payments(market: SweepMarket, pairs: Ints) -> Ints:
    rows = []
    for i, pair in enumerate(pairs):
        s = pair[SYMBOL]
        for j in range(pair[ENTERED] + 1, pair[LEFT] + 1):
            if market.interval[s, j]:
                mark = market.mark[s, market.at[j]]
                value = mul_round(pair[QUANTITY], mark, UNIT, PER_UNIT)
                rows.append((i, j, mul_round(value, market.rate[s, j], RATE, PER_RATE)))
    return np.array(rows, np.int64).reshape(-1, 3)
