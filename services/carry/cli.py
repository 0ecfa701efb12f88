"""``carry``: the one command line. Each command imports what it runs only when it runs."""

import asyncio
import importlib
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from services.backtest.cli import backtest, data
from shared.domain.errors import Misconfigured, Transient

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Carrydesk: funding-rate arbitrage on Bybit.",
)
db = typer.Typer(no_args_is_help=True, help="The database.")
ledger = typer.Typer(no_args_is_help=True, help="The books, and what they are made from.")
app.add_typer(backtest, name="backtest")
app.add_typer(data, name="data")
app.add_typer(db, name="db")
app.add_typer(ledger, name="ledger")


def main() -> None:
    """Run the command line; a wrong setting is one sentence and exit code 2.

    What another try may mend (a database that is not up yet) is one sentence and exit code 1.
    """
    try:
        app()
    except (Misconfigured, Transient) as error:
        Console(stderr=True, highlight=False).print(f"carry: {error}", markup=False, soft_wrap=True)
        sys.exit(2 if isinstance(error, Misconfigured) else 1)


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option("--for", min=1, help="Stop by itself after so many seconds.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Go on from where it stopped.")] = False,
    kill: Annotated[
        str | None, typer.Option(help="End this service as kill -9 does, once, part of the way.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the moment of --kill.")] = 0,
    start: Annotated[
        str | None, typer.Option(help="Replay from this hour on, ISO, UTC: 2022-11-07T00:00Z.")
    ] = None,
    port: Annotated[int, typer.Option(help="Where the dashboard is served.")] = 8080,
    state: Annotated[Path, typer.Option(help="Where the run keeps its data.")] = Path(".state"),
) -> None:
    """Run the whole platform on recorded history, on this machine, without Docker."""
    from services.carry.demo.supervisor import DemoOptions, run_demo

    options = DemoOptions(
        seconds=seconds,
        keep=keep,
        kill=kill,
        seed=seed,
        port=port,
        state=state.resolve(),
        start=start,
    )
    sys.exit(_run(run_demo(options)))


@app.command()
def simulator(
    history: Annotated[
        Path | None, typer.Option(help="Replay this folder of recorded history.")
    ] = None,
    live: Annotated[
        str | None, typer.Option(help="Take prices from the venue at this address.")
    ] = None,
    synthetic: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Make so many symbols up.")
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="Go wrong as this YAML script says.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Venue seconds per second, of what is not live.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Trade these alone: BTCUSDT,ETHUSDT.")] = None,
    start: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%MZ"], help="The first instant, UTC.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the synthetic market.")] = 0,
    rate: Annotated[
        int, typer.Option(min=1, max=100, help="Moves of a synthetic symbol per second.")
    ] = 1,
    accept_ms: Annotated[
        int, typer.Option(min=0, max=1000, help="Match an order so long after its answer.")
    ] = 5,
    state: Annotated[
        Path | None, typer.Option(help="Keep the books here, and go on with them.")
    ] = None,
) -> None:
    """Speak Bybit V5 over recorded history, a live venue's prices or a made-up market.

    Without a source of prices it is the platform's own, and needs its CARRY_* settings.
    """
    sources = {"history": history, "live": live, "synthetic": synthetic}
    chosen = {name: value for name, value in sources.items() if value is not None}
    exact_speed = None if speed is None else Decimal(str(speed))
    if len(chosen) > 1:
        raise Misconfigured(f"--{' and --'.join(chosen)} cannot go together: choose one source.")
    if not chosen:
        _serve("simulator", speed=exact_speed, port=port, faults=faults)
        return
    from services.carry.venue import serve_venue

    _run(
        serve_venue(
            {
                **chosen,
                "faults": faults,
                "speed": exact_speed,
                "port": port,
                "symbols": tuple(symbols.split(",")) if symbols else None,
                "start": start.replace(tzinfo=UTC) if start else None,
                "seed": seed,
                "accept_ms": accept_ms,
                "moves_per_second": rate,
            },
            state,
        )
    )


@app.command()
def collector() -> None:
    """Bring market data into the store and onto the streams."""
    _serve("collector")


@app.command()
def strategy() -> None:
    """Decide what to hold."""
    _serve("strategy")


@app.command()
def executor(
    safe_mode: Annotated[
        bool,
        typer.Option("--safe-mode", help="Be the watchdog: act only for a silent executor."),
    ] = False,
) -> None:
    """Close the gap between targets and truth, and keep the ledger."""
    if safe_mode:
        _serve("watchdog", "services.executor.standby")
    else:
        _serve("executor")


@app.command()
def api() -> None:
    """Answer the dashboard."""
    _serve("api")


@app.command()
def replay(
    decision_id: Annotated[str, typer.Argument(help="The id of a journaled decision, or `last`.")],
    state: Annotated[Path, typer.Option(help="Where the demo keeps its data.")] = Path(".state"),
) -> None:
    """Decide a journaled decision again and say whether it comes out the same.

    The database is CARRY_DATABASE_URL, or the running demo's.
    """
    from services.carry.replaying import replay_decision

    sys.exit(_run(replay_decision(decision_id, os.environ.get("CARRY_DATABASE_URL"), state)))


Reason = Annotated[str, typer.Option(help="Why; it is kept with the command.")]
State = Annotated[Path, typer.Option(help="Where the demo keeps its data.")]


@app.command()
def adopt(
    pair: Annotated[str, typer.Argument(help="As in BTCUSDT.")],
    reason: Reason,
    state: State = Path(".state"),
) -> None:
    """Give a pair what nobody owns of its coin and perpetual; from then on it is traded.

    The executor carries it out. The database is CARRY_DATABASE_URL, or the running demo's.
    """
    from services.carry.books import command

    sys.exit(_run(command("adopt", pair, reason, os.environ.get("CARRY_DATABASE_URL"), state)))


@app.command()
def ignore(
    pair: Annotated[str, typer.Argument(help="As in BTCUSDT.")],
    reason: Reason,
    state: State = Path(".state"),
) -> None:
    """Let a pair open again after a stranger's fill, which stays nobody's.

    An order of the pair in quarantine, which the venue has forgotten, comes to its end with it.

    The executor carries it out. The database is CARRY_DATABASE_URL, or the running demo's.
    """
    from services.carry.books import command

    sys.exit(_run(command("ignore", pair, reason, os.environ.get("CARRY_DATABASE_URL"), state)))


@ledger.command("verify")
def ledger_verify(state: State = Path(".state")) -> None:
    """Walk the hash chain from its beginning, make the books again and name what differs."""
    from services.carry.books import verify

    sys.exit(_run(verify(os.environ.get("CARRY_DATABASE_URL"), state)))


@ledger.command("explain")
def ledger_explain(
    group: Annotated[int, typer.Argument(help="The number of a posting group.")],
    state: State = Path(".state"),
) -> None:
    """Show what a posting group booked, the venue's row under it and why it came about."""
    from services.carry.books import explain

    sys.exit(_run(explain(group, os.environ.get("CARRY_DATABASE_URL"), state)))


@app.command()
def kill(
    level: Annotated[
        int,
        typer.Argument(
            min=0,
            max=4,
            help="0 pauses a pair, 1 opens nothing new, "
            "2 cancels all that rests, 3 flattens every pair, 4 ends the executor.",
        ),
    ],
    reason: Annotated[str, typer.Option(help="Why; it is shown wherever something is refused.")],
    pair: Annotated[str | None, typer.Option(help="With level 0: the pair to pause.")] = None,
    state: Annotated[Path, typer.Option(help="Where the demo keeps its data.")] = Path(".state"),
) -> None:
    """Press the kill switch: straight into the database, whatever else is down.

    The database is CARRY_DATABASE_URL, as carry_commander or carry_executor, or the running demo's.
    """
    from services.carry.killing import press

    sys.exit(_run(press(level, reason, pair, os.environ.get("CARRY_DATABASE_URL"), state)))


@app.command()
def lift(
    kill_id: Annotated[int, typer.Argument(metavar="ID", help="What `carry kill` printed.")],
    reason: Annotated[str, typer.Option(help="Why it may be lifted.")],
    state: Annotated[Path, typer.Option(help="Where the demo keeps its data.")] = Path(".state"),
) -> None:
    """Lift one kill; refused while books or positions do not agree with the venue.

    The database is CARRY_DATABASE_URL, as carry_commander, or the running demo's.
    """
    from services.carry.killing import lift as lift_one

    sys.exit(_run(lift_one(kill_id, reason, os.environ.get("CARRY_DATABASE_URL"), state)))


@app.command()
def doctor() -> None:
    """Look at this machine and the settings; say what is missing and how to get it."""
    from services.carry.doctor import examine

    sys.exit(examine())


@app.command()
def traps(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Run the tests first; minutes.")] = False,
) -> None:
    """List what went wrong in other desks, each with the tests that guard it here, or why not."""
    from services.carry.traps import show

    sys.exit(show(as_json=as_json, run=run, root=Path.cwd()))


@db.callback()
def _db() -> None:
    """Keep ``migrate`` a command of its own."""


@db.command("migrate")
def db_migrate() -> None:
    """Bring the schema up to date and set the passwords of the services' roles."""
    from shared.config.settings import load_settings
    from shared.store.migrate import migrate, set_passwords

    settings = load_settings("db")

    async def work() -> None:
        await migrate(settings.database.dsn)
        await set_passwords(settings.database.dsn, settings.role_passwords)

    _run(work())


def _serve(name: str, module: str = "", **options: Any) -> None:
    """Read the settings of service ``name`` and run it until it is told to stop."""
    from shared.config.settings import load_settings
    from shared.runtime.crash import dies_at, on_reached

    settings = load_settings(name)
    if settings.crash_at:
        on_reached(dies_at(settings.crash_at))
    process = importlib.import_module(module or f"services.{name}.main")
    _run(process.run(settings, **options))


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    from shared.runtime.service import configure_loop

    configure_loop()
    try:
        return asyncio.run(coroutine)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
