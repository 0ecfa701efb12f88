"""The signal both engines read: an EMA of the funding rate, quantised to 1e-12."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.compiled import compiled
from services.backtest.sweep.fixed import RATE
from services.backtest.sweep.market import HOURS_NORMAL, Ints, SweepMarket

UNKNOWN: Final = -(2**62)
"""A signal before its symbol's first settlement."""


def rates_normal(market: SweepMarket) -> NDArray[np.float64]:
    """Return (K, S) rates per eight hours as float64 fractions; NaN where none settles."""
    hours = np.where(market.interval > 0, market.interval, HOURS_NORMAL)
    rates = market.rate * HOURS_NORMAL / RATE / hours
    return np.ascontiguousarray(np.where(market.interval > 0, rates, np.nan).T)


def ema_signals(rates: NDArray[np.float64], span: int) -> Ints:
    """Return (K, S) EMAs in 1e-12 after each instant, ``UNKNOWN`` before a symbol's first rate.

    e += 2 (rate - e) / (span + 1) at each settlement of the symbol's own, beginning with the first
    rate; in between it stands. Computed in float64, each value quantised half-even for itself.
    """
    signals = np.empty(rates.shape, np.int64)
    fill_ema(rates, span, signals)
    return signals


@compiled
def fill_ema(rates: NDArray[np.float64], span: int, signals: Ints) -> None:
    """Write ``ema_signals`` into ``signals`` (K, S)."""
    instants, symbols = rates.shape
    share = 2.0 / (span + 1.0)
    ema = np.full(symbols, np.nan)
    for k in range(instants):
        for s in range(symbols):
            rate, old = rates[k, s], ema[s]
            new = rate if np.isnan(old) else old + share * (rate - old)
            ema[s] = old if np.isnan(rate) else new
            signals[k, s] = UNKNOWN if np.isnan(ema[s]) else np.int64(np.rint(ema[s] * 1e12))
