"""``carry data import``, ``backfill`` and ``verify``: nothing lost, nothing twice, holes named."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from services.backtest.backfill import Backfill
from services.carry.cli import app
from shared.domain.errors import ExchangeUnavailable, Misconfigured
from shared.domain.funding import FundingSettlement
from shared.exchange.ports import Bar
from shared.history.files import SAMPLE, read_history
from shared.history.merge import SCHEMAS, rows_of
from shared.history.records import HOUR_MS, SymbolHistory
from shared.runtime.clock import SystemClock
from tests.support.fake_feed import FakeFeed
from tests.support.servers import Database, connected
from tests.support.simulator import simulator

START = datetime(2023, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def carry(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["data", *arguments])
    if isinstance(done.exception, Misconfigured):
        raise done.exception
    return done


def said(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(carry(*arguments, "--json").stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two symbols of the sample, a month of them, as a folder of its own."""
    first, end = (int(at.timestamp()) * 1000 for at in (START, START + timedelta(days=30)))
    for name in SCHEMAS:
        time_column = "funding_time" if name == "funding.parquet" else "open_time"
        table = pq.read_table(
            SAMPLE / name,
            filters=[
                ("symbol", "in", ["BTCUSDT", "SOLUSDT"]),
                (time_column, ">=", first),
                (time_column, "<", end),
            ],
        )
        pq.write_table(table, tmp_path / name)
    return tmp_path


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def test_an_imported_folder_reads_back_equal_and_importing_it_again_adds_nothing(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    first = said("import", str(folder), "--data", str(target))
    assert first["symbols"] == ["BTCUSDT", "SOLUSDT"]
    assert first["new"] == first["rows"]
    assert first["new"]["klines_spot.parquet"] == 2 * 720
    assert read_history(target) == read_history(folder)
    again = said("import", str(folder), "--data", str(target))
    assert set(again["new"].values()) == {0}


def test_m6_a_back_test_over_deleted_rows_refuses_unless_told_to_and_prints_their_count(
    folder: Path,
) -> None:
    def delete(found: list[dict[str, Any]]) -> None:
        for place in (50, 49, 44):
            del found[place]

    rewrite(folder / "funding.parquet", delete)
    run = ["backtest", "run", "--data", str(folder), "--symbols", "BTCUSDT", "--no-report"]
    span = ["--from", "2023-11-12", "--to", "2023-11-20"]
    refused = CliRunner().invoke(app, [*run, *span])
    assert isinstance(refused.exception, Misconfigured)
    assert "funding.parquet: BTCUSDT 2023-11-16" in str(refused.exception)
    allowed = CliRunner().invoke(app, [*run, *span, "--allow-gaps"])
    assert allowed.exit_code == 0, allowed.output
    assert "Gaps" in allowed.stdout
    assert "3" in next(line for line in allowed.stdout.splitlines() if line.startswith("Gaps"))
    counted = CliRunner().invoke(app, [*run, *span, "--allow-gaps", "--json"])
    assert json.loads(counted.stdout)["gaps"] == 3


def test_a_settled_rate_that_comes_again_with_another_value_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    carry("import", str(folder), "--data", str(target))

    def change(rows: list[dict[str, Any]]) -> None:
        rows[5] |= {"rate_str": "0.0123", "rate": 0.0123}

    rewrite(folder / "funding.parquet", change)
    with pytest.raises(Misconfigured, match=r"funding\.parquet: bybit BTCUSDT .* comes again with"):
        carry("import", str(folder), "--data", str(target))


def test_m6_verify_names_the_three_rows_that_were_deleted_and_ends_with_code_one(
    folder: Path,
) -> None:
    gone: list[str] = []

    def delete(rows: list[dict[str, Any]]) -> None:
        for place in (40, 20, 7):
            gone.append(
                datetime.fromtimestamp(rows[place]["funding_time"] / 1000, UTC).strftime(
                    "%Y-%m-%d %H:%M UTC"
                )
            )
            del rows[place]

    assert carry("verify", "--data", str(folder)).exit_code == 0
    rewrite(folder / "funding.parquet", delete)
    done = carry("verify", "--data", str(folder), "--json")
    assert done.exit_code == 1
    (btc, sol) = json.loads(done.stdout)["symbols"]
    assert btc["missing"] == gone[::-1]
    assert sol["missing"] == []
    hours = 8 * (btc["have"] + len(btc["missing"]) - 1) + 1
    assert btc["have"] + len(btc["missing"]) + btc["not_due"] == hours + 7  # bars go on for 8 h
    assert "missing settlement" in carry("verify", "--data", str(folder)).stdout


def swapped(rows: list[dict[str, Any]]) -> None:
    rows[3], rows[4] = rows[4], rows[3]


def doubled(rows: list[dict[str, Any]]) -> None:
    rows.insert(4, dict(rows[4]))


def holed(rows: list[dict[str, Any]]) -> None:
    del rows[4]


def no_number(rows: list[dict[str, Any]]) -> None:
    rows[4]["close"] = float("nan")


def eight_hourly(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["symbol"] == "BTCUSDT":
            row["interval"] = "8h"


def half_past(rows: list[dict[str, Any]]) -> None:
    rows[4]["open_time"] += 1_800_000


def other_venue(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["symbol"] == "BTCUSDT":
            row["exchange"] = "binance"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (swapped, r"klines_spot\.parquet: BTCUSDT 2023-11-01 03:00 UTC is out of order"),
        (doubled, r"klines_spot\.parquet: BTCUSDT 2023-11-01 04:00 UTC is there twice"),
        (holed, r"klines_spot\.parquet: BTCUSDT 2023-11-01 04:00 UTC is missing"),
        (no_number, r"klines_spot\.parquet: BTCUSDT 2023-11-01 04:00 UTC closes at NaN"),
        (eight_hourly, r"klines_spot\.parquet: no row of BTCUSDT of the interval 1h, but of 8h"),
        (half_past, r"klines_spot\.parquet: BTCUSDT 2023-11-01 04:30 UTC is not on a whole hour"),
        (other_venue, r"klines_spot\.parquet: no row of BTCUSDT of bybit, but of binance"),
    ],
)
@pytest.mark.parametrize("command", ["import", "run"])
def test_bad_rows_are_refused_by_file_symbol_and_first_row(
    command: str, change: Callable[[list[dict[str, Any]]], None], told: str,
    folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    rewrite(folder / "klines_spot.parquet", change)
    arguments = {
        "import": ["data", "import", str(folder), "--data", str(tmp_path / "t"), "--exchange",
                   "bybit", "--symbols", "BTCUSDT"],
        "run": ["backtest", "run", "--data", str(folder), "--symbols", "BTCUSDT", "--no-report"],
    }[command]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, Misconfigured)
    with pytest.raises(Misconfigured, match=told):
        raise done.exception


def test_a_folder_that_mixes_venues_is_not_imported_without_a_choice(
    folder: Path, tmp_path: Path
) -> None:
    rewrite(folder / "klines_spot.parquet", other_venue)
    with pytest.raises(Misconfigured, match="mixes venues"):
        carry("import", str(folder), "--data", str(tmp_path / "t"))


def test_gaps_are_imported_only_when_allowed_and_counted(folder: Path, tmp_path: Path) -> None:
    rewrite(folder / "mark_price.parquet", holed)
    with pytest.raises(Misconfigured, match=r"mark_price\.parquet: BTCUSDT .* is missing"):
        carry("import", str(folder), "--data", str(tmp_path / "t"))
    found = said("import", str(folder), "--data", str(tmp_path / "t"), "--allow-gaps")
    assert found["gaps"] == 1


async def test_imported_rows_are_in_the_store_once_and_read_back_equal(
    folder: Path, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARRY_ENV_FILE", "")
    monkeypatch.setenv("CARRY_DATABASE_URL", database.dsn_for("carry_collector"))

    def work(name: str) -> dict[str, Any]:
        return said("import", str(folder), "--data", str(tmp_path / name))

    first = await asyncio.to_thread(work, "one")
    assert first["stored"] == sum(first["rows"].values())
    assert (await asyncio.to_thread(work, "two"))["stored"] == 0
    done = await asyncio.to_thread(lambda: carry("verify", "--store"))
    assert "SOLUSDT" in done.stdout
    assert done.exit_code == 0
    async with connected(database.owner_dsn) as connection:
        row = await connection.fetchrow(
            "SELECT rate, interval_hours FROM market.funding_settlement "
            "WHERE symbol = 'BTCUSDT' ORDER BY settled_at LIMIT 1"
        )
        changes = await connection.fetchval("SELECT count(*) FROM market.interval_history")
    kept = read_history(folder).symbols["BTCUSDT"].settlements[0]
    assert row is not None
    assert (row["rate"], row["interval_hours"]) == (kept.rate, 8)
    assert changes == 2  # one interval for each symbol


async def test_a_role_that_may_not_add_history_is_named_as_the_remedy(
    folder: Path, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARRY_ENV_FILE", "")
    monkeypatch.setenv("CARRY_DATABASE_URL", database.dsn_for("carry_backtest"))
    with pytest.raises(Misconfigured, match="carry_collector"):
        await asyncio.to_thread(lambda: carry("import", str(folder), "--data", str(tmp_path / "t")))


@cache
def november() -> SymbolHistory:
    first = int(START.timestamp()) * 1000
    return read_history(symbols=["BTCUSDT"]).slice(first, first + 744 * HOUR_MS).symbols["BTCUSDT"]


class RecordedFeed(FakeFeed):
    """Says what the sample holds, so many answers long."""

    def __init__(self, answers: int | None) -> None:
        super().__init__()
        self._part = november()
        self._left = answers

    def _answer(self) -> None:
        if self._left == 0:
            raise KeyboardInterrupt
        if self._left is not None:
            self._left -= 1

    async def fetch_funding_rate_history(
        self, symbol: str, start: datetime, end: datetime
    ) -> list[FundingSettlement]:
        self._answer()
        found = []
        for s in self._part.settlements:
            at = datetime.fromtimestamp(s.at_ms / 1000, UTC)
            if start <= at <= end:
                found.append(FundingSettlement(symbol, s.rate, at, s.interval_hours * HOUR))
        return found

    async def fetch_ohlcv(
        self, category: object, symbol: str, start: datetime, end: datetime
    ) -> list[Bar]:
        return self._bars("spot" if "spot" in str(category) else "perp", start, end)

    async def fetch_mark_ohlcv(self, symbol: str, start: datetime, end: datetime) -> list[Bar]:
        return self._bars("mark", start, end)

    def _bars(self, name: str, start: datetime, end: datetime) -> list[Bar]:
        self._answer()
        first, last = (int(at.timestamp()) * 1000 for at in (start, end))
        return [
            (
                datetime.fromtimestamp(b.at_ms / 1000 - 3600, UTC),
                *[getattr(b, name)] * 4,
                Decimal(1),
            )
            for b in self._part.bars
            if first <= b.at_ms - HOUR_MS <= last
        ]


async def fill(folder: Path, answers: int | None = None, days: int = 10) -> None:
    filler = Backfill(
        RecordedFeed(answers), folder, exchange="bybit", clock=SystemClock(), draw=lambda: 0.5,
        window_hours=48,
    )  # fmt: skip
    await filler.run(["BTCUSDT"], START, START + timedelta(days=days) - HOUR)


def rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: rows_of(folder, name, "bybit").to_pylist() for name in SCHEMAS}


@pytest.mark.parametrize("answers", range(0, 20, 4))
async def test_m5_a_backfill_killed_anywhere_ends_with_the_same_rows(
    answers: int, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    await fill(whole)
    with pytest.raises(KeyboardInterrupt):
        await fill(cut, answers)
    if answers:
        part = next((cut / ".parts").glob("*.jsonl"))
        with part.open("a") as file:
            file.write('{"from": 1, "to"')  # a torn line
    await fill(cut)
    assert rows(cut) == rows(whole)
    assert len(rows(whole)["mark_price.parquet"]) == 240
    assert not list((cut / ".parts").glob("*"))


async def test_a_second_backfill_asks_for_what_is_newer_alone(tmp_path: Path) -> None:
    await fill(tmp_path, days=4)
    await fill(tmp_path, answers=4, days=5)  # one window for each of four series
    assert len(rows(tmp_path)["klines_spot.parquet"]) == 120
    assert read_history(tmp_path).symbols["BTCUSDT"].bars == november().bars[1:121]


async def test_what_is_missing_among_the_rows_is_fetched_again(tmp_path: Path) -> None:
    await fill(tmp_path)
    whole = rows(tmp_path)
    for name, places in (("funding.parquet", (7, 20, 21)), ("klines_perp.parquet", (50, 200))):

        def delete(found: list[dict[str, Any]], places: tuple[int, ...] = places) -> None:
            for place in reversed(places):
                del found[place]

        rewrite(tmp_path / name, delete)
    # Two spans of each series that has holes, and the hours behind the newest rate.
    await fill(tmp_path, answers=5)
    assert rows(tmp_path) == whole


async def test_a_venue_that_is_away_for_a_while_is_asked_again(tmp_path: Path) -> None:
    class Away(RecordedFeed):
        failures = 2

        def _answer(self) -> None:
            if self.failures:
                self.failures -= 1
                raise ExchangeUnavailable("scripted")

    filler = Backfill(
        Away(None), tmp_path, exchange="bybit", clock=SystemClock(), draw=lambda: 0.0,
        window_hours=48,
    )  # fmt: skip
    await filler.run(["BTCUSDT"], START, START + timedelta(days=1))
    assert len(rows(tmp_path)["klines_perp.parquet"]) == 25


def test_a_series_without_rows_needs_to_be_told_where_to_begin(tmp_path: Path) -> None:
    filler = Backfill(
        RecordedFeed(None), tmp_path, exchange="bybit", clock=SystemClock(), draw=lambda: 0.0
    )
    with pytest.raises(Misconfigured, match="--from"):
        asyncio.run(filler.run(["BTCUSDT"], None, START))


@pytest.mark.slow
def test_m5_a_killed_process_goes_on_and_the_rows_are_those_of_the_record(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CARRY_")}
    environment["CARRY_ENV_FILE"] = ""
    with simulator() as venue:
        command = [
            sys.executable, "-m", "services.carry.cli", "data", "backfill", "--data", str(tmp_path),
            "--symbols", "BTCUSDT", "--from", "2023-05-01", "--url", venue.rest, "--json",
        ]  # fmt: skip
        killed = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list((tmp_path / ".parts").glob("klines_perp-*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout)["new"] > 0
    filled = read_history(tmp_path)
    first, end = (
        int(at.timestamp()) * 1000
        for at in (datetime(2023, 5, 1, tzinfo=UTC), datetime(2023, 11, 11, tzinfo=UTC))
    )
    record = read_history(symbols=["BTCUSDT"])
    bars = record.slice(first + 1, end + 1).symbols["BTCUSDT"].bars
    assert filled.symbols["BTCUSDT"].bars == bars
    assert [(s.at_ms, s.rate) for s in filled.symbols["BTCUSDT"].settlements] == [
        (s.at_ms, s.rate) for s in record.slice(first, end + 1).symbols["BTCUSDT"].settlements
    ]
    assert pc.sum(pq.read_table(tmp_path / "funding.parquet")["rate"]).is_valid
