"""Recorded history as the arrays that ``shared.analytics`` takes."""

from pathlib import Path
from typing import Final

import numpy as np

from shared.analytics.basis import basis_rates
from shared.analytics.grid import FundingHistory
from shared.domain.errors import Malformed, Misconfigured
from shared.history.files import read_history
from shared.history.records import History, SymbolHistory

SYMBOLS: Final = ("BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")


def recorded(folder: Path | None, symbols: str | None = None) -> History:
    """Return the pairs of ``folder`` (None: the sample); ``symbols`` are separated by commas.

    Raises: Misconfigured when one of them cannot be read.
    """
    wanted = SYMBOLS if symbols is None else [s.strip().upper() for s in symbols.split(",")]
    try:
        return read_history(folder, wanted)
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be read: {error}") from error


def funding_history(symbol: SymbolHistory) -> FundingHistory:
    """Return settlements and the basis at each hour's close, as floats; for statistics alone."""
    paid, bars = symbol.settlements, symbol.bars
    return FundingHistory(
        at_ms=np.array([s.at_ms for s in paid], dtype=np.int64),
        rates=np.array([float(s.rate) for s in paid], dtype=np.float64),
        hours=np.array([s.interval_hours for s in paid], dtype=np.int64),
        basis_ms=np.array([bar.at_ms for bar in bars], dtype=np.int64),
        basis=basis_rates([float(b.perp) for b in bars], [float(b.spot) for b in bars]),
    )
