"""``carry data import | backfill | verify``: history in, and proof that it is whole."""

import asyncio
import json
import os
import random
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import asyncpg
import pyarrow as pa
import typer
from rich.console import Console

from services.backtest.backfill import Backfill, Filled
from services.backtest.jobs import KIND
from services.backtest.options import hour_option, symbols_option
from services.backtest.progress import progress_bar
from services.backtest.records_io import bar_rows, history_of, is_rates, settlement_rows
from shared.config.settings import load_settings
from shared.domain.errors import Malformed, Misconfigured
from shared.exchange.bybit.endpoints import BYBIT_NAMES, Endpoints, market_endpoints
from shared.history.files import read_history
from shared.history.ledger import Ledger, ledgers_of
from shared.history.merge import SCHEMAS, exchanges_of, merge_rows, rows_of
from shared.history.records import History
from shared.runtime.clock import SystemClock
from shared.store.history import copy_bars, copy_settlements, read_history_rows
from shared.store.pool import open_pool
from shared.store.runs import record_run

LIVE = "https://api.bybit.com"
COPY_ROWS = 50_000
NAMED_MOST = 20

screen = Console(stderr=True, highlight=False)

Folder = Annotated[Path, typer.Option("--data", help="The folder of recorded history.")]
Symbols = Annotated[str | None, typer.Option(help="Comma-separated; default all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
NoStore = Annotated[bool, typer.Option("--no-store", help="Leave the database alone.")]


def import_history(
    source: Annotated[Path, typer.Argument(help="A folder of Parquet files, same layout.")],
    data: Folder,
    exchange: Annotated[str | None, typer.Option(help="Whose rows, if there are several.")] = None,
    symbols: Symbols = None,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Take it although rows are missing.")
    ] = False,
    no_store: NoStore = False,
    as_json: AsJson = False,
) -> None:
    """Check a folder of history and add it to --data and, where one is set, to the database."""
    try:
        venue = exchange or _only(exchanges_of(source), source)
        wanted = list(symbols_option(symbols)) or None
        history = read_history(source, wanted, exchange=venue, allow_gaps=allow_gaps)
        names = sorted(history.symbols)
        tables = {name: rows_of(source, name, venue, names) for name in SCHEMAS}
        added = {name: merge_rows(data, name, table) for name, table in tables.items()}
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be imported: {error}") from error
    stored = 0 if no_store else asyncio.run(_store(tables.items()))
    gaps = sum(ledger.gaps for ledger in ledgers_of(history))
    said = {
        "exchange": venue,
        "symbols": names,
        "rows": {name: table.num_rows for name, table in tables.items()},
        "new": added,
        "stored": stored,
        "gaps": gaps,
    }
    if as_json:
        typer.echo(json.dumps(said))
        return
    for name, table in tables.items():
        typer.echo(f"{name:22} {table.num_rows} rows, {added[name]} of them new")
    typer.echo(f"{stored} rows are new in the database; {gaps} gaps")


def backfill(
    data: Folder,
    symbols: Annotated[str, typer.Option(help="Comma-separated.")],
    start: Annotated[
        str | None, typer.Option("--from", help="Where a series without rows begins, ISO, UTC.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last hour, ISO, UTC; else now.")] = None,
    url: Annotated[str, typer.Option(help="The venue's address, or a simulator's.")] = LIVE,
    no_store: NoStore = False,
    as_json: AsJson = False,
) -> None:
    """Fetch what is missing since the newest row from the venue; a killed run goes on."""
    names = symbols_option(symbols)
    if not names:
        raise Misconfigured("--symbols names none: write BTCUSDT,ETHUSDT.")
    first = None if start is None else hour_option("--from", start)
    last = None if end is None else hour_option("--to", end)
    try:
        filled = asyncio.run(_backfill(data, names, first, last, url, no_store))
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be filled in: {error}") from error
    if as_json:
        said = [
            {"file": f.name, "symbol": f.symbol, "new": f.new, "stored": f.stored} for f in filled
        ]
        typer.echo(json.dumps({"series": said, "new": sum(f.new for f in filled)}))
        return
    for one in filled:
        typer.echo(
            f"{one.symbol:12} {one.name:22} {one.new} new rows, {one.stored} in the database"
        )


def verify(
    data: Annotated[
        Path | None, typer.Option("--data", help="The folder; default the sample.")
    ] = None,
    store: Annotated[bool, typer.Option("--store", help="Look at the database instead.")] = False,
    symbols: Symbols = None,
    exchange: Annotated[str, typer.Option(help="Whose rows.")] = "bybit",
    as_json: AsJson = False,
) -> None:
    """Say of every settlement whether it is there, missing or not due; code 1 if any is missing."""
    wanted = list(symbols_option(symbols)) or None
    try:
        history = read_either(data, wanted, store=store, exchange=exchange, allow_gaps=True)
    except (Malformed, OSError) as error:
        raise Misconfigured(f"The history cannot be read: {error}") from error
    ledgers = ledgers_of(history)
    if not ledgers:
        raise Misconfigured("There is no history yet: import it or fill it in first.")
    if as_json:
        typer.echo(json.dumps({"symbols": [_plain(ledger) for ledger in ledgers]}))
    else:
        for ledger in ledgers:
            _say(ledger)
    if any(ledger.gaps for ledger in ledgers):
        raise typer.Exit(1)


def read_either(
    folder: Path | None,
    symbols: Sequence[str] | None,
    *,
    store: bool,
    exchange: str = "bybit",
    allow_gaps: bool = False,
) -> History:
    """Return what the database holds, or else a folder (None: the sample).

    Raises: Misconfigured; Malformed and OSError as ``read_history`` does.
    """
    if store and folder:
        raise Misconfigured(f"--store reads the database: leave it or --data {folder} out.")
    if store:
        return read_store(symbols)
    return read_history(folder, symbols, exchange=exchange, allow_gaps=allow_gaps)


def read_store(symbols: Sequence[str] | None) -> History:
    """Return what the configured database holds; raises Misconfigured without a database."""
    dsn = load_settings("backtest").database.dsn

    async def read() -> History:
        async with open_pool(dsn, application="backtest") as pool, pool.acquire() as connection:
            return history_of(*await read_history_rows(connection, symbols))

    history = asyncio.run(read())
    for symbol in symbols or ():
        if symbol not in history.symbols:
            raise Misconfigured(f"The database holds no bar of {symbol}: import it first.")
    return history


def configured_database() -> str | None:
    """Return where the database is, None where none is set."""
    known = "CARRY_DATABASE_URL" in os.environ or "CARRY_DATABASE_URL_FILE" in os.environ
    return load_settings("backtest").database.dsn if known else None


def store_run(
    parameters: dict[str, Any], result: dict[str, Any], started_at: datetime, kind: str = KIND
) -> str | None:
    """Leave a run that is done in the configured database; return its id, None without one."""
    dsn = configured_database()
    if dsn is None:
        return None
    run_id = secrets.token_hex(8)

    async def work() -> None:
        async with open_pool(dsn, application="backtest") as pool, pool.acquire() as connection:
            await record_run(
                connection, run_id, kind, parameters, started_at, datetime.now(UTC), result=result
            )

    asyncio.run(work())
    return run_id


async def _backfill(
    folder: Path,
    symbols: Sequence[str],
    start: datetime | None,
    end: datetime | None,
    url: str,
    no_store: bool,
) -> list[Filled]:
    from shared.exchange.clients import feed_of

    clock = SystemClock()
    feed = feed_of("bybit", _endpoints(url), clock=clock, draw=random.random)

    async def keep(name: str, table: pa.Table) -> int:
        return await _store([(name, table)])

    try:
        venue_now = await feed.venue_time()
        if venue_now is None:
            raise Misconfigured(f"{url} tells no time: is it a venue?")
        last = min(end or venue_now, venue_now).replace(minute=0, second=0, microsecond=0)
        filler = Backfill(
            feed, folder, exchange="bybit", clock=clock, draw=random.random,
            keep=None if no_store or configured_database() is None else keep,
        )  # fmt: skip
        with progress_bar(screen) as shown:
            task = shown.add_task("hours", total=None)

            def show(series: str, done: int, total: int, rows: int) -> None:
                words = f"{series}, {rows} rows, hours"
                shown.update(task, description=words, completed=done, total=total)

            return await filler.run(symbols, start, last, show)
    finally:
        await feed.close()


def _endpoints(url: str) -> Endpoints:
    """Return where public data comes from: Bybit itself, or a simulator on a private address."""
    parts = urlsplit(url)
    if any(name in (parts.hostname or "") for name in BYBIT_NAMES):
        return market_endpoints("live", url, "wss://stream.bybit.com")
    socket = "wss" if parts.scheme == "https" else "ws"
    return market_endpoints("replay", url, f"{socket}://{parts.netloc}")


async def _store(tables: Iterable[tuple[str, pa.Table]]) -> int:
    """Copy rows into the configured database, if there is one; return how many are new."""
    dsn = configured_database()
    if dsn is None:
        return 0
    count, now = 0, datetime.now(UTC)
    try:
        async with open_pool(dsn, application="data") as pool, pool.acquire() as connection:
            for name, table in tables:
                for at in range(0, table.num_rows, COPY_ROWS):
                    part = table.slice(at, COPY_ROWS)
                    async with connection.transaction():
                        if is_rates(name):
                            count += await copy_settlements(connection, settlement_rows(part), now)
                        else:
                            count += await copy_bars(connection, bar_rows(name, part), now)
    except asyncpg.InsufficientPrivilegeError as error:
        raise Misconfigured(
            f"The database refuses the rows ({error}): set CARRY_DATABASE_URL to carry_collector's."
        ) from error
    except ValueError as error:
        raise Misconfigured(f"The database refuses the rows: {error}.") from error
    return count


def _only(exchanges: set[str], folder: Path) -> str:
    if len(exchanges) != 1:
        raise Misconfigured(
            f"{folder} mixes venues ({', '.join(sorted(exchanges))}): choose one with --exchange."
        )
    return next(iter(exchanges))


def _plain(ledger: Ledger) -> dict[str, Any]:
    return {
        "symbol": ledger.symbol,
        "from": _text(ledger.first_ms),
        "to": _text(ledger.end_ms),
        "have": len(ledger.have),
        "missing": [_text(at) for at in ledger.missing],
        "not_due": ledger.not_due,
        "bars_missing": [_text(at) for at in ledger.bars_missing],
    }


def _say(ledger: Ledger) -> None:
    typer.echo(
        f"{ledger.symbol:12} {_text(ledger.first_ms)} to {_text(ledger.end_ms)}: "
        f"{len(ledger.have)} settlements, {len(ledger.missing)} missing, "
        f"{ledger.not_due} hours not due, {len(ledger.bars_missing)} hours without a bar"
    )
    for what, stamps in (("settlement", ledger.missing), ("bar", ledger.bars_missing)):
        for at in stamps[:NAMED_MOST]:
            typer.echo(f"  missing {what} {_text(at)}")
        if len(stamps) > NAMED_MOST:
            typer.echo(f"  and {len(stamps) - NAMED_MOST} more: --json names all")


def _text(at_ms: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)).strftime(
        "%Y-%m-%d %H:%M UTC"
    )
