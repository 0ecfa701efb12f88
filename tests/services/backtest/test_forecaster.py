"""Forecasts are stored before their outcome, and scored from the store (F:A6)."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import numpy as np
import pytest
from typer.testing import CliRunner

from services.backtest.forecast_scores import made_in_last_year, scored
from services.backtest.forecaster import Forecaster
from services.carry.cli import app
from shared.domain.errors import Misconfigured
from shared.history.files import read_history
from shared.history.records import Settlement, SymbolHistory
from shared.store.pool import WritePool, open_pool
from shared.store.views.lists import read_forecasts_json
from tests.support.clock import ManualClock
from tests.support.servers import Database, connected

SYMBOL = "SOLUSDT"
HOURS_8 = timedelta(hours=8)
NOW = datetime.now(UTC)
COLUMNS = ("symbol", "at_ms", "horizon", "mean", "low", "high", "last", "has_skill")
LIVE = 15


@pytest.fixture(scope="module")
def sol() -> SymbolHistory:
    return read_history(None, [SYMBOL]).symbols[SYMBOL]


@pytest.fixture
def dsn(database: Database) -> str:
    return database.dsn_for("carry_backtest")


async def settle(database: Database, paid: Sequence[Settlement]) -> None:
    async with connected(database.owner_dsn) as connection:
        await connection.executemany(
            "INSERT INTO market.funding_settlement VALUES ($1, $2, $3, $4, $2)",
            [(SYMBOL, at(p.at_ms), p.rate, Decimal(p.interval_hours)) for p in paid],
        )


async def quoted(database: Database, venue_at: datetime, received_at: datetime = NOW) -> None:
    async with connected(database.owner_dsn) as connection:
        await connection.execute("DELETE FROM market.quote_latest")
        await connection.execute(
            "INSERT INTO market.quote_latest (category, symbol, venue_at, bid, bid_size, ask,"
            " ask_size, received_at) VALUES ('linear', $1, $2, 1, 1, 2, 1, $3)",
            SYMBOL, venue_at, received_at,
        )  # fmt: skip


async def rows(pool: WritePool) -> list[asyncpg.Record]:
    async with pool.acquire() as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT * FROM research.forecast ORDER BY made_of, horizon"
        )
        return found


def at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def on_grid(paid: Settlement) -> bool:
    return paid.at_ms % (8 * 3_600_000) == 0


async def lived(database: Database, dsn: str, paid: Sequence[Settlement], count: int) -> None:
    """Live through the last ``count`` settlements, each followed by a look of the forecaster."""
    await settle(database, paid[:-count])
    async with open_pool(dsn, application="test") as pool:
        forecaster = Forecaster(pool, ManualClock(NOW))
        for one in paid[-count:]:
            await settle(database, [one])
            await quoted(database, at(one.at_ms) + timedelta(minutes=1))
            assert await forecaster.step() == int(on_grid(one))
            assert await forecaster.step() == 0


async def test_what_is_stored_at_a_settlement_is_what_the_whole_history_says_of_it_later(
    database: Database, dsn: str, sol: SymbolHistory
) -> None:
    before = len(sol.settlements) - 40
    await lived(database, dsn, sol.settlements[:before], 4)
    async with open_pool(dsn, application="test") as pool:
        stored = await rows(pool)
    later = made_in_last_year(read_history(None, [SYMBOL]))
    times = {int(row["made_of"].timestamp()) * 1000 for row in stored}
    assert len(times) == sum(map(on_grid, sol.settlements[before - 4 : before])) >= 2
    expected = later[later["at_ms"].isin(times)].sort_values(["at_ms", "horizon"])
    assert len(stored) == len(expected) == 3 * len(times)
    for row, (_, made) in zip(stored, expected.iterrows(), strict=True):
        assert (row["symbol"], row["horizon"]) == (SYMBOL, made["horizon"])
        for name in ("mean", "low", "high", "last"):
            assert row[name] == pytest.approx(made[name], rel=1e-9), name
        assert row["has_skill"] == made["has_skill"]


async def test_the_database_refuses_a_forecast_whose_outcome_has_begun(
    database: Database, dsn: str, sol: SymbolHistory
) -> None:
    await settle(database, sol.settlements[:3])
    first, second = (at(p.at_ms) for p in sol.settlements[1:3])
    insert = (
        "INSERT INTO research.forecast (symbol, made_of, horizon, mean, last, has_skill,"
        " settlements, made_at) VALUES ($1, $2, 1, 0, 0, false, 2, '2020-01-01')"
    )
    async with connected(dsn) as connection:
        with pytest.raises(asyncpg.CheckViolationError, match="has settled since"):
            await connection.execute(insert, SYMBOL, first)
        await connection.execute(insert, SYMBOL, second)
        made_at = await connection.fetchval("SELECT made_at FROM research.forecast")
    assert abs(made_at - NOW) < timedelta(hours=1)  # whatever the writer says it was


@pytest.mark.parametrize(
    ("later", "silent", "count"),
    [
        (timedelta(minutes=1), timedelta(0), 1),
        (HOURS_8 - timedelta(minutes=1), timedelta(minutes=4), 1),
        (HOURS_8, timedelta(0), 0),
        (timedelta(minutes=1), timedelta(minutes=6), 0),
    ],
    ids=["at once", "late but before the next", "the next is past", "the feed is silent"],
)
async def test_nothing_is_forecast_once_the_venue_has_passed_it_or_while_its_feed_is_silent(
    database: Database,
    dsn: str,
    sol: SymbolHistory,
    later: timedelta,
    silent: timedelta,
    count: int,
) -> None:
    past = [p for p in sol.settlements if on_grid(p)][:200]
    await settle(database, [p for p in sol.settlements if p.at_ms <= past[-1].at_ms])
    await quoted(database, at(past[-1].at_ms) + later, NOW - silent)
    async with open_pool(dsn, application="test") as pool:
        assert await Forecaster(pool, ManualClock(NOW)).step() == count
        assert len(await rows(pool)) == 3 * count


async def test_a_pair_with_too_little_past_is_not_forecast(
    database: Database, dsn: str, sol: SymbolHistory
) -> None:
    past = [p for p in sol.settlements if on_grid(p)][:100]
    await settle(database, [p for p in sol.settlements if p.at_ms <= past[-1].at_ms])
    await quoted(database, at(past[-1].at_ms) + timedelta(minutes=1))
    async with open_pool(dsn, application="test") as pool:
        assert await Forecaster(pool, ManualClock(NOW)).step() == 0


def test_the_score_of_what_was_stored_can_be_run_again_and_gives_equal_numbers(
    database: Database, dsn: str, sol: SymbolHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARRY_DATABASE_URL", dsn)
    with pytest.raises(Misconfigured, match="No stored forecast is over yet"):
        CliRunner().invoke(app, ["backtest", "forecasts", "--stored"], catch_exceptions=False)
    paid = [p for p in sol.settlements if on_grid(p)][:-5]
    paid = [Settlement(p.at_ms, p.rate, 8) for p in paid]
    asyncio.run(lived(database, dsn, paid, LIVE))
    done = CliRunner().invoke(app, ["backtest", "forecasts", "--stored", "--json"])
    assert done.exit_code == 0, done.output
    scores = {row["horizon"]: row for row in json.loads(done.stdout)["scores"]}

    async def told() -> tuple[list[asyncpg.Record], dict[str, Any]]:
        async with open_pool(dsn, application="test") as pool, pool.acquire() as connection:
            return await rows(pool), json.loads(await read_forecasts_json(connection, SYMBOL, 90))

    stored, view = asyncio.run(told())
    rates = {at(p.at_ms): float(p.rate) for p in paid}
    assert [part["horizon"] for part in view["horizons"]] == [1, 3, 9]
    for part in view["horizons"]:
        horizon = part["horizon"]
        ours, naive, inside = [], [], []
        for row in (r for r in stored if r["horizon"] == horizon):
            came = [rates.get(row["made_of"] + HOURS_8 * n) for n in range(1, horizon + 1)]
            known = [rate for rate in came if rate is not None]
            if len(known) < horizon:
                continue
            mean = sum(known) / horizon
            ours.append((row["mean"] - mean) ** 2)
            naive.append((row["last"] - mean) ** 2)
            inside.append(row["low"] <= mean <= row["high"])
        rmse, rmse_naive = float(np.sqrt(np.mean(ours))), float(np.sqrt(np.mean(naive)))
        skill = 1 - np.mean(ours) / np.mean(naive)
        score = scores[horizon]
        assert score["forecasts"] == part["over"] == LIVE - horizon == len(ours)
        for found in (score, part):
            assert float(found["rmse"]) == pytest.approx(rmse, rel=1e-9)
            assert float(found["rmse_naive"]) == pytest.approx(rmse_naive, rel=1e-9)
            assert float(found["skill"]) == pytest.approx(skill, rel=1e-9)
            assert float(found["in_range"]) == pytest.approx(np.mean(inside), abs=1e-9)
        newest = [r for r in stored if r["horizon"] == horizon][-1]
        assert float(part["mean"]) == pytest.approx(newest["mean"], rel=1e-12)
        assert part["made_of"].startswith(f"{newest['made_of']:%Y-%m-%dT%H:%M}")


def test_where_a_settlement_is_missing_nobody_knows_what_came(sol: SymbolHistory) -> None:
    from services.backtest.forecast_scores import stored_before
    from shared.domain.funding import FundingSettlement

    paid = [p for p in sol.settlements if on_grid(p)][:10]
    settled = [
        FundingSettlement(SYMBOL, p.rate, at(p.at_ms), HOURS_8)
        for i, p in enumerate(paid)
        if i != 5
    ]
    made = [
        {"symbol": SYMBOL, "made_of": at(p.at_ms), "horizon": 3, "mean": 0.0, "low": None,
         "high": None, "last": 0.0, "has_skill": False}
        for p in paid
    ]  # fmt: skip
    known = np.isfinite(stored_before(made, {SYMBOL: settled})["realised"].to_numpy())
    assert known.tolist() == [i in (0, 1, 6) for i in range(10)]
    assert scored(stored_before((), {})) == []
