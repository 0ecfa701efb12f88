"""What the forecasts of the last 12 months of a history were worth, on record (F:A6)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.table import Table

from services.backtest.forecaster import grid_of
from services.backtest.statistics import funding_history
from shared.analytics.forecast import HORIZONS, forecasts, mean_of_next
from shared.analytics.forecast_score import GRID_HOURS, score
from shared.analytics.grid import on_grid
from shared.analytics.series import Floats
from shared.domain.funding import FundingSettlement
from shared.history.records import HOUR_MS, History

YEAR_MS: Final = 365 * 86_400_000
NAN: Final = float("nan")
COLUMNS: Final = (
    "symbol", "at_ms", "horizon", "mean", "low", "high", "last", "realised", "has_skill",
)  # fmt: skip
NOTE: Final = (
    "Errors are root mean squares in bps per 8 h, naive those of 'the next equals the last'; "
    "skill is 1 less the quotient of their squares, p the chance of it without any. A range is "
    "stated to hold 80 %. Used is the share of settlements at which the forecast had proven skill "
    "by then: elsewhere it is shown, and sizes nothing."
)
Row = dict[str, str | int | float | bool | None]


def as_table(scores: list[Row]) -> Table:
    """Return the scores for the terminal; errors in bps per eight hours."""
    names = ("symbol", "next", "made", "error", "naive", "skill", "p", "range", "used")
    table = Table(*names)
    for row in scores:
        table.add_row(
            str(row["symbol"]), str(row["horizon"]), str(row["forecasts"]),
            _bps(row["rmse"]), _bps(row["rmse_naive"]),
            f"{row['skill']:+.3f}", f"{row['p_value']:.3f}",
            f"{row['in_range']:.0%}", f"{row['used']:.0%}",
        )  # fmt: skip
    return table


def made_in_last_year(history: History) -> pd.DataFrame:
    """Return every forecast of the last 365 days, with what then came; NaN while it is not over.

    Columns: ``symbol``, ``at_ms``, ``horizon``, ``mean``, ``low``, ``high``, ``last``,
    ``realised`` (rates per eight hours), ``has_skill`` (as known at ``at_ms``).
    """
    end = max(part.bars[-1].at_ms for part in history.symbols.values() if part.bars)
    parts = []
    for symbol, part in history.symbols.items():
        grid = on_grid(funding_history(part), GRID_HOURS)
        kept = grid.at_ms > end - YEAR_MS
        for horizon in HORIZONS:
            along = forecasts(grid.rates, horizon)
            columns = {
                "symbol": np.repeat(symbol, len(grid.at_ms)),
                "at_ms": grid.at_ms,
                "horizon": np.repeat(horizon, len(grid.at_ms)),
                "mean": along.mean,
                "low": along.low,
                "high": along.high,
                "last": grid.rates,
                "realised": mean_of_next(grid.rates, horizon),
                "has_skill": along.skills.has_skill,
            }
            parts.append(pd.DataFrame(columns)[kept])
    return pd.concat(parts, ignore_index=True)


def stored_before(
    rows: Sequence[Mapping[str, Any]], settled: Mapping[str, Sequence[FundingSettlement]]
) -> pd.DataFrame:
    """Return the forecasts of ``research.forecast`` with what then came, as ``made_in_last_year``.

    ``settled`` holds each symbol's settlements from before its first forecast on.
    """
    realised: dict[tuple[str, int, int], float] = {}
    for symbol, past in settled.items():
        grid = grid_of(past)
        for horizon in HORIZONS:
            means, ahead = mean_of_next(grid.rates, horizon), horizon * GRID_HOURS * HOUR_MS
            realised |= {
                (symbol, horizon, int(at)): float(mean)
                for at, end, mean in zip(grid.at_ms, grid.at_ms[horizon:], means, strict=False)
                if end - at == ahead  # where one is missing, nobody knows what came
            }
    made = [(row, int(row["made_of"].timestamp()) * 1000) for row in rows]
    return pd.DataFrame(
        [
            {
                "symbol": row["symbol"],
                "at_ms": at,
                "horizon": row["horizon"],
                "mean": row["mean"],
                "low": NAN if row["low"] is None else row["low"],
                "high": NAN if row["high"] is None else row["high"],
                "last": row["last"],
                "realised": realised.get((row["symbol"], row["horizon"], at), NAN),
                "has_skill": row["has_skill"],
            }
            for row, at in made
        ],
        columns=list(COLUMNS),
    )


def scored(made: pd.DataFrame) -> list[Row]:
    """Return the scores of stored forecasts by symbol and horizon, where any is over."""
    rows: list[Row] = []
    for symbol in made["symbol"].unique():
        for horizon in HORIZONS:
            part = made[(made["symbol"] == symbol) & (made["horizon"] == horizon)]
            mean, realised = _column(part, "mean"), _column(part, "realised")
            got = score(mean, realised, _column(part, "last"), horizon)
            if got is None or got.skill is None:
                continue
            inside = (_column(part, "low") <= realised) & (realised <= _column(part, "high"))
            known = np.isfinite(realised) & np.isfinite(_column(part, "low"))
            rows.append(
                {
                    "symbol": str(symbol),
                    "horizon": horizon,
                    "forecasts": got.settlements,
                    "rmse": got.rmse,
                    "rmse_naive": got.rmse_naive,
                    "skill": got.skill,
                    "p_value": got.p_value,
                    "in_range": float(np.mean(inside[known])) if np.any(known) else None,
                    "used": float(part["has_skill"].mean()),
                }
            )
    return rows


def _column(frame: pd.DataFrame, name: str) -> Floats:
    return frame[name].to_numpy(np.float64)


def _bps(rate: object) -> str:
    return f"{float(str(rate)) * 10_000:.2f}"
