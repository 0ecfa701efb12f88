"""``carry backtest`` and ``carry data``."""

import asyncio
import json
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.backtest import commands_analytics
from services.backtest.assumptions import Assumptions, read_tiers
from services.backtest.bands import bands
from services.backtest.book.command import book
from services.backtest.books_check import books
from services.backtest.commands_audit import audit_command
from services.backtest.commands_data import backfill, import_history, store_run, verify
from services.backtest.commands_judge import compare, report, walk_forward
from services.backtest.commands_replay import replay_command
from services.backtest.commands_sweep import add_sweep
from services.backtest.jobs import KIND, arguments
from services.backtest.options import Claimed, amount_option, hour_option, page_option
from services.backtest.progress import Steps, steps
from services.backtest.result import RunResult
from services.backtest.source import Source, source
from services.backtest.timeline import coverage
from shared.config.policy import PolicySet, load_policy
from shared.config.settings import load_settings
from shared.domain.errors import Malformed, Misconfigured
from shared.domain.money import plain
from shared.history.records import History
from shared.runtime.clock import SystemClock
from shared.runtime.service import configure_loop
from shared.store.pool import open_pool
from shared.store.runs import queue_run

backtest = typer.Typer(no_args_is_help=True, help="Replay history through the same core.")
data = typer.Typer(no_args_is_help=True, help="Recorded history: look at it, check it.")

WARM_UP = timedelta(days=9)

commands_analytics.register(backtest)

backtest.command()(book)
backtest.command()(bands)
backtest.command("walk-forward")(walk_forward)
backtest.command()(compare)
backtest.command()(report)
backtest.command("audit")(audit_command)
backtest.command("replay")(replay_command)
data.command("import")(import_history)
data.command()(backfill)
data.command()(verify)
data.command()(books)


@backtest.command()
def run(
    start: Annotated[str | None, typer.Option("--from", help="First instant, ISO, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last instant, ISO, UTC.")] = None,
    folder: Annotated[Path | None, typer.Option("--data", help="Other history.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    store: Annotated[bool, typer.Option("--store", help="History from the database.")] = False,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Trade over missing rows, counted.")
    ] = False,
    fees: Annotated[Path | None, typer.Option(help="Fee tiers by date, TOML.")] = None,
    on_liquidation: Annotated[str, typer.Option(help="stop there, or continue.")] = "stop",
    deposit: Annotated[
        str | None, typer.Option(help="Starting capital in USDT; default the policy's.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="A policy file, TOML.")] = None,
    claimed: Claimed = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where the HTML page goes.")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no HTML page.")] = False,
) -> None:
    """Trade recorded history through the core and say what it came to."""
    from services.backtest import summary
    from services.backtest.record import run_record
    from services.backtest.report import write_stored

    given = source(folder, symbols, store=store, allow_gaps=allow_gaps)
    history = given.history
    first, last = _span(history, start, end)
    rules = load_policy(policy)
    if deposit is not None:  # decided for the account that trades, not for the policy's
        rules = replace(
            rules, carry=replace(rules.carry, capital=amount_option("--deposit", deposit))
        )
    capital = rules.carry.capital
    if on_liquidation not in ("stop", "continue"):
        raise Misconfigured(f"--on-liquidation {on_liquidation} is unknown: stop or continue.")
    assumed = Assumptions(
        read_tiers(fees) if fees else (), allow_gaps, goes_on=on_liquidation == "continue"
    )
    path = report or Path("reports") / f"backtest-{first:%Y%m%d}-{last:%Y%m%d}.html"
    if not no_report:
        page_option(path)
    began, started_at = time.monotonic(), datetime.now(UTC)
    try:
        with steps("hours", SystemClock(), claimed) as progress:
            result = _run(given, rules, capital, first, last, assumed, progress)
    except Malformed as error:
        raise Misconfigured(f"The history cannot be used: {error}") from error
    if not result.curve:
        raise Misconfigured(f"No hour of the history lies in {first} to {last}: widen the span.")
    figures = summary.summarize(result, time.monotonic() - began)
    stated = {
        "symbols": ", ".join(history.symbols),
        "deposit": plain(capital),
        "fees": str(fees or "the products' own"),
        "on_liquidation": on_liquidation,
        "gaps": "allowed" if allow_gaps else "refused",
    }
    record = run_record(figures, history, given.rules, rules, stated)
    parameters = {"from": first.isoformat(), "to": last.isoformat(), "deposit": plain(capital)}
    if claimed is None:  # else the row is the worker's
        store_run(parameters, record, started_at)
    if not no_report:
        write_stored(path, record)
    if as_json:
        typer.echo(json.dumps(record))
        return
    output = Console(highlight=False)
    output.print(f"Carry, {first:%d %b %Y} to {last:%d %b %Y}, USDT", style="bold")
    output.print(summary.as_table(figures))
    output.print(f"{len(result.curve)} instants in {figures.seconds:.1f} s", style="dim")
    if not no_report:
        output.print(f"Report: {path}, stored run: {path.with_suffix('.json')}", markup=False)


@backtest.command()
def queue(
    kind: Annotated[str, typer.Argument(help="carry, sweep or walk-forward.")] = KIND,
    start: Annotated[str | None, typer.Option("--from", help="First instant, ISO, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last instant, ISO, UTC.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    deposit: Annotated[str | None, typer.Option(help="Starting capital in USDT.")] = None,
    spans: Annotated[str | None, typer.Option(help="EMA spans, in settlements.")] = None,
    entries: Annotated[str | None, typer.Option(help="Enter above; rates per 8 h.")] = None,
    exits: Annotated[str | None, typer.Option(help="Leave below; rates per 8 h.")] = None,
    holds: Annotated[str | None, typer.Option(help="Longest holds, in settlements.")] = None,
    folds: Annotated[int | None, typer.Option(min=1, help="Tests of a walk-forward.")] = None,
    store: Annotated[bool, typer.Option("--store", help="History from the database.")] = False,
) -> None:
    """Leave a run in the database for ``carry backtest serve``; prints its id."""
    settings = load_settings("backtest")
    given = {
        "from": start, "to": end, "symbols": symbols, "deposit": deposit, "spans": spans,
        "entries": entries, "exits": exits, "holds": holds, "folds": folds,
        "store": store or None,
    }  # fmt: skip
    wanted = {name: value for name, value in given.items() if value is not None}
    arguments(kind, wanted)
    _span(source(None, symbols, store=store).history, start, end)
    if deposit is not None:
        amount_option("--deposit", deposit)
    run_id = secrets.token_hex(8)

    async def work() -> None:
        async with (
            open_pool(settings.database.dsn, application="backtest") as pool,
            pool.acquire() as connection,
        ):
            await queue_run(connection, run_id, kind, wanted, datetime.now(UTC))

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
    """Say what the history covers, having checked it, how lasting funding was, and the basis."""
    from services.backtest.statistics import basis_now, lasting

    given = source(folder, None)
    hold = load_policy().carry.hold
    for name, (first, last) in coverage(given.history).items():
        part = given.history.symbols[name]
        typer.echo(
            f"{name:10} {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}  "
            f"{len(part.bars)} hours  {len(part.settlements)} settlements"
        )
        typer.echo(f"{'':10} {lasting(part, given.costs(name), hold)}")
        typer.echo(f"{'':10} {basis_now(part)}")


add_sweep(backtest)


def _run(
    given: Source,
    policy: PolicySet,
    capital: Decimal,
    first: datetime,
    last: datetime,
    assumptions: Assumptions,
    progress: Steps,
) -> RunResult:
    from services.backtest.engine import run_carry

    return run_carry(
        given.history,
        given.rules,
        policy.carry,
        policy.limits,
        policy.execution,
        deposit=capital,
        start=first,
        end=last,
        progress=progress,
        assumptions=assumptions,
    )


def _span(history: History, start: str | None, end: str | None) -> tuple[datetime, datetime]:
    covered = coverage(history)
    if not covered:
        raise Misconfigured("The history holds no bar: name another folder with --data.")
    first = min(span[0] for span in covered.values())
    last = max(span[1] for span in covered.values()) + timedelta(hours=1)
    begin = first + WARM_UP if start is None else hour_option("--from", start)
    finish = last if end is None else hour_option("--to", end)
    if begin >= finish:
        raise Misconfigured(f"--from {begin.isoformat()} is not before --to {finish.isoformat()}.")
    if begin < first or finish > last:
        raise Misconfigured(
            f"The history covers {first.isoformat()} to {last.isoformat()}: stay inside it."
        )
    return begin, finish
