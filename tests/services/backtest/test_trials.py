"""Trials: kept while a search runs, once each, and counted by whoever searches there again."""

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from typer.testing import CliRunner

from services.backtest.sweep.chunks import sweep_stored
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import Grid, ParameterSet, Terms
from services.backtest.trials import SearchLog
from services.carry.cli import app
from shared.analytics.sharpe import deflated_sharpe, shape_of
from shared.analytics.validation import Tried
from shared.runtime.clock import SystemClock
from tests.services.backtest.sweep.markets import random_market
from tests.services.backtest.sweep.test_chunks import Counting
from tests.support.servers import Database, connected, wait

GRID = Grid(
    (3, 9), (Decimal("0.00005"), Decimal("0.0001")), (Decimal(0), Decimal("0.00002")), (3, 30)
)
SETS = GRID.sets()
MARKET = random_market(21, 4, 600, wild=False)
TERMS = Terms()
COMMON = ["--symbols", "BTCUSDT,SOLUSDT", "--holds", "45", "--exits", "0"]


@pytest.fixture
def rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the database holds, asked by a statement."""
    monkeypatch.setenv("CARRY_DATABASE_URL", database.dsn_for("carry_backtest"))

    def ask(statement: str, *values: object) -> list[asyncpg.Record]:
        async def work() -> list[asyncpg.Record]:
            async with connected(database.owner_dsn) as connection:
                found: list[asyncpg.Record] = await connection.fetch(statement, *values)
                return found

        return wait(work())

    return ask


def searched(folder: Path, compute: Counting, market: SweepMarket = MARKET) -> SearchLog:
    """Sweep in chunks of three sets through ``folder``, or until ``compute`` stops dead."""
    with SearchLog("sweep", "inputs", {"spans": "3,9"}, market, TERMS, SystemClock()) as log:
        sweep_stored(market, SETS, TERMS, folder, compute=compute, chunk=3, keep=log.keep)
        log.done({"net": "1"})
    return log


def ever(market: SweepMarket, sets: Sequence[Any] = SETS, terms: Terms = TERMS) -> int:
    """Try ``sets`` at once and return how many are then known to have been tried."""
    return tried_with(sets, market, terms).count


def tried_with(sets: Sequence[Any], market: SweepMarket = MARKET, terms: Terms = TERMS) -> Tried:
    """Try ``sets`` at once and return what is then known to have been tried."""
    with SearchLog(
        "sweep", f"{len(sets)} {terms} {market.digest()}", {}, market, terms, SystemClock()
    ) as log:
        log.keep(range(len(sets)), sweep(market, sets, terms))
        tried = log.tried()
        log.done({})
    assert tried is not None
    return tried


def idle(count: int) -> list[ParameterSet]:
    """Return settings that enter above what any rate of the market reaches."""
    return [replace(SETS[0], entry=Decimal("0.05") + Decimal(i) / 1000) for i in range(count)]


def test_a_killed_sweep_has_its_trials_and_when_resumed_each_of_them_once(
    rows: Any, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, Counting(last=2))
    (run,) = rows("SELECT * FROM research.run")
    assert (run["state"], run["detail"]) == ("failed", "stopped: run it again to go on")
    early = rows("SELECT number, made_at FROM research.trial ORDER BY number")
    assert len(early) == 6
    # The third chunk was stored when the machine died, before its trials were.
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, Counting(last=1))
    rows("DELETE FROM research.trial WHERE number NOT IN (SELECT unnest($1::int[]))",
         [r["number"] for r in early])  # fmt: skip
    second = Counting()
    assert searched(tmp_path, second).id == run["id"]
    assert len(second.computed) == 3
    late = rows("SELECT * FROM research.trial ORDER BY number")
    assert [r["number"] for r in late] == list(range(16))
    assert {r["run_id"] for r in late} == {run["id"]}
    stamps = {r["number"]: r["made_at"] for r in late}
    assert all(stamps[r["number"]] == r["made_at"] for r in early)
    (run,) = rows("SELECT * FROM research.run")
    assert (run["state"], run["detail"], json.loads(run["result"])) == ("done", None, {"net": "1"})


def test_a_trial_holds_its_setting_its_net_and_the_sharpe_ratio_of_its_weeks(
    rows: Any, tmp_path: Path
) -> None:
    searched(tmp_path, Counting())
    straight = sweep(MARKET, SETS, TERMS)
    for row in rows("SELECT * FROM research.trial"):
        i = row["number"]
        setting = json.loads(row["setting"])
        assert setting["span"] == SETS[i].span
        assert Decimal(setting["entry"]) == SETS[i].entry
        assert Decimal(setting["exit"]) == SETS[i].exit
        assert setting["hold"] == SETS[i].hold
        assert row["net"] == straight.money_at(i, "net")
        days = straight.daily_returns[i]
        weeks = days[len(days) % 7 :].reshape(-1, 7).sum(axis=1)
        assert row["sharpe"] == pytest.approx(weeks.mean() / weeks.std(ddof=1))
        assert row["universe"] == "C00USDT,C01USDT,C02USDT,C03USDT"


def test_a_setting_counts_once_however_often_it_is_tried_and_anew_under_other_costs(
    rows: Any,
) -> None:
    assert ever(MARKET, SETS[:10]) == 10
    assert ever(MARKET, SETS) == 16
    assert ever(MARKET, SETS[:3]) == 16
    assert ever(MARKET, SETS[:3], Terms(cap=2)) == 19
    assert rows("SELECT count(*) FROM research.trial")[0][0] == 10 + 16 + 3 + 3


def test_settings_that_never_trade_count_among_all_trials_but_not_towards_their_spread(
    rows: Any,
) -> None:
    before = tried_with(SETS)
    ratios = [row["sharpe"] for row in rows("SELECT sharpe FROM research.trial")]
    assert before.variance == pytest.approx(float(np.var(ratios, ddof=1)))
    after = tried_with(idle(30))
    assert (before.count, after.count) == (16, 46)
    assert after.variance == before.variance
    found = rows("SELECT sharpe FROM research.trial WHERE net = 0")
    assert [row["sharpe"] for row in found] == [None] * 30


def test_idle_trials_that_were_stored_with_a_ratio_of_zero_are_left_out_too(rows: Any) -> None:
    before = tried_with(SETS)
    rows("""INSERT INTO research.trial SELECT run_id, 100 + number, universe, begins_at, ends_at,
        setting, setting_hash || 'x', 0, 0, made_at FROM research.trial""")
    after = tried_with(SETS[:1])
    assert (after.count, after.variance) == (32, before.variance)


@pytest.mark.parametrize(
    ("sets", "count"), [(idle(3), 3), ([SETS[0], *idle(3)], 4)], ids=["none", "one"]
)
def test_of_trials_of_which_fewer_than_two_traded_the_spread_is_not_known(
    rows: Any, sets: list[ParameterSet], count: int
) -> None:
    assert tried_with(sets) == Tried(count, None)


def test_another_span_and_other_symbols_are_searches_of_their_own(rows: Any) -> None:
    assert ever(MARKET) == 16
    assert ever(replace(MARKET, start_ms=MARKET.start_ms + 3_600_000)) == 16
    assert ever(replace(MARKET, symbols=("C00USDT", "C01USDT", "C02USDT", "X03USDT"))) == 16
    turned = replace(MARKET, symbols=tuple(reversed(MARKET.symbols)))
    assert ever(turned, SETS[:3]) == 16  # the same symbols, named in another order


def test_without_a_database_a_search_keeps_nothing_and_knows_of_nothing(tmp_path: Path) -> None:
    log = searched(tmp_path, Counting())
    assert log.id is None
    with SearchLog("sweep", "inputs", {}, MARKET, TERMS, SystemClock()) as again:
        assert again.tried() is None


def invoke(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["backtest", *arguments, "--json"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_deflated_sharpe_ratio_counts_every_trial_ever_made_and_the_page_says_so(
    rows: Any, tmp_path: Path
) -> None:
    terms = tmp_path / "terms.toml"
    terms.write_text("[terms]\nnotional = 10000\ncap = 5\ncapital = 100000\n")
    lists = ["--spans", "3,9", "--entries", "0.00005,0.0001"]
    swept = invoke(
        "sweep", *COMMON, *lists, "--grid", str(terms), "--results", str(tmp_path / "chunks")
    )
    assert swept["trials_ever"] == 4
    lists = ["--spans", "9,21", "--entries", "0.0001,0.0002"]
    walked = invoke("walk-forward", *COMMON, *lists, "--report", str(tmp_path / "walk.html"))
    judged = walked["judgement"]
    assert (judged["trials"], judged["trials_ever"]) == (7, True)  # 4 and 4, one of them twice
    ratios = [
        row["sharpe"]
        for row in rows("SELECT DISTINCT ON (setting_hash) sharpe FROM research.trial")
    ]
    found = {f["check"]: f["value"] for f in judged["findings"]}
    best = weeks_of(walked, judged["best"])
    shape = shape_of(best)
    assert shape is not None
    expected = deflated_sharpe(shape, 7, float(np.var(ratios, ddof=1)))
    assert found["deflated_sharpe"] == pytest.approx(expected)
    page = (tmp_path / "walk.html").read_text()
    assert "Deflated Sharpe, 7 trials ever made" in page
    assert "The best of 7 trials ever made on this span" in page
    (run,) = rows("SELECT * FROM research.run WHERE kind = 'walk-forward'")
    assert run["state"] == "done"
    assert json.loads(run["result"])["judgement"] == judged


def test_without_a_database_the_page_says_that_only_this_search_is_counted(tmp_path: Path) -> None:
    lists = ["--spans", "9,21", "--entries", "0.0001,0.0002"]
    walked = invoke("walk-forward", *COMMON, *lists, "--report", str(tmp_path / "walk.html"))
    judged = walked["judgement"]
    assert (judged["trials"], judged["trials_ever"]) == (4, False)
    page = (tmp_path / "walk.html").read_text()
    assert "Deflated Sharpe, 4 trials of this search" in page
    assert "The best of 4 trials of this search" in page
    assert "trials ever made on this span" not in page


def weeks_of(walked: dict[str, Any], best: int) -> Any:
    """Return the weekly USDT of one setting of a walk-forward, computed from a sweep of it."""
    from services.backtest.sweep.market import market_of
    from services.backtest.sweep.terms import ParameterSet
    from shared.history.files import read_history

    row = walked["sets"][best]
    one = ParameterSet(row["span"], Decimal(row["entry"]), Decimal(row["exit"]), row["hold"])
    market = market_of(read_history(None, ["BTCUSDT", "SOLUSDT"]), 0, 2**62)
    terms = Terms(notional=Decimal(10_000), cap=5, capital=Decimal(100_000))
    days = sweep(market, [one], terms).daily_returns[0] * 100_000
    return days[len(days) % 7 :].reshape(-1, 7).sum(axis=1)
