"""``--store``: the same searches over the history that the database holds, also when queued."""

import asyncio
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from services.backtest.jobs import KIND, SWEEP, WALK, arguments
from services.backtest.main import perform
from services.carry.cli import app
from shared.domain.errors import Misconfigured
from shared.history.files import SAMPLE
from shared.history.merge import SCHEMAS
from shared.store.pool import open_pool
from shared.store.runs import ClaimedRun, queue_run
from tests.support.servers import Database

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LISTS = ["--spans", "3,6", "--entries", "0.00005,0.0001", "--exits", "0", "--holds", "9"]
SEARCHES = {"sweep": [], "walk-forward": ["--folds", "2", "--no-report"]}


@pytest.fixture
def kept(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One symbol's history, in a folder and in the database; less than the sample has."""
    monkeypatch.setenv("CARRY_ENV_FILE", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # ids recur in other tests
    monkeypatch.setenv("CARRY_DATABASE_URL", database.dsn_for("carry_collector"))
    first, end = (int(datetime(2023, month, 1, tzinfo=UTC).timestamp()) * 1000 for month in (7, 11))
    folder = tmp_path / "history"
    folder.mkdir()
    for name in SCHEMAS:
        column = "funding_time" if name == "funding.parquet" else "open_time"
        wanted = [("symbol", "==", "SOLUSDT"), (column, ">=", first), (column, "<", end)]
        pq.write_table(pq.read_table(SAMPLE / name, filters=wanted), folder / name)
    carry("data", "import", str(folder), "--data", str(tmp_path / "kept"))
    monkeypatch.setenv("CARRY_DATABASE_URL", database.dsn_for("carry_backtest"))
    return tmp_path / "kept"


def carry(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def same(found: dict[str, Any]) -> dict[str, Any]:
    """Return what does not tell when or as what it was found."""
    names = ("best", "rows", "sets", "folds", "start", "end", "from", "to", "symbols")
    return {name: found[name] for name in names if name in found}


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_over_the_store_finds_what_it_finds_in_files(kept: Path, search: str) -> None:
    words = ["backtest", search, *LISTS, *SEARCHES[search], "--json"]
    stored = json.loads(carry(*words, "--store"))
    assert same(stored) == same(json.loads(carry(*words, "--data", str(kept))))
    assert "SOLUSDT" in json.dumps(stored)


def test_a_symbol_that_the_store_lacks_is_named(kept: Path) -> None:
    for search in SEARCHES:
        done = CliRunner().invoke(app, ["backtest", search, "--store", "--symbols", "BTCUSDT"])
        assert isinstance(done.exception, Misconfigured)
        assert "The database holds no bar of BTCUSDT" in str(done.exception)


@pytest.mark.parametrize("words", [*(["backtest", s] for s in SEARCHES), ["data", "verify"]])
def test_the_store_and_a_folder_at_once_are_refused(words: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*words, "--store", "--data", str(tmp_path)])
    assert isinstance(done.exception, Misconfigured)
    assert "--store reads the database: leave it or --data" in str(done.exception)


def test_a_run_over_the_store_takes_rules_from_a_folder_that_has_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["backtest", "run", "--store", "--data", str(tmp_path)])
    assert isinstance(done.exception, Misconfigured)
    assert "has no instruments.toml to take rules from" in str(done.exception)


@pytest.mark.parametrize(("kind", "end"), [(SWEEP, "to"), (WALK, "end")])
def test_a_queued_search_reads_the_store_when_it_asks_for_it(
    kept: Path, database: Database, kind: str, end: str
) -> None:
    lists = {"spans": "3,6", "entries": "0.00005", "exits": "0", "holds": "9"}
    folds = {"folds": 2} if kind == WALK else {}
    run = ClaimedRun("r1", kind, {**lists, **folds, "store": True, "symbols": "SOLUSDT"}, NOW)

    async def work() -> Any:
        dsn = database.dsn_for("carry_backtest")
        async with open_pool(dsn, application="test") as pool, pool.acquire() as connection:
            await queue_run(connection, run.id, kind, run.parameters, NOW)
        return await perform(run, lambda _told: None)

    assert asyncio.run(work())[end].startswith("2023-11-01")  # where the sample does not end


def test_a_queued_run_is_told_of_the_database_only_when_it_asks_for_the_store(kept: Path) -> None:
    early = {"from": "2023-06-01", "to": "2023-06-03", "symbols": "SOLUSDT"}
    asking = ClaimedRun("r1", KIND, {**early, "store": True}, NOW)
    with pytest.raises(Misconfigured, match="The history covers 2023-07-01"):
        asyncio.run(perform(asking, lambda _told: None))
    silent = ClaimedRun("r2", KIND, {**early, "store": False}, NOW)
    assert asyncio.run(perform(silent, lambda _told: None))["start"]


def test_store_is_true_or_false_and_no_word() -> None:
    assert "--store" in arguments(SWEEP, {"store": True})
    assert "--store" not in arguments(SWEEP, {"store": False})
    with pytest.raises(Misconfigured, match="store yes is neither true nor false"):
        arguments(SWEEP, {"store": "yes"})
