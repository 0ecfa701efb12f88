"""``carry backtest sweep``: many parameter sets over recorded history."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from services.backtest.commands_data import read_either
from services.backtest.jobs import SWEEP
from services.backtest.options import Claimed, symbols_option
from services.backtest.progress import steps
from shared.domain.errors import Malformed, Misconfigured
from shared.domain.money import plain
from shared.runtime.clock import SystemClock

if TYPE_CHECKING:
    from services.backtest.sweep.market import SweepMarket
    from services.backtest.sweep.result import SweepResult
    from services.backtest.sweep.terms import ParameterSet, Terms

SHOWN: Final = 10
BEST_KEPT: Final = 100
EVER: Final = 2**62


def add_sweep(app: typer.Typer) -> None:
    """Add the command to ``carry backtest``."""

    @app.command()
    def sweep(
        folder: Annotated[Path | None, typer.Option("--data", help="Other history.")] = None,
        store: Annotated[bool, typer.Option("--store", help="History from the database.")] = False,
        symbols: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
        start: Annotated[str | None, typer.Option("--from", help="First instant, UTC.")] = None,
        end: Annotated[str | None, typer.Option("--to", help="Last instant, UTC.")] = None,
        spans: Annotated[str | None, typer.Option(help="EMA spans, in settlements.")] = None,
        entries: Annotated[str | None, typer.Option(help="Enter above; rates per 8 h.")] = None,
        exits: Annotated[str | None, typer.Option(help="Leave below; rates per 8 h.")] = None,
        holds: Annotated[str | None, typer.Option(help="Longest holds, in settlements.")] = None,
        grid: Annotated[Path | None, typer.Option(help="Lists and terms in a TOML file.")] = None,
        results: Annotated[Path | None, typer.Option(help="Where chunks are kept.")] = None,
        scheduler: Annotated[str | None, typer.Option(help="A Dask scheduler: tcp://...")] = None,
        ranges: Annotated[
            Path | None, typer.Option(help="first:end:step for SciPy's brute, in a TOML file.")
        ] = None,
        draw: Annotated[
            int | None, typer.Option("--random", min=1, help="So many sets of the lists, drawn.")
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="Of --random.")] = 0,
        claimed: Claimed = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Try every combination of the lists; a sweep that was stopped goes on where it was."""
        from services.backtest.grid_file import lists_of, ranges_of, read_stated
        from services.backtest.sweep.draw import drawn
        from services.backtest.sweep.terms import Terms

        given = {"spans": spans, "entries": entries, "exits": exits, "holds": holds}
        if ranges and (grid or draw or any(given.values())):
            raise Misconfigured("--ranges names all sets: leave --grid, --random and lists out.")
        stated: dict[str, Any] = {}
        terms = Terms()
        for option, path in (("--ranges", ranges), ("--grid", grid)):
            if path is not None:
                stated, terms = read_stated(option, path)
        market = market_option(folder, symbols, start, end, store=store)
        search = Search(results, scheduler, claimed)
        search.asked["data"] = "store" if store else str(folder or "sample")
        if ranges is not None:
            from services.backtest.sweep.front import brute

            search.asked |= {name: str(value) for name, value in stated.items()}
            found = brute(market, ranges_of(stated), terms, evaluate=search).swept
        else:
            lists = lists_of(given, stated)
            search.asked |= {name: str(getattr(lists, name)) for name in given}
            if draw is not None:
                search.asked |= {"random": draw, "seed": seed}
            sets = lists.sets() if draw is None else drawn(lists, draw, seed)
            found = search(market, sets, terms)
        said = search.said
        if as_json:
            rows = [] if claimed else [found.row(i) for i in range(len(found))]
            typer.echo(json.dumps({**said, "rows": rows}))
            return
        output = Console(highlight=False)
        output.print(_table(said))
        output.print(
            f"{len(found)} sets in {said['seconds']:.1f} s; chunks: {said['results']}", markup=False
        )
        if (tried := said["trials_ever"]) is not None:
            output.print(f"{tried} settings were ever tried on this span and these symbols.")


@dataclass(slots=True)
class Search:
    """One sweep: its chunks in a folder, its trials where a database is configured.

    ``asked`` is stored with it; ``said`` is there once it was called.
    """

    results: Path | None
    scheduler: str | None
    claimed: str | None
    asked: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)

    def __call__(
        self, market: "SweepMarket", sets: "Sequence[ParameterSet]", terms: "Terms | None"
    ) -> "SweepResult":
        """Return what the sets came to; raises Misconfigured as ``sweep_stored`` does."""
        from services.backtest.sweep.chunks import CHUNK, here, sweep_stored
        from services.backtest.sweep.cluster import Cluster
        from services.backtest.sweep.store import inputs_digest
        from services.backtest.sweep.terms import Terms, as_params
        from services.backtest.trials import SearchLog

        terms, clock = terms or Terms(), SystemClock()
        began = clock.monotonic()
        inputs = inputs_digest(market.digest(), as_params(sets), terms, CHUNK)
        place = self.results or Path("reports") / f"sweep-{inputs[:12]}"
        asked = {**self.asked, "market": market.digest()}
        with SearchLog(SWEEP, inputs, asked, market, terms, clock, self.claimed) as log:
            with steps("sets", clock, self.claimed) as progress:
                found = sweep_stored(
                    market,
                    sets,
                    terms,
                    place,
                    compute=here if self.scheduler is None else Cluster(self.scheduler),
                    progress=progress,
                    keep=log.keep,
                )
            seconds, tried = clock.monotonic() - began, log.tried()
            order = sorted(range(len(found)), key=lambda i: (-int(found.net[i]), i))
            self.said = {
                "symbols": list(market.symbols),
                "from": _text(market.start_ms),
                "to": _text(market.start_ms + (market.hours - 1) * 3_600_000),
                "days": len(found.days),
                "capital": plain(terms.all_capital),
                "sets": len(found),
                "trials_ever": None if tried is None else tried.count,
                "results": str(place),
                "seconds": round(seconds, 3),
                "best": [found.row(i) for i in order[:BEST_KEPT]],
            }
            log.done(self.said)
        self.said = {**self.said, "run": log.id}
        return found


def market_option(
    folder: Path | None,
    symbols: str | None,
    start: str | None,
    end: str | None,
    *,
    store: bool = False,
) -> "SweepMarket":
    """Return the history that these options name; ``store`` is the database.

    Raises: Misconfigured.
    """
    from services.backtest.sweep.market import market_of

    wanted = symbols_option(symbols) or None
    try:
        history = read_either(folder, wanted, store=store)
        return market_of(history, _instant("--from", start, 0), _instant("--to", end, EVER))
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be used: {error}") from error


def _instant(option: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misconfigured(f"{option} {text} is no instant: write 2023-11-11T00:00.") from error
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return int(at.timestamp()) * 1000


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def _table(said: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    names = ("span", "entry", "exit", "hold", "trades", "funding", "basis", "fees", "net")
    for name in (*names, "drawdown"):
        table.add_column(name, justify="right")
    for row in said["best"][:SHOWN]:
        amounts = [f"{Decimal(row[name]):,.0f}" for name in (*names[5:], "drawdown")]
        table.add_row(*(str(row[name]) for name in names[:5]), *amounts)
    return table
