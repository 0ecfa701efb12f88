"""What was passed over is followed from the journal; a seeded week is recomputed here (F:A8)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from services.backtest.follow import Follower
from services.backtest.skips import outcomes
from shared.domain.funding import FundingSettlement
from shared.store.pool import WritePool, open_pool
from shared.store.views.lists import read_skipped_json
from tests.support.clock import ManualClock
from tests.support.servers import Database, connected

START = datetime(2026, 3, 2, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOLD = 24
PAIRS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
REASONS = ("below_margin", "break_even_too_far", "longs_are_paid")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

Decisions = list[tuple[datetime, list[dict[str, Any]]]]
Rates = dict[str, list[tuple[datetime, Decimal]]]


def places(random: Random, deviation: float, mean: float = 0.0) -> str:
    return f"{random.gauss(mean, deviation):.8f}"


def appraised(random: Random, pair: str) -> dict[str, Any]:
    verdict = "hold" if random.random() < 0.2 else "passed_over"
    known = random.random() > 0.03
    return {
        "pair": pair,
        "verdict": verdict,
        "reason": "worth_staying" if verdict == "hold" else random.choice(REASONS),
        "basis_rate": places(random, 5e-4) if known else None,
        "fee_cost": "0.0031" if known else None,
        "slippage_cost": places(random, 1e-5, 5e-4) if known else None,
        "basis_cost": "0.7",  # what was expected of the basis is not paid
    }


def week(seed: int) -> tuple[Decisions, Rates]:
    """A week of hourly decisions, and settlements every 8 hours, of SOL every 4."""
    random = Random(seed)
    decisions = [
        (START + HOUR * hour, [appraised(random, pair) for pair in PAIRS])
        for hour in range(7 * 24)
        if hour != 100  # an hour that nobody decided
    ]
    rates = {
        pair: [
            (START + HOUR * hour - timedelta(minutes=1), Decimal(places(random, 3e-4, 1e-4)))
            for hour in range(-8, 7 * 24 + 1, 4 if pair == "SOLUSDT" else 8)
        ]
        for pair in PAIRS
    }
    return decisions, rates


def recomputed(decisions: Decisions, rates: Rates) -> dict[str, list[Decimal | None]]:
    """Return by reason what each would-be hold earned: None while it is not over or not known."""
    basis = {(at, a["pair"]): a["basis_rate"] for at, rows in decisions for a in rows}
    newest, found = decisions[-1][0], dict[str, list[Decimal | None]]()
    free_from: dict[tuple[str, str], datetime] = {}
    for at, rows in decisions:
        for row in rows:
            key = row["pair"], row["reason"]
            if row["verdict"] != "passed_over" or at < free_from.get(key, at):
                continue
            end = free_from[key] = at + HOUR * HOLD
            earned = None
            after = basis.get((end, row["pair"]))
            told = end + HOUR <= newest and row["fee_cost"] is not None
            if told and after is not None:
                paid = sum((rate for t, rate in rates[row["pair"]] if at < t <= end), Decimal(0))
                costs = Decimal(row["fee_cost"]) + Decimal(row["slippage_cost"])
                earned = paid + Decimal(row["basis_rate"]) - Decimal(after) - costs
            found.setdefault(row["reason"], []).append(earned)
    return found


@pytest.mark.parametrize(("last", "funding"), [(16, None), (24, "0.0006")])
def test_funding_is_unknown_where_a_pairs_settlements_end_before_the_hold(
    last: int, funding: str | None
) -> None:
    due = {
        "symbol": "BTCUSDT", "reason": "no_room", "decided_at": START, "hold_hours": HOLD,
        "ends_at": START + HOUR * HOLD, "cost": None, "basis_then": None, "basis_after": None,
    }  # fmt: skip
    paid = [
        FundingSettlement("BTCUSDT", Decimal(hour) / 80_000, START.replace(minute=0) + HOUR * hour,
                          HOUR * 8)
        for hour in range(0, last + 1, 8)
    ]  # fmt: skip
    (found,) = outcomes([due], {"BTCUSDT": paid}, START + HOUR * (HOLD + 2))
    assert found.funding == (None if funding is None else Decimal(funding))


@pytest.fixture
def dsn(database: Database) -> str:
    return database.dsn_for("carry_backtest")


async def journal(database: Database, decisions: Decisions, rates: Rates) -> None:
    async with connected(database.owner_dsn) as connection:
        for at, appraisals in decisions:
            verdicts = {"hold_hours": str(HOLD), "appraisals": appraisals}
            await connection.execute(
                "INSERT INTO strategy.decision VALUES ($1, $2, 'p', 'i', $3, 0, 'c', $2)",
                f"d{at:%m%d%H}", at, json.dumps(verdicts),
            )  # fmt: skip
        for pair, rows in rates.items():
            await connection.executemany(
                "INSERT INTO market.funding_settlement VALUES ($1, $2, $3, $4, $2)"
                " ON CONFLICT DO NOTHING",
                [(pair, at, rate, 4 if pair == "SOLUSDT" else 8) for at, rate in rows],
            )


async def followed(pool: WritePool) -> None:
    """Follow until there is nothing left, as a worker that has just been started does."""
    follower = Follower(pool, ManualClock(NOW))
    while await follower.step():
        pass


async def table(pool: WritePool, days: int = 30) -> dict[str, Any]:
    async with pool.acquire() as connection:
        told: dict[str, Any] = json.loads(await read_skipped_json(connection, days))
    return told


def halves(decisions: Decisions) -> Iterator[Decisions]:
    yield decisions[:95]
    yield decisions[95:]


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_seeded_week_equals_an_independent_recomputation(
    database: Database, dsn: str, seed: int
) -> None:
    decisions, rates = week(seed)
    async with open_pool(dsn, application="test") as pool:
        for half in halves(decisions):  # killed in the middle of the week, and started again
            await journal(database, half, rates)
            await followed(pool)
        told = await table(pool)
        rows = await pool_rows(pool)
    expected = recomputed(decisions, rates)
    assert told["hold_hours"] == str(HOLD)
    assert told["as_of"].startswith("2026-03-08T23:01:00")
    assert {row["reason"] for row in told["reasons"]} == set(expected) == set(REASONS)
    for row in told["reasons"]:
        holds = expected[row["reason"]]
        known = [earned for earned in holds if earned is not None]
        assert 0 < len(known) < len(holds)
        assert (row["skipped"], row["known"]) == (len(holds), len(known))
        assert Decimal(row["would_have_earned"]) == sum(known)
        mean = sum(known, Decimal(0)) / len(known)
        assert abs(Decimal(row["mean"]) - mean) < Decimal("1e-11")
        won = Decimal(sum(earned > 0 for earned in known)) / len(known)
        assert abs(Decimal(row["share_won"]) - won) < Decimal("1e-11")
    running = sum(row["running"] for row in told["reasons"])
    assert running == sum(row["followed_at"] is None for row in rows) > 0
    order = [Decimal(row["would_have_earned"]) for row in told["reasons"]]
    assert order == sorted(order, reverse=True)


async def test_two_workers_that_take_turns_keep_no_hold_twice(database: Database, dsn: str) -> None:
    decisions, rates = week(3)
    async with open_pool(dsn, application="test") as pool:
        one, other = (Follower(pool, ManualClock(NOW)) for _ in range(2))
        for part in (decisions[:50], decisions[50:120], decisions[120:]):
            await journal(database, part, rates)
            while await other.step():  # which has seen less than what is stored
                pass
            one, other = other, one
        rows = await pool_rows(pool)
    holds = recomputed(decisions, rates)
    assert len(rows) == sum(map(len, holds.values()))


async def pool_rows(pool: WritePool) -> list[Any]:
    async with pool.acquire() as connection:
        found: list[Any] = await connection.fetch("SELECT * FROM research.skip")
    return found


def one_skip(**changes: Any) -> dict[str, Any]:
    return {
        "pair": "BTCUSDT", "verdict": "passed_over", "reason": "no_room", "basis_rate": "0.001",
        "fee_cost": "0.003", "slippage_cost": "0.0005", **changes,
    }  # fmt: skip


async def test_a_hold_counts_once_the_hour_for_its_last_settlement_is_over(
    database: Database, dsn: str
) -> None:
    held = one_skip(verdict="hold", basis_rate="0.0002")
    end = START + HOUR * HOLD
    rates = {"BTCUSDT": [(START - timedelta(minutes=1), Decimal(1)), (end, Decimal("0.004"))]}
    async with open_pool(dsn, application="test") as pool:
        await journal(database, [(START, [one_skip()]), (end, [held])], rates)
        await followed(pool)
        (row,) = await pool_rows(pool)
        assert row["followed_at"] is None
        await journal(database, [(end + HOUR, [held])], rates)
        await followed(pool)
        (row,) = await pool_rows(pool)
    assert row["funding"] == Decimal("0.004")  # what settled as it began is not its own
    assert row["basis_gain"] == Decimal("0.0008")
    assert row["earned"] == Decimal("0.0013")


@pytest.mark.parametrize(
    ("skipped", "then"),
    [
        (one_skip(fee_cost=None, slippage_cost=None), one_skip(verdict="hold")),
        (one_skip(), one_skip(verdict="hold", basis_rate=None)),
        (one_skip(), one_skip(verdict="hold", pair="ETHUSDT")),
    ],
    ids=["no book", "no basis after", "not looked at any more"],
)
async def test_what_was_not_known_has_no_result_and_counts_as_no_gain(
    database: Database, dsn: str, skipped: dict[str, Any], then: dict[str, Any]
) -> None:
    end = START + HOUR * HOLD
    rates = {"BTCUSDT": [(START - timedelta(minutes=1), Decimal(1)), (end, Decimal("0.004"))]}
    async with open_pool(dsn, application="test") as pool:
        await journal(database, [(START, [skipped]), (end, [then]), (end + HOUR, [then])], rates)
        await followed(pool)
        (row,) = await pool_rows(pool)
        (told,) = (await table(pool))["reasons"]
    assert row["followed_at"] == NOW
    assert row["earned"] is None
    assert (told["skipped"], told["running"], told["known"]) == (1, 0, 0)
    assert told["would_have_earned"] is told["mean"] is told["share_won"] is None


async def test_an_older_skip_leaves_the_table_with_its_days(database: Database, dsn: str) -> None:
    async with open_pool(dsn, application="test") as pool:
        last = START + HOUR * 24 * 10
        await journal(database, [(START, [one_skip()]), (last, [one_skip()])], {})
        await followed(pool)
        assert (await table(pool, days=11))["reasons"][0]["skipped"] == 2
        assert (await table(pool, days=10))["reasons"][0]["skipped"] == 1


async def test_without_a_decision_the_table_is_empty(dsn: str) -> None:
    async with open_pool(dsn, application="test") as pool:
        await followed(pool)
        assert await table(pool) == {"as_of": None, "days": 30, "hold_hours": None, "reasons": []}
