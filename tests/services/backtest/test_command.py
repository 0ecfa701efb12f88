"""``carry backtest run`` as its user runs it."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from services.carry.cli import app
from shared.domain.errors import Misconfigured
from shared.history.files import SAMPLE
from shared.history.merge import SCHEMAS
from tests.support.servers import Database, connected

SPAN = ["--from", "2023-11-11", "--to", "2023-11-14"]


def test_a_run_ends_with_a_summary_and_a_page_that_needs_no_other_host(tmp_path: Path) -> None:
    page = tmp_path / "made" / "report.html"
    done = CliRunner().invoke(app, ["backtest", "run", *SPAN, "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert "Net" in done.output
    text = page.read_text()
    assert "<h1>Carry, exact run</h1>" in text
    assert '<script src="http' not in text
    assert "<link" not in text


def test_json_has_money_as_text_and_parts_that_add_up() -> None:
    done = CliRunner().invoke(app, ["backtest", "run", *SPAN, "--json", "--no-report"])
    line = json.loads(done.stdout)
    parts = [Decimal(line[name]) for name in ("funding", "fees", "basis")]
    assert sum(parts) == Decimal(line["net"])
    assert line["pairs_opened"] == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "yesterday"], "yesterday is no instant"),
        (["--from", "2023-11-11T00:30"], "full hour"),
        (["--from", "2023-11-12", "--to", "2023-11-11"], "not before"),
        (["--from", "2021-01-01"], "stay inside it"),
        (["--symbols", "DOGEUSDT"], "DOGEUSDT has no rules"),
        (["--deposit", "-5"], "not above zero"),
        (["--deposit", "much"], "no amount"),
        (["--data", "nowhere"], "cannot be read"),
        (["--fees", "nowhere.toml"], "--fees nowhere.toml"),
        (["--on-liquidation", "pray"], "stop or continue"),
        (["--symbols", ","], "--symbols names nothing"),
    ],
)
def test_bad_input_is_one_sentence_that_names_it(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["backtest", "run", "--no-report", *arguments])
    assert isinstance(done.exception, Misconfigured)
    assert said in str(done.exception)


def test_a_page_that_cannot_be_kept_is_refused_before_the_work() -> None:
    done = CliRunner().invoke(app, ["backtest", "run", *SPAN, "--report", "/proc/none/page.html"])
    assert isinstance(done.exception, Misconfigured)
    assert "name another place with --report" in str(done.exception)


def part_of_the_sample(folder: Path, symbol: str, renamed: str) -> None:
    for name in SCHEMAS:
        table = pq.read_table(SAMPLE / name, filters=[("symbol", "==", symbol)])
        place = table.column_names.index("symbol")
        column = pa.array([renamed] * len(table), table.schema.field("symbol").type)
        pq.write_table(table.set_column(place, "symbol", column), folder / name)


def test_a_folder_is_run_with_what_it_holds_and_the_rules_it_states(tmp_path: Path) -> None:
    wanted = ["backtest", "run", *SPAN, "--json", "--no-report"]
    there = ["--data", str(tmp_path)]
    part_of_the_sample(tmp_path, "SOLUSDT", "SOLUSDT")
    alone = json.loads(CliRunner().invoke(app, [*wanted, *there]).stdout)
    same = json.loads(CliRunner().invoke(app, [*wanted, "--symbols", "solusdt"]).stdout)
    assert (alone["net"], alone["pairs_opened"]) == (same["net"], 1)

    part_of_the_sample(tmp_path, "SOLUSDT", "NEWUSDT")
    done = CliRunner().invoke(app, [*wanted, *there])
    assert isinstance(done.exception, Misconfigured)
    assert f"state rules in {tmp_path / 'instruments.toml'}" in str(done.exception)
    assert "Left out" in done.stderr
    assert "NEWUSDT" in done.stderr
    rules = (SAMPLE / "instruments.toml").read_text()
    (tmp_path / "instruments.toml").write_text(
        rules.replace("SOLUSDT", "NEWUSDT").replace('"SOL"', '"NEW"')
    )
    renamed = json.loads(CliRunner().invoke(app, [*wanted, *there]).stdout)
    assert renamed["net"] == same["net"]


def test_it_is_decided_for_the_account_that_trades() -> None:
    wanted = ["backtest", "run", *SPAN, "--no-report"]
    given = json.loads(CliRunner().invoke(app, [*wanted, "--json", "--deposit", "20000"]).stdout)
    assert given["parameters"]["capital"] == "20000"
    assert given["pairs_opened"] > 0
    assert "margin" not in given["refused"]
    small = CliRunner().invoke(app, [*wanted, "--deposit", "100"])
    assert "on 100.00 USDT" in small.output


def test_fees_of_a_tier_are_what_the_run_pays(tmp_path: Path) -> None:
    tiers = tmp_path / "fees.toml"
    tiers.write_text(
        '[[tier]]\nfrom = 2020-01-01\nspot = {taker = "0", maker = "0"}\n'
        'linear = {taker = "0", maker = "0"}\n'
    )
    done = CliRunner().invoke(
        app, ["backtest", "run", *SPAN, "--json", "--no-report", "--fees", str(tiers)]
    )
    line = json.loads(done.stdout)
    assert (line["fees"], line["fills"]) == ("0", 10)


async def test_a_run_from_the_store_equals_one_from_files_and_is_left_there(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARRY_ENV_FILE", "")
    monkeypatch.setenv("CARRY_DATABASE_URL", database.dsn_for("carry_collector"))
    first, end = (
        int(datetime(2023, month, day, tzinfo=UTC).timestamp()) * 1000
        for month, day in ((7, 10), (11, 15))
    )
    for name in SCHEMAS:
        column = "funding_time" if name == "funding.parquet" else "open_time"
        wanted = [("symbol", "==", "SOLUSDT"), (column, ">=", first), (column, "<", end)]
        pq.write_table(pq.read_table(SAMPLE / name, filters=wanted), tmp_path / name)

    def carry(*arguments: str) -> str:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == 0, done.output
        return done.stdout

    copied = ["data", "import", str(tmp_path), "--data", str(tmp_path / "kept")]
    await asyncio.to_thread(carry, *copied)
    monkeypatch.setenv("CARRY_DATABASE_URL", database.dsn_for("carry_backtest"))
    ran = ["backtest", "run", *SPAN, "--symbols", "SOLUSDT", "--json", "--no-report"]
    stored, kept = [
        json.loads(await asyncio.to_thread(carry, *ran, *more))
        for more in (["--store"], ["--data", str(tmp_path / "kept")])
    ]
    assert stored["net"] == kept["net"] != "0"
    assert stored["settlements"] == kept["settlements"]
    async with connected(database.owner_dsn) as connection:
        rows = await connection.fetch(
            "SELECT kind, state, result ->> 'net' AS net, parameters ->> 'deposit' AS deposit "
            "FROM research.run"
        )
    assert [tuple(row) for row in rows] == [("carry", "done", kept["net"], "100000")] * 2


def test_data_show_names_every_symbol_with_its_hours() -> None:
    done = CliRunner().invoke(app, ["data", "show"])
    assert done.output.count("12840 hours") == 5
