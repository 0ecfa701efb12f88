"""Recorded history as the arrays that ``shared.analytics`` takes."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np

from services.backtest.options import symbols_option
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
    wanted = symbols_option(symbols) or SYMBOLS
    try:
        return read_history(folder, wanted)
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be read: {error}") from error


def lasting(symbol: SymbolHistory, costs: Decimal, hold: timedelta) -> str:
    """Return in words how lasting a symbol's funding was (A3).

    ``costs`` of a round trip are a fraction of notional, and earned by a ``hold`` at an even rate.
    """
    from shared.analytics.persistence import persistence

    known = funding_history(symbol)
    if not len(known.rates):
        return "no settlement"
    settlements = hold / timedelta(hours=int(known.hours[-1]))
    found = persistence(known.rates, known.at_ms, float(costs) / settlements)
    often = "never positive"
    if found.positive_next is not None:
        often = f"positive after positive {found.positive_next:.0%}"
    return (
        f"{often}; runs of {found.run_mean or 0:.0f}, at most {found.run_longest}; earns the costs "
        f"of {hold.days} days at {found.above:.0%} of settlements; "
        + ("no gain" if found.best_month is None else f"best month {found.best_month:.0%} of all")
    )


def basis_now(symbol: SymbolHistory) -> str:
    """Return in words where a symbol's newest basis stands among those of its record (A5)."""
    from shared.analytics.basis import basis_standing

    found = basis_standing(funding_history(symbol).basis)
    if found is None:
        return "no basis"
    return f"basis {found.level:+.3%} of spot, higher than {found.percentile:.0f}% of its hours"


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
