"""The strategy's loop on a real database: journal first, one pass an instant, recovery."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from services.strategy.engine import Engine, Pace
from services.strategy.replay import replay
from shared.bus.messages import FundingSettled, PairWanted, PlanFinished, QuoteUpdated, decode
from shared.domain.market import Pool
from shared.domain.policy import CarryPolicy
from shared.domain.view import MarketView
from shared.store.decisions import read_decision
from shared.store.pool import WritePool, open_pool
from tests.support.clock import ManualClock
from tests.support.markets import EIGHT_HOURS, INSTANT, MIDNIGHT, pair
from tests.support.servers import Database

HOUR = timedelta(hours=1)
PAST = 360  # 120 days of eight hours


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rings = 0

    def notify(self) -> None:
        self.rings += 1


class ReplyLost:
    """A pool whose next commit happens, and is not told."""

    def __init__(self, pool: WritePool) -> None:
        self._pool = pool
        self.loses = True

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection:
            yield connection
        if self.loses:
            self.loses = False
            raise ConnectionResetError("the reply to the commit is lost")


def engine(pool: WritePool, bell: Bell, policy: CarryPolicy | None = None) -> Engine:
    return Engine(
        pool=pool,
        doorbell=bell,
        clock=ManualClock(),
        epoch=7,
        policy=policy or CarryPolicy(),
        policy_hash="policy",
        view=MarketView([pair("BTC")], keep=PAST, show=21),
        pace=Pace(bar=HOUR),
    )


def quotes(hours: int = 0) -> list[QuoteUpdated]:
    at = INSTANT + hours * HOUR
    common = {
        "symbol": "BTCUSDT", "bid": Decimal("9999.5"), "bid_size": Decimal(100),
        "ask": Decimal("10000.5"), "ask_size": Decimal(100), "venue_at": at, "received_at": at,
    }  # fmt: skip
    due = MIDNIGHT + (hours // 8 + 1) * EIGHT_HOURS
    return [
        QuoteUpdated(category="spot", **common),  # type: ignore[arg-type]
        QuoteUpdated(
            category="linear", mark=Decimal(10000), index=Decimal(10000), next_funding_at=due,
            **common,  # type: ignore[arg-type]
        ),
    ]  # fmt: skip


PRICES = """
    INSERT INTO market.bar (series, symbol, opened_at, close, received_at)
    SELECT series, 'BTCUSDT', at, 10000, at
    FROM unnest(array['spot', 'linear']) AS series,
         generate_series($1::timestamptz, $2::timestamptz, interval '8 hours') AS at"""


async def store_prices(database: Database, first: datetime, last: datetime) -> None:
    """Store, as the collector does, both closes at each settlement."""
    connection = await asyncpg.connect(database.dsn_for("carry_collector"))
    try:
        await connection.execute(PRICES, first - HOUR, last - HOUR)
    finally:
        await connection.close()


@pytest.fixture(autouse=True)
async def prices(database: Database) -> None:
    await store_prices(database, MIDNIGHT - PAST * EIGHT_HOURS, MIDNIGHT)


async def know_the_past(of: Engine) -> None:
    for n in range(PAST):
        at = MIDNIGHT - n * EIGHT_HOURS
        await of.settled(FundingSettled("BTCUSDT", Decimal("0.0005"), at, Decimal(8), at))


async def informed(pool: WritePool, bell: Bell | None = None) -> Engine:
    """Return an engine that took up its journal and knows the past."""
    strategy = engine(pool, bell or Bell())
    await strategy.recover()
    await know_the_past(strategy)
    return strategy


async def test_a_complete_instant_is_decided_once_journaled_and_said(database: Database) -> None:
    bell = Bell()
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        strategy = await informed(pool, bell)
        await strategy.quoted(quotes())
        await strategy.quoted(quotes())
    said = await asyncpg.connect(database.owner_dsn)
    try:
        (row,) = await said.fetch("SELECT body FROM ops.outbox WHERE stream = 'strategy.intents'")
        (intent,) = await said.fetch("SELECT pair, quantity, decision_id FROM strategy.intent")
        stored = await read_decision(said, intent["decision_id"])
    finally:
        await said.close()
    message = decode(bytes(row["body"]))
    assert isinstance(message, PairWanted)
    assert (message.pair, message.quantity) == ("BTCUSDT", Decimal("0.999"))
    assert message.correlation_id == message.decision_id == intent["decision_id"]
    assert (strategy.decisions, bell.rings) == (1, 1)
    assert stored is not None
    assert replay(stored).difference is None


async def test_without_the_basis_at_the_settlement_nothing_is_opened_until_it_is_there(
    database: Database,
) -> None:
    at = MIDNIGHT + EIGHT_HOURS
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        strategy = await informed(pool)
        await strategy.settled(FundingSettled("BTCUSDT", Decimal("0.0005"), at, Decimal(8), at))
        await strategy.quoted(quotes(hours=8))
        await store_prices(database, at, at)
        await strategy.quoted(quotes(hours=9))
        async with pool.acquire() as connection:
            said = await connection.fetch(
                "SELECT verdicts->'appraisals'->0->>'reason' FROM strategy.decision "
                "ORDER BY decided_at"
            )
    assert [row[0] for row in said] == ["basis_missing", "worth_opening"]


async def test_s8_a_held_pair_that_can_be_judged_no_more_is_told_of_until_it_can(
    database: Database,
) -> None:
    at = MIDNIGHT + EIGHT_HOURS
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        strategy = await informed(pool)
        await strategy.quoted(quotes())
        assert strategy.held_unknown == {}
        await strategy.settled(FundingSettled("BTCUSDT", Decimal("0.0005"), at, Decimal(8), at))
        with capture_logs() as said:
            await strategy.quoted(quotes(hours=8))
            assert strategy.held_unknown == {"BTCUSDT": "basis_missing"}
            await strategy.quoted(quotes(hours=9))
            await store_prices(database, at, at)
            await strategy.quoted(quotes(hours=10))
        assert strategy.held_unknown == {}
    assert [line["event"] for line in said if line["event"].startswith("held_")] == [
        "held_pair_not_known",
        "held_pair_known_again",
    ]


RATES = """
    INSERT INTO market.funding_settlement (symbol, settled_at, rate, interval_hours, received_at)
    SELECT 'BTCUSDT', at, 0.0005, 8, at
    FROM generate_series($1::timestamptz, $2::timestamptz, interval '8 hours') AS at"""


async def test_months_missing_between_what_was_read_and_what_is_said_are_read_again(
    database: Database,
) -> None:
    """A backfill commits its windows one by one, and says only the end on the stream."""
    collector = await asyncpg.connect(database.dsn_for("carry_collector"))
    try:
        await collector.execute(RATES, MIDNIGHT - (PAST - 1) * EIGHT_HOURS, MIDNIGHT)
    finally:
        await collector.close()
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        strategy = engine(pool, Bell(), replace(CarryPolicy(), history=timedelta(days=100)))
        await strategy.recover()
        for n in (*range(PAST - 1, PAST - 31, -1), *range(62, -1, -1)):
            at = MIDNIGHT - n * EIGHT_HOURS
            await strategy.settled(FundingSettled("BTCUSDT", Decimal("0.0005"), at, Decimal(8), at))
        await strategy.quoted(quotes())
        assert len(strategy._view.markets["BTCUSDT"].settlements) == PAST
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM strategy.intent") == 1


async def test_an_instant_waits_for_the_settlement_that_was_due(database: Database) -> None:
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        strategy = await informed(pool)
        await strategy.quoted(quotes(hours=8))
        assert strategy.decisions == 0
        at = MIDNIGHT + EIGHT_HOURS
        await strategy.settled(FundingSettled("BTCUSDT", Decimal("0.0005"), at, Decimal(8), at))
        assert strategy.last_instant == INSTANT + 8 * HOUR


async def test_a_restart_goes_on_from_the_journal_and_names_what_it_missed(
    database: Database,
) -> None:
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        first = await informed(pool)
        await first.quoted(quotes())
        second = await informed(pool)
        await second.quoted(quotes(hours=3))
        async with pool.acquire() as connection:
            intents = await connection.fetchval("SELECT count(*) FROM strategy.intent")
            late = await connection.fetch("SELECT venue_at FROM strategy.late_instant ORDER BY 1")
    assert intents == 1  # the pair is on its way already: it is not asked for again
    assert [r["venue_at"] for r in late] == [INSTANT + HOUR, INSTANT + 2 * HOUR]


async def test_s9_a_commit_whose_reply_was_lost_is_asked_for_and_not_decided_again(
    database: Database,
) -> None:
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        strategy = await informed(pool)
        strategy._pool = ReplyLost(pool)  # type: ignore[assignment]
        with pytest.raises(ConnectionResetError):
            await strategy.quoted(quotes())
        assert strategy.last_instant is None
        await strategy.quoted(quotes())
        assert strategy.last_instant == INSTANT
        await strategy.quoted(quotes(hours=1))
        async with pool.acquire() as connection:
            decisions = await connection.fetchval("SELECT count(*) FROM strategy.decision")
            intents = await connection.fetchval("SELECT count(*) FROM strategy.intent")
    assert (decisions, intents) == (2, 1)  # the pair is on its way already


async def test_a_plan_that_ended_flat_makes_the_pair_wanted_again(database: Database) -> None:
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        strategy = await informed(pool)
        await strategy.quoted(quotes())
        async with pool.acquire() as connection:
            intent = await connection.fetchval("SELECT id FROM strategy.intent")
        zero = Decimal(0)
        for intent_id in ("another", intent):
            strategy.executed(
                PlanFinished(
                    "p", intent_id, "c", "BTCUSDT", "flat", "hedge failed", zero, zero, zero
                )
            )
        await strategy.quoted(quotes(hours=1))
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM strategy.intent") == 2


async def test_a10_a_pool_that_is_short_is_heard_and_keeps_the_pair_out(database: Database) -> None:
    async with open_pool(database.dsn_for("carry_strategy"), application="test") as pool:
        strategy = await informed(pool)
        spot, perp = quotes()
        await strategy.quoted([spot, msgspec.structs.replace(perp, pool=Pool.SHORT)])
        async with pool.acquire() as connection:
            told = await connection.fetchval("SELECT verdicts FROM strategy.decision")
            assert await connection.fetchval("SELECT count(*) FROM strategy.intent") == 0
    assert '"reason": "adl_alert"' in str(told)
