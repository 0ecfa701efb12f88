"""``carry backtest audit``: the exact engine held to what it could have known."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from services.backtest.audit import MOVES, Finding, audit, evenly
from services.backtest.options import hour_option
from services.backtest.progress import progress_bar
from services.backtest.result import RunResult
from services.backtest.source import source
from services.backtest.timeline import coverage
from shared.config.policy import load_policy
from shared.domain.errors import Misconfigured
from shared.domain.intents import HoldPair
from shared.domain.market import MarketSnapshot
from shared.domain.money import floor_to
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.strategy import Decision, decide
from shared.history.records import History

if TYPE_CHECKING:
    from services.backtest.engine import Chooser

DAYS = 4
HOUR = timedelta(hours=1)
NOTIONAL = Decimal(5_000)

Rule = Callable[[datetime], "Chooser"]

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
    from services.backtest.engine import run_carry

    given = source(folder, symbols)
    history = given.history
    covered = coverage(history).values()
    last = min(span[1] for span in covered) if end is None else hour_option("--to", end)
    first = last - timedelta(days=DAYS) if start is None else hour_option("--from", start)
    if last - first < 24 * HOUR:
        raise Misconfigured("The audit needs a day at least: widen --from and --to.")
    policy = load_policy(None)
    runs = len(RULES) * (1 + 2 * (cuts + 1) + len(MOVES))
    with progress_bar(screen) as shown:
        task = shown.add_task("runs", total=runs)

        def run(rule: Rule, changed: History) -> RunResult:
            result = run_carry(
                changed, given.rules, policy.carry, policy.limits, policy.execution,
                deposit=Decimal(100_000), start=first, end=last, chooser=rule(leaves_at),
            )  # fmt: skip
            shown.advance(task)
            if not result.fills and rule is hold and changed is history:
                raise Misconfigured(
                    f"Nothing could be traded from {first} to {last}, so nothing would be proved: "
                    "choose another --from and --to, or other --symbols."
                )
            return result

        middle, *_ = evenly(first, last, 1)
        *_, leaves_at = evenly(first, last, 3)
        instants = [first + HOUR, *evenly(first, last, cuts)]
        found = [
            replace(finding, question=f"{name}: {finding.question}")
            for name, rule in RULES.items()
            for finding in audit(partial(run, rule), history, instants, middle)
        ]
    if as_json:
        typer.echo(json.dumps({"findings": [_plain(f) for f in found]}))
    else:
        _show(found)
    if not all(f.passed for f in found):
        raise typer.Exit(1)


def hold(leaves_at: datetime) -> "Chooser":
    """Return a rule that opens each pair once, worth ``NOTIONAL``, and closes it at an instant.

    The policy may find nothing worth holding, and an input that nobody trades on proves nothing.
    """
    opened: set[str] = set()

    def choose(portfolio: Portfolio, market: MarketSnapshot, _: CarryPolicy) -> Decision:
        intents = []
        for name, of in sorted(market.pairs.items()):
            if of.spot is None or of.perp is None:
                continue
            if market.instant >= leaves_at and portfolio.quantity(name):
                intents.append(HoldPair(name, Decimal(0), None, "audit"))
            elif name not in opened:
                opened.add(name)
                quantity = floor_to(NOTIONAL / of.spot.ask, of.pair.common_lot)
                intents.append(HoldPair(name, quantity, None, "audit"))
        return Decision(market.instant, tuple(intents), ())

    return choose


RULES: Final[Mapping[str, Rule]] = {"hold": hold, "policy": lambda _: decide}


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
