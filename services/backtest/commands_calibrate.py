"""``carry backtest calibrate``: do stated loss probabilities come true? (F:R14)"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from services.backtest.statistics import funding_history, recorded
from shared.analytics.bootstrap import Interval
from shared.analytics.calibration import FIFTH, Calibration, calibration, reliability, trials
from shared.domain.errors import Misconfigured
from shared.history.records import History

YEAR_MS: Final = 365 * 86_400_000


def calibrate(
    folder: Annotated[Path | None, typer.Option("--data", help="Other history.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Settlements between decisions.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say how often holds lost in the last 12 months of the history, against what was stated."""
    held = held_out(recorded(folder, symbols), every)
    if held.empty:
        raise Misconfigured("The history is too short to state a probability: give 18 months.")
    whole = calibration(held)
    by_hold = {str(hold): calibration(part) for hold, part in held.groupby("hold")}
    bins = reliability(held)
    span = [_day(int(held["at_ms"].min())), _day(int(held["at_ms"].max()))]
    if as_json:
        table = bins.rename_axis("bin").reset_index()
        typer.echo(
            json.dumps(
                {
                    "decided": span,
                    "all": asdict(whole),
                    "by_hold": {hold: asdict(part) for hold, part in by_hold.items()},
                    "bins": table.astype({"bin": str}).to_dict("records"),
                }
            )
        )
        return
    output = Console(highlight=False)
    output.print(f"Loss probability, holds decided {span[0]} to {span[1]}", style="bold")
    output.print(_bins(bins))
    output.print(_holds({"all": whole, **by_hold}))
    output.print(
        f"Where about 20 % were stated {_share(whole.fifth)} were lost: {_verdict(whole)}. "
        "Bounds are 95 %, from blocks of three weeks of the calendar.",
    )


def held_out(history: History, every: int = 1) -> pd.DataFrame:
    """Return the trials of the last 365 days of ``history``, every symbol's."""
    end = max(part.bars[-1].at_ms for part in history.symbols.values() if part.bars) + 1
    parts = [
        trials(name, funding_history(part), end - YEAR_MS, end, every)
        for name, part in history.symbols.items()
    ]
    return pd.concat(parts, ignore_index=True)


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
