"""``carry backtest replay``: one set of the sweep, event by event, its orders filled in parts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from services.backtest.commands_sweep import market_option
from services.backtest.options import number_option
from shared.domain.money import plain


def replay_command(
    folder: Annotated[Path | None, typer.Option("--data", help="Other history.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First instant, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last instant, UTC.")] = None,
    span: Annotated[int, typer.Option(help="EMA span, in settlements.")] = 12,
    entry: Annotated[str, typer.Option(help="Enter above; rate per 8 h.")] = "0.0001",
    leave: Annotated[str, typer.Option("--exit", help="Leave below; rate per 8 h.")] = "0",
    hold: Annotated[int, typer.Option(help="Longest hold, in settlements.")] = 90,
    depth: Annotated[str, typer.Option(help="USDT that an hour's close gives a leg.")] = "2500",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask what one set comes to when an hour gives only so much: orders are worked in parts."""
    from services.backtest.replay.events import events_of
    from services.backtest.replay.run import replay
    from services.backtest.sweep.terms import ParameterSet, Terms

    market = market_option(folder, symbols, start, end)
    one = ParameterSet(span, number_option("--entry", entry), number_option("--exit", leave), hold)
    events = events_of(market)
    found = replay(market, events, one, Terms(), number_option("--depth", depth))
    said = {
        "events": len(events.kind),
        "orders": found.orders,
        "fills": found.fills,
        "partial": found.parts,
        **{n: plain(getattr(found, n)) for n in ("funding", "fees", "net", "drawdown")},
    }
    if as_json:
        typer.echo(json.dumps(said))
        return
    for name, value in said.items():
        typer.echo(f"{name:9} {value}")
