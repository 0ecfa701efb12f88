"""``carry backtest calibrate`` and ``forecasts``: what the statistics are worth, out of sample.

pandas and SciPy are imported by the command that needs them: they would double the start of all.
"""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from services.backtest.options import symbols_option
from shared.config.settings import load_settings
from shared.domain.errors import Misconfigured
from shared.store.forecasts import read_forecasts
from shared.store.funding import read_settlements
from shared.store.pool import open_pool

if TYPE_CHECKING:
    import pandas as pd

PAST: Final = timedelta(days=2)
"""So long before the first forecast the grid that it is looked up on begins."""

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
    stored: Annotated[
        bool, typer.Option("--stored", help="Those in the database, made before their outcome.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score forecasts against "the next equals the last".

    Those that could have been made in the history's last 12 months, or with --stored those that
    were: carry backtest serve stores them at each settlement, before their outcome.
    """
    from services.backtest import forecast_scores
    from services.backtest.statistics import recorded

    if stored and folder is not None:
        raise Misconfigured("--stored reads the database: leave --data out.")
    made = (
        _stored_before(symbols)
        if stored
        else forecast_scores.made_in_last_year(recorded(folder, symbols))
    )
    scores = forecast_scores.scored(made)
    if not scores and stored:
        raise Misconfigured("No stored forecast is over yet: let carry backtest serve run.")
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


def _stored_before(symbols: str | None) -> "pd.DataFrame":
    from services.backtest.forecast_scores import stored_before

    wanted = list(symbols_option(symbols)) or None

    async def work() -> "pd.DataFrame":
        dsn = load_settings("backtest").database.dsn
        async with open_pool(dsn, application="backtest") as pool, pool.acquire() as connection:
            rows = await read_forecasts(connection, wanted)
            if not rows:
                return stored_before((), {})
            names = sorted({row["symbol"] for row in rows})
            since = min(row["made_of"] for row in rows) - PAST
            return stored_before(rows, await read_settlements(connection, names, since))

    return asyncio.run(work())
