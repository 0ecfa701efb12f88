"""Random markets and policies: mixed intervals, late and early symbols, negative rates."""

from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st

from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.terms import ParameterSet, Terms

START_MS = 1_700_006_400_000 + 5 * 3_600_000  # 05:00 UTC: days end inside the span


def random_market(seed: int, symbols: int, hours: int, *, wild: bool) -> SweepMarket:
    """A market drawn from ``seed``; ``wild`` has prices of all sizes and rates up to 20 %."""
    rng = np.random.default_rng(seed)
    spot, perp, mark = (np.zeros((symbols, hours), np.int64) for _ in range(3))
    settled: dict[int, list[tuple[int, int, int]]] = {}
    for s in range(symbols):
        begin, end = 0, hours
        if rng.random() < 0.5:
            begin, end = sorted(int(v) for v in rng.integers(0, hours + 1, 2))
        level = 10.0 ** rng.uniform(-4 if wild else 0, 5)
        walk = level * np.exp(np.cumsum(rng.normal(0, 0.01, hours)))
        for column, spread in ((spot, 0.0), (perp, 3e-3), (mark, 1e-3)):
            prices = walk * (1 + rng.normal(0, 1, hours) * spread)
            column[s, begin:end] = np.maximum(np.rint(prices * 1e8), 1)[begin:end]
        interval, t = int(rng.choice([1, 2, 4, 8])), int(rng.integers(-20, 3))
        while t < hours:
            scale = 0.2 if wild and rng.random() < 0.1 else 4e-4
            rate = int(np.rint(rng.normal(5e-5, scale) * 1e8)) * 10_000
            settled.setdefault(t, []).append((s, max(min(rate, 10**12), -(10**12)), interval))
            if rng.random() < 0.05:
                interval = int(rng.choice([1, 2, 4, 8]))
            t += interval
    instants = sorted(settled) or [0]
    rate_of, hours_of = (np.zeros((symbols, len(instants)), np.int64) for _ in range(2))
    for k, t in enumerate(instants):
        for s, rate, interval in settled.get(t, []):
            rate_of[s, k], hours_of[s, k] = rate, interval
    at = np.maximum(np.array(instants, np.int64), -1)
    names = tuple(f"C{s:02}USDT" for s in range(symbols))
    return SweepMarket(names, START_MS, spot, perp, mark, at, rate_of, hours_of)


def fraction(low: int, high: int, scale: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda n: Decimal(n).scaleb(scale))


POLICIES: st.SearchStrategy[ParameterSet] = st.builds(
    ParameterSet,
    span=st.integers(1, 40),
    entry=fraction(-40, 80, -5),
    exit=fraction(-80, 60, -5),
    hold=st.integers(1, 60),
)

TERMS: st.SearchStrategy[Terms] = st.builds(
    Terms,
    notional=fraction(1, 10**7, -2),
    cap=st.integers(1, 5),
    spot_fee=fraction(-20, 200, -5),
    perp_fee=fraction(-20, 200, -5),
    slippage=fraction(0, 300, -5),
)

MARKETS: st.SearchStrategy[SweepMarket] = st.builds(
    lambda seed, symbols, hours, wild: random_market(seed, symbols, hours, wild=wild),
    seed=st.integers(0, 2**32 - 1),
    symbols=st.integers(1, 6),
    hours=st.integers(1, 200),
    wild=st.booleans(),
)


def steady(rates: list[list[int]], **changes: Any) -> SweepMarket:
    """Symbols that settle every eight hours at the given rates (1e-8), all prices 100 quote."""
    symbols, instants = len(rates), len(rates[0])
    flat = np.full((symbols, 8 * instants), 100 * 10**8, np.int64)
    fields: dict[str, Any] = {
        "symbols": tuple(f"C{s:02}USDT" for s in range(symbols)),
        "start_ms": 1_700_006_400_000 + 3_600_000,
        "spot": flat,
        "perp": flat.copy(),
        "mark": flat.copy(),
        "at": np.arange(instants, dtype=np.int64) * 8 + 7,
        "rate": np.array(rates, np.int64) * 10_000,
        "interval": np.full((symbols, instants), 8, np.int64),
    }
    return SweepMarket(**{**fields, **changes})
