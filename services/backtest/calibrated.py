"""Whether the loss probabilities of the last 12 months of a history came true (F:R14).

They are stated as ``decide`` states them: from the past that the policy looks at.
"""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pandas as pd
from rich.console import RenderableType
from rich.table import Table

from services.backtest.statistics import funding_history
from shared.analytics.bootstrap import Interval
from shared.analytics.calibration import (
    FIFTH,
    INTERVAL_HOURS,
    Calibration,
    calibration,
    reliability,
    trials,
)
from shared.domain.policy import CarryPolicy
from shared.history.records import History

YEAR_MS: Final = 365 * 86_400_000


def as_json(held: pd.DataFrame) -> dict[str, Any]:
    """Return how ``held`` came true: in all, by hold, and by bin of what was stated."""
    bins = reliability(held).rename_axis("bin").reset_index().astype({"bin": str})
    return {
        "decided": _span(held),
        "all": asdict(calibration(held)),
        "by_hold": {hold: asdict(part) for hold, part in _by_hold(held).items()},
        "bins": bins.to_dict("records"),
    }


def as_text(held: pd.DataFrame) -> list[RenderableType]:
    """Return the same as tables and a verdict."""
    whole, span = calibration(held), _span(held)
    said = (
        f"Where about 20 % were stated {_share(whole.fifth)} were lost: {_verdict(whole)}. "
        "Bounds are 95 %, from blocks of three weeks of the calendar."
    )
    return [
        f"Loss probability, holds decided {span[0]} to {span[1]}",
        _bins(reliability(held)),
        _holds({"all": whole, **_by_hold(held)}),
        said,
    ]


def held_out(history: History, every: int = 1) -> pd.DataFrame:
    """Return the trials of the last 365 days of ``history``, every symbol's."""
    end = max(part.bars[-1].at_ms for part in history.symbols.values() if part.bars) + 1
    most = CarryPolicy().history // timedelta(hours=INTERVAL_HOURS)
    parts = [
        trials(name, funding_history(part), end - YEAR_MS, end, every, most)
        for name, part in history.symbols.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _by_hold(held: pd.DataFrame) -> dict[str, Calibration]:
    return {str(hold): calibration(part) for hold, part in held.groupby("hold")}


def _span(held: pd.DataFrame) -> list[str]:
    return [_day(int(held["at_ms"].min())), _day(int(held["at_ms"].max()))]


def _bins(bins: pd.DataFrame) -> Table:
    table = Table("stated", "holds", "stated, mean", "lost")
    for bin_, row in bins.iterrows():
        table.add_row(
            str(bin_), f"{row['count']:.0f}", f"{row['stated']:.1%}", f"{row['lost']:.1%}"
        )
    return table


def _holds(parts: dict[str, Calibration]) -> Table:
    table = Table(
        "settlements held",
        "trials",
        "lost of stated 20 %",
        "under 20 % quantile",
        "Brier",
        "constant",
    )
    for name, part in parts.items():
        table.add_row(
            name, str(part.trials), _share(part.fifth), _share(part.below_fifth),
            f"{part.brier:.4f}", f"{part.brier_constant:.4f}",
        )  # fmt: skip
    return table


def _share(part: Interval) -> str:
    return f"{part.estimate:.1%} ({part.low:.0%} to {part.high:.0%})"


def _verdict(whole: Calibration) -> str:
    return "as stated" if FIFTH[0] <= whole.fifth.estimate <= FIFTH[1] else "NOT as stated"


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")
