"""A run's profit by UTC day and by cause."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.backtest.engine import RunResult
from services.backtest.trades import Breakdown
from shared.domain.money import ZERO, plain
from shared.domain.profit import WIDE

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Daily:
    """USDT by day, oldest first; ``parts`` add up to ``net`` on each day; costs are negative."""

    days: tuple[date, ...]
    net: tuple[Decimal, ...]
    parts: Mapping[str, tuple[Decimal, ...]]

    def floats(self, name: str) -> Floats:
        """Return ``net`` or one part for statistics, (days,)."""
        values = self.net if name == "net" else self.parts[name]
        return np.array([float(v) for v in values], dtype=np.float64)

    def as_json(self) -> dict[str, Any]:
        """Return days and amounts as text."""
        amounts = {"net": self.net, **self.parts}
        return {
            "days": [day.isoformat() for day in self.days],
            **{name: [plain(v) for v in values] for name, values in amounts.items()},
        }


def daily_of(result: RunResult, found: Breakdown) -> Daily:
    """Return what each UTC day of ``result`` brought; the midnight's pass belongs to the new day.

    Settlements at midnight are paid before that pass, so they count to the new day too.
    """
    closes = {point.at.date(): point for point in result.curve}
    slipped: dict[date, Decimal] = {}
    with localcontext(WIDE):
        for move in found.moves:
            day = move.at.date()
            slipped[day] = slipped.get(day, ZERO) + move.slippage
        days = sorted(closes)
        rows = []
        before = (result.deposit, ZERO, ZERO, ZERO)
        for day in days:
            point = closes[day]
            now = (point.equity, point.funding, point.fees, point.basis)
            net, funding, fees, basis = (b - a for a, b in zip(before, now, strict=True))
            slippage = slipped.get(day, ZERO)
            rows.append((net, funding, -fees, basis - slippage, slippage))
            before = now
    columns = [tuple(column) for column in zip(*rows, strict=True)]
    names = ("funding", "fees", "basis", "slippage")
    return Daily(tuple(days), columns[0], dict(zip(names, columns[1:], strict=True)))


def common_days(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Return the net of the days that two stored ``daily`` tables share, each (days,)."""
    ours = dict(zip(first["days"], first["net"], strict=True))
    theirs = dict(zip(second["days"], second["net"], strict=True))
    shared = sorted(set(ours) & set(theirs))
    return (
        np.array([float(ours[day]) for day in shared], dtype=np.float64),
        np.array([float(theirs[day]) for day in shared], dtype=np.float64),
    )
