"""``carry backtest sweep`` as its user runs it."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from scipy import optimize
from typer.testing import CliRunner

from services.backtest.grid_file import ranges_of
from services.backtest.sweep.draw import drawn
from services.backtest.sweep.terms import Grid
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


RANGES = 'spans = "3:9:3"\nentries = "0.00005:0.00015:0.00005"\nexits = 0\nholds = "9:10:5"\n'


def test_ranges_go_through_scipy_and_find_what_the_same_lists_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    real = optimize.brute

    def noted(function: Any, ranges: object, **named: Any) -> Any:
        asked.append(ranges)
        return real(function, ranges, **named)

    monkeypatch.setattr(optimize, "brute", noted)
    file = tmp_path / "ranges.toml"
    file.write_text(RANGES)
    where = ["--results", str(tmp_path / "kept"), "--json"]
    done = sweep(*SPAN, "--ranges", str(file), *where)
    assert done.exit_code == 0, repr(done.exception)
    assert len(asked) == 1
    listed = json.loads(sweep(*SPAN, *LISTS, *where).stdout)  # the same chunks: the same sets
    assert json.loads(done.stdout)["rows"] == listed["rows"]


def test_a_range_is_counted_in_decimals() -> None:
    # In floats 0.0015 / 0.0001 is above 15, and its end would be a sixteenth value.
    stated = {"spans": 3, "entries": "0:0.0015:0.0001", "exits": 0, "holds": "9:31:7"}
    spans, entries, exits, holds = ranges_of(stated)
    assert entries == slice(0.0, 0.0014, 15j)
    assert (spans, exits, holds) == (slice(3, 3, 1j), slice(0, 0, 1j), slice(9, 30, 4j))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spans = 3", "--ranges names no entries"),
        (RANGES.replace("3:9:3", "3:9"), "spans = 3:9 is no range"),
        (RANGES.replace("3:9:3", "9:3:3"), "spans = 9:3:3 is no range"),
        (RANGES.replace("3:9:3", "3:9:0"), "spans = 3:9:0 is no range"),
        (RANGES.replace("3:9:3", "3:9:1.5"), "spans 1.5 is no whole number"),
        (RANGES.replace("3:9:3", "3:x:3"), "spans x is no number"),
        (RANGES.replace("0.00005:0.00015:0.00005", "0:1:0.00000001"), "sets: give 1 to 10000000"),
    ],
)
def test_a_malformed_range_is_refused_by_name(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "ranges.toml"
    file.write_text(text)
    done = sweep("--ranges", str(file), "--results", str(tmp_path / "kept"))
    assert isinstance(done.exception, Misconfigured)
    assert said in str(done.exception)


def test_ranges_leave_no_room_for_lists(tmp_path: Path) -> None:
    done = sweep("--ranges", str(tmp_path / "ranges.toml"), "--spans", "3")
    assert "--ranges names all sets" in str(done.exception)


def test_a_seed_draws_the_same_sets_of_the_grid_each_once(tmp_path: Path) -> None:
    def rows(*more: str) -> list[tuple[object, ...]]:
        where = ["--results", str(tmp_path / "-".join(more)), "--json"]
        done = sweep(*SPAN, *LISTS, "--holds", "9,30,90", *more, *where)
        assert done.exit_code == 0, repr(done.exception)
        found = json.loads(done.stdout)["rows"]
        return [(row["span"], row["entry"], row["hold"], row["net"]) for row in found]

    whole = rows()
    assert len(whole) == 12
    some = rows("--random", "5", "--seed", "7")
    assert some == rows("--random", "5", "--seed", "7")
    assert some != rows("--random", "5", "--seed", "8")
    assert len(set(some)) == 5
    assert some == [row for row in whole if row in some]
    assert rows("--random", "12") == whole
    done = sweep(*SPAN, *LISTS, "--random", "5")
    assert "--random 5 is more than the 4 sets of the grid" in str(done.exception)


def test_a_grid_too_large_to_be_built_is_drawn_from() -> None:
    many = tuple(range(1, 10_001))
    some = drawn(Grid(many, (Decimal(0),) * 1000, (Decimal(0),), many), 100, 1)
    assert len(set(some)) == 100
    assert some == sorted(some, key=lambda one: (one.span, one.hold))


def sweep(*arguments: str) -> Any:
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
