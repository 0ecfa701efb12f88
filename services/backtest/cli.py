"""``carry backtest`` and ``carry data``."""

import asyncio
import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.backtest import commands_analytics
from services.backtest.engine import RunResult, coverage, run_carry
from services.backtest.worker import KIND
from shared.config.policy import PolicySet, load_policy
from shared.config.settings import load_settings
from shared.domain.errors import Malformed, Misconfigured
from shared.history.files import read_history
from shared.history.records import History
from shared.history.rules import sample_rules
from shared.runtime.service import configure_loop
from shared.store.pool import open_pool
from shared.store.runs import queue_run

backtest = typer.Typer(no_args_is_help=True, help="Replay history through the same core.")
data = typer.Typer(no_args_is_help=True, help="Recorded history: look at it, check it.")

WARM_UP = timedelta(days=9)

commands_analytics.register(backtest)

screen = Console(stderr=True, highlight=False)


@data.callback()
def _data() -> None:
    """Keep ``show`` a command of its own."""


@backtest.command()
def run(
    start: Annotated[str | None, typer.Option("--from", help="First instant, ISO, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last instant, ISO, UTC.")] = None,
    folder: Annotated[Path | None, typer.Option("--data", help="Other history.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    deposit: Annotated[str, typer.Option(help="Starting capital in USDT.")] = "100000",
    policy: Annotated[Path | None, typer.Option(help="A policy file, TOML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where the HTML page goes.")] = None,
    no_report: Annotated[bool, typer.Option(help="Write no HTML page.")] = False,
) -> None:
    """Trade recorded history through the core and say what it came to."""
    from services.backtest import summary
    from services.backtest.report import write_report

    history = _history(folder, symbols)
    first, last = _span(history, start, end)
    capital = _capital(deposit)
    rules = load_policy(policy)
    began = time.monotonic()
    try:
        result = _with_progress(history, rules, capital, first, last)
    except Malformed as error:
        raise Misconfigured(f"The history cannot be used: {error}") from error
    if not result.curve:
        raise Misconfigured(f"No hour of the history lies in {first} to {last}: widen the span.")
    figures = summary.summarize(result, time.monotonic() - began)
    path = report or Path("reports") / f"backtest-{first:%Y%m%d}-{last:%Y%m%d}.html"
    if not no_report:
        write_report(figures, path)
    if as_json:
        typer.echo(json.dumps(summary.as_json(figures)))
        return
    output = Console(highlight=False)
    output.print(f"Carry, {first:%d %b %Y} to {last:%d %b %Y}, USDT", style="bold")
    output.print(summary.as_table(figures))
    output.print(f"{len(result.curve)} instants in {figures.seconds:.1f} s", style="dim")
    if not no_report:
        output.print(f"Report: {path}", markup=False)


@backtest.command()
def queue(
    start: Annotated[str | None, typer.Option("--from", help="First instant, ISO, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last instant, ISO, UTC.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    deposit: Annotated[str, typer.Option(help="Starting capital in USDT.")] = "100000",
) -> None:
    """Leave a run in the database for ``carry backtest serve``; prints its id."""
    settings = load_settings("backtest")
    _span(_history(None, symbols), start, end)
    _capital(deposit)
    given = {"from": start, "to": end, "symbols": symbols, "deposit": deposit}
    wanted = {name: value for name, value in given.items() if value is not None}
    run_id = secrets.token_hex(8)

    async def work() -> None:
        async with (
            open_pool(settings.database.dsn, application="backtest") as pool,
            pool.acquire() as connection,
        ):
            await queue_run(connection, run_id, KIND, wanted, datetime.now(UTC))

    asyncio.run(work())
    typer.echo(run_id)


@backtest.command()
def serve() -> None:
    """Work off queued runs, each in a process of its own, until told to stop."""
    from services.backtest import main

    settings = load_settings("backtest")
    configure_loop()
    asyncio.run(main.run(settings))


@data.command()
def show(
    folder: Annotated[Path | None, typer.Option("--data", help="Other history.")] = None,
) -> None:
    """Say what the history covers, having checked it for gaps and disorder."""
    history = _history(folder, None)
    for name, (first, last) in coverage(history).items():
        part = history.symbols[name]
        typer.echo(
            f"{name:10} {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}  "
            f"{len(part.bars)} hours  {len(part.settlements)} settlements"
        )


def _with_progress(
    history: History, policy: PolicySet, capital: Decimal, first: datetime, last: datetime
) -> RunResult:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("hours", total=None)
        return run_carry(
            history,
            sample_rules(),
            policy.carry,
            policy.limits,
            policy.execution,
            deposit=capital,
            start=first,
            end=last,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _history(folder: Path | None, symbols: str | None) -> History:
    known = sorted({p.symbol for p in sample_rules()})
    wanted = known if symbols is None else [s.strip().upper() for s in symbols.split(",")]
    for symbol in wanted:
        if symbol not in known:
            raise Misconfigured(f"--symbols {symbol} has no rules: choose from {', '.join(known)}.")
    try:
        return read_history(folder, wanted)
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be read: {error}") from error


def _span(history: History, start: str | None, end: str | None) -> tuple[datetime, datetime]:
    covered = coverage(history)
    if not covered:
        raise Misconfigured("The history holds no bar: name another folder with --data.")
    first = max(span[0] for span in covered.values())
    last = min(span[1] for span in covered.values()) + timedelta(hours=1)
    begin = first + WARM_UP if start is None else _instant("--from", start)
    finish = last if end is None else _instant("--to", end)
    if begin >= finish:
        raise Misconfigured(f"--from {begin.isoformat()} is not before --to {finish.isoformat()}.")
    if begin < first or finish > last:
        raise Misconfigured(
            f"The history covers {first.isoformat()} to {last.isoformat()}: stay inside it."
        )
    return begin, finish


def _instant(option: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misconfigured(f"{option} {text} is no instant: write 2023-11-11T00:00.") from error
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if at.minute or at.second or at.microsecond:
        raise Misconfigured(f"{option} {text} is not on a full hour.")
    return at


def _capital(text: str) -> Decimal:
    try:
        capital = Decimal(text)
    except InvalidOperation as error:
        raise Misconfigured(f"--deposit {text} is no amount: write 100000.") from error
    if not (capital.is_finite() and capital > 0):
        raise Misconfigured(f"--deposit {text} is not above zero.")
    return capital
