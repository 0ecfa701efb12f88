"""``carry backtest audit``: the exact engine held to what it could have known."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.backtest.audit import MOVES, Finding, audit, evenly
from services.backtest.engine import run_carry
from services.backtest.options import hour_option, names_option
from services.backtest.progress import progress_bar
from services.backtest.result import RunResult
from services.backtest.timeline import coverage
from shared.config.policy import load_policy
from shared.domain.errors import Malformed, Misconfigured
from shared.history.files import read_history
from shared.history.records import History
from shared.history.rules import sample_rules

DAYS = 4
HOUR = timedelta(hours=1)

screen = Console(stderr=True, highlight=False)


def audit_command(
    folder: Annotated[Path | None, typer.Option("--data", help="Other history.")] = None,
    symbols: Annotated[str, typer.Option(help="Comma-separated.")] = "BTCUSDT,SOLUSDT",
    start: Annotated[
        str | None, typer.Option("--from", help="First instant, ISO, UTC; default 4 days back.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last instant, ISO, UTC.")] = None,
    cuts: Annotated[int, typer.Option(min=1, help="How many futures to take away.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask whether a run knows what it could not have known; code 1 when it does."""
    try:
        history = read_history(folder, names_option(symbols))
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be read: {error}") from error
    covered = coverage(history).values()
    last = min(span[1] for span in covered) if end is None else hour_option("--to", end)
    first = last - timedelta(days=DAYS) if start is None else hour_option("--from", start)
    if last - first < 24 * HOUR:
        raise Misconfigured("The audit needs a day at least: widen --from and --to.")
    policy = load_policy(None)
    runs = 1 + 2 * (cuts + 1) + len(MOVES)
    with progress_bar(screen) as shown:
        task = shown.add_task("runs", total=runs)

        def run(changed: History) -> RunResult:
            result = run_carry(
                changed, sample_rules(), policy.carry, policy.limits, policy.execution,
                deposit=Decimal(100_000), start=first, end=last,
            )  # fmt: skip
            shown.advance(task)
            return result

        middle, *_ = evenly(first, last, 1)
        found = audit(run, history, [first + HOUR, *evenly(first, last, cuts)], middle)
    if as_json:
        typer.echo(json.dumps({"findings": [_plain(f) for f in found]}))
    else:
        _show(found)
    if not all(f.passed for f in found):
        raise typer.Exit(1)


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "question": finding.question,
        "at": finding.at.isoformat(),
        "passed": finding.passed,
        "first_difference": None if finding.first is None else finding.first.isoformat(),
        "words": finding.words,
    }


def _show(found: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("", "question", "from", "in words"):
        table.add_column(name)
    for finding in found:
        mark = "ok" if finding.passed else "FAILED"
        table.add_row(mark, finding.question, f"{finding.at:%Y-%m-%d %H:%M}", finding.words)
    Console(highlight=False).print(table)
