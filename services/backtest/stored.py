"""Finds stored runs: a file, a folder that holds one, or an id in ``research.run``."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from services.backtest.record import Record, checked, read_record
from shared.domain.errors import Misconfigured
from shared.store.pool import open_pool
from shared.store.runs import StoredRun, read_run


def stored_run(name: str, database: Callable[[], str]) -> Record:
    """Return the document that ``name`` means; ``database`` tells where ids are looked up.

    Raises: Misconfigured when there is no such file or run, or when it is not done.
    """
    path = Path(name)
    if path.is_file():
        return read_record(path)
    if path.is_dir():
        found = sorted(path.glob("*.json"))
        if len(found) != 1:
            raise Misconfigured(f"{name} holds {len(found)} stored runs: name the file.")
        return read_record(found[0])
    if path.suffix or path.parent != Path():
        raise Misconfigured(f"{name} is no file.")
    run = asyncio.run(_fetched(name, database()))
    if run is None:
        raise Misconfigured(f"{name} is neither a file nor a run in the database.")
    if run.result is None:
        raise Misconfigured(f"run {name} is {run.state}: {run.detail or 'wait until it is done'}.")
    return checked(dict(run.result), f"run {name}")


async def _fetched(run_id: str, dsn: str) -> StoredRun | None:
    async with open_pool(dsn, application="backtest") as pool, pool.acquire() as connection:
        return await read_run(connection, run_id)
