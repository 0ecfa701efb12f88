"""REF-1 for both sides: the data as a market of ours, the 1,000 sets, the yardstick's port."""

import sys
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from services.backtest.sweep.market import Ints, SweepMarket
from services.backtest.sweep.terms import Grid, ParameterSet
from shared.history.records import HOUR_MS
from tests.bench.figures import yardstick

ONE = ParameterSet(12, Decimal("0.0003"), Decimal("0.0001"), 90)
SETS = Grid(
    (3, 6, 9, 12, 18, 24, 36, 48, 72, 96),
    tuple(map(Decimal, ("0.00015", "0.0002", "0.0003", "0.0004", "0.0006"))),
    tuple(map(Decimal, ("-0.0001", "0", "0.00005", "0.0001", "0.00014"))),
    (9, 30, 90, 270),
).sets()
COSTS = (10_000.0, 10, 0.0010, 0.00055, 0.0002)


def columns(folder: Path) -> tuple[Any, Any, Any]:
    """Return rate (K, S) in 1e-8, spot and perpetual (T, S) in 1e-6, as they were written."""
    rate, spot, perp = (np.load(folder / f"{name}.npy") for name in ("rate", "spot", "perp"))
    return rate, spot, perp


def market(folder: Path) -> SweepMarket:
    """Return the data as a market: it settles with every eighth hour, valued at the perpetual."""
    rate = np.ascontiguousarray(np.load(folder / "rate.npy").T) * 10_000
    spot, perp = (_prices(folder / f"{name}.npy") for name in ("spot", "perp"))
    symbols, instants = rate.shape
    return SweepMarket(
        tuple(f"C{s:03}USDT" for s in range(symbols)), HOUR_MS, spot, perp, perp,
        np.arange(instants, dtype=np.int64) * 8 + 7, rate,
        np.full((symbols, instants), 8, np.int64),
    )  # fmt: skip


def _prices(path: Path) -> Ints:
    prices = np.ascontiguousarray(np.load(path, mmap_mode="r").T)
    prices *= 100
    return prices


def port(name: str) -> Any:
    """Return a yardstick program as a module.

    Raises: NotMeasured.
    """
    folder = str(yardstick(f"{name}.py").parent)
    sys.dont_write_bytecode = True
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(name)
