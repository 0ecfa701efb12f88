"""``carry backtest walk-forward``, ``compare`` and ``report``."""

import json
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from services.backtest.commands_data import read_either
from services.backtest.jobs import WALK
from services.backtest.options import (
    Claimed,
    amount_option,
    hour_option,
    names_option,
    page_option,
    symbols_option,
)
from services.backtest.progress import steps
from shared.config.settings import load_settings
from shared.domain.errors import Malformed, Misconfigured
from shared.history.records import History
from shared.runtime.clock import SystemClock

if TYPE_CHECKING:
    from services.backtest.sweep.market import SweepMarket

CashRate = Annotated[
    str | None, typer.Option(help="What cash earns a year, to compare with: 0.045.")
]


def walk_forward(
    start: Annotated[str | None, typer.Option("--from", help="First instant, ISO, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last instant, ISO, UTC.")] = None,
    folder: Annotated[Path | None, typer.Option("--data", help="Other history.")] = None,
    store: Annotated[bool, typer.Option("--store", help="History from the database.")] = False,
    symbols: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    folds: Annotated[int, typer.Option(min=1, help="Tests, each after its own past.")] = 5,
    spans: Annotated[str, typer.Option(help="Smoothing, settlements.")] = "9,21,63",
    entries: Annotated[str, typer.Option(help="Enter above, rate per 8 h.")] = (
        "0.00005,0.0001,0.00015,0.0002,0.0003"
    ),
    exits: Annotated[str, typer.Option(help="Leave below, rate per 8 h.")] = (
        "-0.0001,-0.00005,0,0.00005,0.0001"
    ),
    holds: Annotated[str, typer.Option(help="Held at most, settlements.")] = "90",
    notional: Annotated[str, typer.Option(help="USDT a pair.")] = "10000",
    cap: Annotated[int, typer.Option(min=1, help="Pairs held at most.")] = 5,
    deposit: Annotated[str, typer.Option(help="All capital, what returns are of.")] = "100000",
    cash_rate: CashRate = None,
    claimed: Claimed = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where the HTML page goes.")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no HTML page.")] = False,
) -> None:
    """Choose on the past, be judged on what comes after, fold by fold; then say robust or fragile.

    The grid runs on the compiled engine. What the longest hold could carry into a test is left out
    of its training.
    """
    from services.backtest.report import write_stored
    from services.backtest.sweep.store import inputs_digest
    from services.backtest.sweep.terms import Grid, Terms, as_params
    from services.backtest.trials import SearchLog
    from services.backtest.walk import CHUNK, grid_sets, walk
    from services.backtest.walk_record import grid_text, terms_text, walk_record

    cash = _cash(cash_rate)
    if not no_report:
        page_option(report or Path("reports/page.html"))
    clock = SystemClock()
    began = clock.monotonic()
    grid = Grid(
        spans=_counts("--spans", spans),
        entries=_rates("--entries", entries),
        exits=_rates("--exits", exits),
        holds=_counts("--holds", holds),
    )
    terms = Terms(
        notional=amount_option("--notional", notional),
        cap=cap,
        capital=amount_option("--deposit", deposit),
    )
    history = _history(folder, symbols, store=store)
    market = _market(history, _span(history, start, end))
    given = {"symbols": ", ".join(history.symbols), "deposit": deposit}
    asked = {**given, **grid_text(grid), **terms_text(terms, folds)}
    params = as_params(grid_sets(grid) or grid.sets())
    inputs = f"{inputs_digest(market.digest(), params, terms, CHUNK)} {folds}"
    with SearchLog(WALK, inputs, asked, market, terms, clock, claimed) as log:
        with steps("settings", clock, claimed) as progress:
            done = walk(market, grid, terms, folds, progress, log)
        record = walk_record(done, market, grid, given, clock.monotonic() - began)
        log.done(record)
    path = report or Path("reports") / f"walk-forward-{record['start']}-{record['end']}.html"
    if not no_report:
        write_stored(path, record, cash)
    if as_json:
        typer.echo(json.dumps(record))
        return
    _say(record, path if not no_report else None)


def compare(
    runs: Annotated[list[str], typer.Argument(help="Stored runs: files, folders, ids.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Put two to four stored runs side by side: what differs, and whether the days can tell."""
    from services.backtest import compare as comparing
    from services.backtest.record import complete
    from services.backtest.stored import stored_run

    stored = {name: stored_run(name, _database) for name in runs}
    with complete("One of the runs"):
        found = comparing.compare(stored)
    if as_json:
        typer.echo(json.dumps(comparing.as_json(found)))
        return
    output = Console(highlight=False)
    output.print(comparing.as_table(found))
    for difference in found.differences:
        output.print(difference.says, markup=False, soft_wrap=True)


def report(
    run: Annotated[str, typer.Argument(help="A stored run: a file, a folder, an id.")],
    walk: Annotated[
        str | None, typer.Option("--walk-forward", help="Its verdict: a stored walk-forward.")
    ] = None,
    cash_rate: CashRate = None,
    page: Annotated[Path | None, typer.Option("--report", help="Where the HTML page goes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make the HTML page of a stored run again, without running it again."""
    from services.backtest.record import RUN, WALK, complete
    from services.backtest.report import write_page
    from services.backtest.stored import stored_run

    cash = _cash(cash_rate)
    record = stored_run(run, _database)
    judged = None if walk is None else stored_run(walk, _database)
    if judged is not None and (record["format"] != RUN or judged["format"] != WALK):
        raise Misconfigured("--walk-forward joins a stored walk-forward to the page of one run.")
    path = page_option(page or Path("reports") / f"{record['id']}.html")
    with complete(run):
        write_page(path, record, judged, cash=cash)
    typer.echo(
        json.dumps({"id": record["id"], "page": str(path)}) if as_json else f"Report: {path}"
    )


def _database() -> str:
    return load_settings("backtest").database.dsn


def _market(history: History, span: tuple[datetime, datetime]) -> "SweepMarket":
    from services.backtest.sweep.market import market_of

    try:
        return market_of(history, *(int(at.timestamp() * 1000) for at in span))
    except Malformed as error:
        raise Misconfigured(f"The history cannot be used: {error}") from error


def _say(record: dict[str, Any], path: Path | None) -> None:
    from services.backtest.page_walk import as_table, headline

    output = Console(highlight=False)
    output.print(headline(record), style="bold", markup=False)
    output.print(as_table(record))
    output.print(f"{len(record['sets'])} settings in {record['seconds']:.1f} s", style="dim")
    if path is not None:
        output.print(f"Report: {path}, stored: {path.with_suffix('.json')}", markup=False)


def _history(folder: Path | None, symbols: str | None, *, store: bool) -> History:
    wanted = symbols_option(symbols) or None
    try:
        return read_either(folder, wanted, store=store)
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be read: {error}") from error


def _span(history: History, start: str | None, end: str | None) -> tuple[datetime, datetime]:
    from services.backtest.engine import coverage

    covered = coverage(history).values()
    if not covered:
        raise Misconfigured("The history holds no bar: name another folder with --data.")
    first = min(span[0] for span in covered) if start is None else hour_option("--from", start)
    last = (
        max(span[1] for span in covered) + timedelta(hours=1)
        if end is None
        else hour_option("--to", end)
    )
    if first >= last:
        raise Misconfigured(f"--from {first.isoformat()} is not before --to {last.isoformat()}.")
    return first, last


def _cash(text: str | None) -> Decimal | None:
    if text is None:
        return None
    rates = _rates("--cash-rate", text)
    if len(rates) != 1 or abs(rates[0]) >= 1:
        raise Misconfigured(f"--cash-rate {text} is no rate a year: write 0.045.")
    return rates[0]


def _counts(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(name) for name in names_option(text)}))
    except ValueError as error:
        raise Misconfigured(f"{option} {text} is no list of counts: write 9,21,63.") from error


def _rates(option: str, text: str) -> tuple[Decimal, ...]:
    try:
        rates = {Decimal(name) for name in names_option(text)}
    except InvalidOperation as error:
        raise Misconfigured(f"{option} {text} is no list of rates: write 0,0.0001.") from error
    if not all(rate.is_finite() for rate in rates):
        raise Misconfigured(f"{option} {text} is no list of rates: write 0,0.0001.")
    return tuple(sorted(rates))
