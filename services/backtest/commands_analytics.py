"""``carry backtest calibrate`` and ``forecasts``: what the statistics are worth, out of sample.

pandas and SciPy are imported by the command that needs them: they would double the start of all.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shared.domain.errors import Misconfigured

Folder = Annotated[Path | None, typer.Option("--data", help="Other history.")]
Symbols = Annotated[str | None, typer.Option(help="Comma-separated; default all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(backtest: typer.Typer) -> None:
    """Add both commands to ``carry backtest``."""
    backtest.command()(calibrate)
    backtest.command()(forecasts)


def calibrate(
    folder: Folder = None,
    symbols: Symbols = None,
    every: Annotated[int, typer.Option(min=1, help="Settlements between decisions.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Say how often holds lost in the last 12 months of the history, against what was stated."""
    from services.backtest import calibrated
    from services.backtest.statistics import recorded

    held = calibrated.held_out(recorded(folder, symbols), every)
    if held.empty:
        raise Misconfigured("The history is too short to state a probability: give 18 months.")
    if as_json:
        typer.echo(json.dumps(calibrated.as_json(held)))
        return
    output = Console(highlight=False)
    for part in calibrated.as_text(held):
        output.print(part)


def forecasts(
    folder: Folder = None,
    symbols: Symbols = None,
    store: Annotated[Path | None, typer.Option(help="CSV file for every forecast.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score the forecasts of the history's last 12 months against "the next equals the last"."""
    from services.backtest import forecast_scores
    from services.backtest.statistics import recorded

    made = forecast_scores.made_in_last_year(recorded(folder, symbols))
    scores = forecast_scores.scored(made)
    if not scores:
        raise Misconfigured("The history is too short to forecast: give 15 months.")
    if store is not None:
        store.parent.mkdir(parents=True, exist_ok=True)
        made.to_csv(store, index=False)
    if as_json:
        typer.echo(json.dumps({"scores": scores}))
        return
    output = Console(highlight=False)
    output.print(forecast_scores.as_table(scores))
    output.print(forecast_scores.NOTE)
