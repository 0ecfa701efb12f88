"""``carry backtest sweep`` as its user runs it."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.carry.cli import app
from shared.domain.errors import Misconfigured
from shared.store.pool import open_pool
from tests.support.servers import Database

SPAN = ["--symbols", "BTCUSDT,ETHUSDT", "--from", "2023-11-01", "--to", "2023-12-01"]
LISTS = ["--spans", "3,6", "--entries", "0.00005,0.0001", "--exits", "0", "--holds", "9"]


def test_a_sweep_ranks_its_sets_and_the_parts_add_up(tmp_path: Path) -> None:
    where = ["--results", str(tmp_path)]
    done = CliRunner().invoke(app, ["backtest", "sweep", *SPAN, *LISTS, *where, "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["sets"] == 4
    assert said["days"] == 31  # what closes at 00:00 on the first ends October
    assert said["symbols"] == ["BTCUSDT", "ETHUSDT"]
    nets = [Decimal(row["net"]) for row in said["best"]]
    assert nets == sorted(nets, reverse=True)
    for row in said["rows"]:
        parts = Decimal(row["funding"]) + Decimal(row["basis"]) - Decimal(row["fees"])
        assert Decimal(row["net"]) == parts
    assert sum(row["trades"] for row in said["rows"]) > 0
    again = CliRunner().invoke(app, ["backtest", "sweep", *SPAN, *LISTS, *where])
    assert "4 sets" in again.output
    assert "drawdown" in again.output


def test_lists_and_terms_come_from_a_file_and_options_go_before_it(tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(
        "spans = [3]\nentries = [0.00005]\nexits = [0]\nholds = [9, 30]\n"
        "[terms]\nnotional = 500\ncap = 1\nspot_fee = 0\nperp_fee = 0\nslippage = 0\n"
    )
    where = ["--grid", str(grid), "--results", str(tmp_path / "kept"), "--spans", "2,4"]
    done = CliRunner().invoke(app, ["backtest", "sweep", *SPAN, *where, "--json"])
    said = json.loads(done.stdout)
    assert [(row["span"], row["hold"]) for row in said["rows"]] == [
        (2, 9),
        (2, 30),
        (4, 9),
        (4, 30),
    ]
    assert said["capital"] == "500"
    assert {row["fees"] for row in said["rows"]} == {"0"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--spans", "3,x"], "--spans x is no number"),
        (["--spans", "2.5"], "--spans 2.5 is no whole number"),
        (["--from", "yesterday"], "yesterday is no instant"),
        (["--data", "nowhere"], "cannot be used"),
        (["--grid", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--from", "2023-11-02", "--to", "2023-11-01"], "no bar"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["backtest", "sweep", "--results", str(tmp_path), *arguments])
    assert isinstance(done.exception, Misconfigured)
    assert said in str(done.exception)


def test_an_unknown_key_of_the_file_is_refused_by_name(tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text("spams = [3]\n")
    done = CliRunner().invoke(app, ["backtest", "sweep", "--grid", str(grid)])
    assert "no use for spams" in str(done.exception)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spans = 5", "spans = 5 is no list: write spans = [5]."),
        ("spans = []", "0 sets"),
        ("terms = 3", "terms = 3 is no table: write [terms]"),
        ('[terms]\ncap = "x"', "cap x is no number"),
        ("[terms]\ncap = 2.7", "cap 2.7 is no whole number of pairs"),
        ("[terms]\nnotional = [1]", "notional [1] is no number"),
        ("spans = [[3]]", "--spans [3] is no number"),
        ("# \xff", "cannot be read"),
    ],
)
def test_a_malformed_grid_file_is_refused_by_the_field(
    text: str, said: str, tmp_path: Path
) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_bytes(text.encode("latin-1"))
    done = sweep("--grid", str(grid), "--results", str(tmp_path / "kept"))
    assert isinstance(done.exception, Misconfigured)
    assert said in str(done.exception)


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.backtest.sweep.chunks.run_params", None)  # not to be called
    done = sweep(*SPAN, *LISTS, "--results", "/proc/x")
    assert isinstance(done.exception, Misconfigured)
    assert "/proc/x cannot be written" in str(done.exception)
    assert "name another place with --results" in str(done.exception)


def test_another_grid_has_another_folder_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for lists in (LISTS, [*LISTS, "--spans", "4"], LISTS):
        assert sweep(*SPAN, *lists).exit_code == 0
    assert len(list(tmp_path.glob("reports/sweep-*/chunk-000000.parquet"))) == 2


def sweep(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["backtest", "sweep", *arguments])


def test_a_sweep_is_a_row_of_runs_where_a_database_is_configured(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = database.dsn_for("carry_backtest")
    monkeypatch.setenv("CARRY_DATABASE_URL", dsn)
    where = ["--results", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, ["backtest", "sweep", *SPAN, *LISTS, *where])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)

    async def stored() -> Any:
        async with open_pool(dsn, application="test") as pool, pool.acquire() as connection:
            return await connection.fetchrow(
                "SELECT kind, state, result FROM research.run WHERE id = $1", said["run"]
            )

    row = asyncio.run(stored())
    assert (row["kind"], row["state"]) == ("sweep", "done")
    assert json.loads(row["result"])["best"] == said["best"]
