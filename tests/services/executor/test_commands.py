"""What is not ours: held before us, traded by a stranger; adopted or ignored by a person."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest

from services.executor.audit import audit
from services.executor.commands import Commands
from shared.runtime.clock import SystemClock
from shared.store.commands import insert_command
from shared.store.pool import WritePool, open_pool
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from tests.support.executor import MS, Rig, running, venue
from tests.support.markets import INSTANT
from tests.support.servers import Database

WALL = INSTANT


async def ask(rig: Rig, kind: str, pair: str = "BTCUSDT", reason: str = "we know it") -> None:
    async with rig.pool.acquire() as connection:
        await insert_command(connection, kind, pair, reason, "a person", WALL)


async def carried_out(rig: Rig) -> list[dict[str, object]]:
    executor = rig.parts.executor
    commands = Commands(
        executor=executor,
        bookkeeper=rig.parts.bookkeeper,
        journal=rig.parts.journal,
        market=rig.market,
        clock=SystemClock(),
    )
    await commands.look()
    return await rig.rows("SELECT kind, pair, outcome FROM execution.command ORDER BY id")


def by_hand(exchange: Exchange, category: str, side: str, quantity: str) -> None:
    """Somebody trades on the same account."""
    price = Decimal("10000.5") if side == "Buy" else Decimal("9999.5")
    exchange.advance(exchange.now_ms + 1_000)
    exchange.place(OrderRequest(category, "BTCUSDT", side, "Limit", Decimal(quantity), price))


async def seen(rig: Rig) -> None:
    rig.gateway.push()
    await rig.parts.executor.desks["BTCUSDT"].drained()
    await rig.parts.bookkeeper.read()


async def clean(rig: Rig) -> None:
    """Everything stored follows from the venue's rows, and the account is as they say."""
    async with asyncio.timeout(10):  # what was adopted without its partner is being sold
        while (found := await rig.parts.reconciler.differences()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert found == []
    assert await rig.ledger_difference() == {}
    async with rig.pool.acquire() as connection:
        assert (await audit(connection)).differences == ()


async def test_e12_a_strangers_fill_pauses_its_pair_until_it_is_ignored(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        by_hand(exchange, "spot", "Buy", "0.1")
        await seen(rig)
        desk = rig.parts.executor.desks["BTCUSDT"]
        assert desk.is_foreign
        assert await rig.alarms() == ["foreign_execution"]
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "refused"
    async with running(pool, exchange) as rig:
        desk = rig.parts.executor.desks["BTCUSDT"]
        assert desk.is_foreign  # also after a restart
        await ask(rig, "ignore")
        assert await carried_out(rig) == [{"kind": "ignore", "pair": "BTCUSDT", "outcome": "done"}]
        assert not desk.is_foreign
        assert desk.position.spot_quantity == 0
        await rig.want("1", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        plans = await rig.finished(2)
        assert plans[1]["state"] == "hedged"
        await clean(rig)
    async with running(pool, exchange) as rig:
        assert not rig.parts.executor.desks["BTCUSDT"].is_foreign


async def test_e12_what_is_adopted_is_the_pairs_at_the_price_of_the_moment(
    pool: WritePool,
) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        by_hand(exchange, "spot", "Buy", "0.5")
        by_hand(exchange, "linear", "Sell", "0.4")
        await seen(rig)
        assert rig.parts.bookkeeper.books.perp("BTCUSDT") == -1
        await clean(rig)
        await ask(rig, "adopt")
        await carried_out(rig)
        books, desk = rig.parts.bookkeeper.books, rig.parts.executor.desks["BTCUSDT"]
        # The stranger's 0.1 % fee left 0.4995 of the half bitcoin.
        assert desk.position.perp_quantity == Decimal("-1.4")
        assert desk.position.spot_quantity == Decimal("1.000000998") + Decimal("0.4995")
        assert books.perp("BTCUSDT") == Decimal("-1.4")
        assert books.unowned_coin("BTC", ["BTCUSDT"]) == 0
        groups = await rig.rows(
            "SELECT key, correlation_id FROM ledger.posting_group WHERE kind = 'repair' ORDER BY id"
        )
        assert [(g["key"], g["correlation_id"]) for g in groups] == [
            ("adopt:1:spot", "command:1"),
            ("adopt:1:linear", "command:1"),
        ]
        # Mid and mark are 10,000: what is adopted has earned nothing yet.
        before = books.lives["BTCUSDT"].unrealized(Decimal(10_000), Decimal(10_000))
        after = books.lives["BTCUSDT"].unrealized(Decimal(10_100), Decimal(10_000))
        assert after - before == 100 * desk.position.spot_quantity
        await clean(rig)
    async with running(pool, exchange) as rig:
        desk = rig.parts.executor.desks["BTCUSDT"]
        assert desk.position.perp_quantity == Decimal("-1.4")
        await clean(rig)


async def test_what_a_person_sold_may_be_given_back_by_adopting(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        by_hand(exchange, "spot", "Sell", "0.25")
        await seen(rig)
        await rig.finished(2)  # the short has followed
        by_hand(exchange, "spot", "Buy", "0.25")
        await seen(rig)
        await ask(rig, "adopt")
        await carried_out(rig)
        # The stranger's 0.1 % fee left 0.24975 of the quarter.
        desk = rig.parts.executor.desks["BTCUSDT"]
        assert desk.position.spot_quantity == Decimal("0.750000998") + Decimal("0.24975")
        await clean(rig)


async def test_coins_held_before_are_never_traded_and_dust_is_the_pairs(pool: WritePool) -> None:
    exchange = venue("BTC")
    by_hand(exchange, "spot", "Buy", "2")
    exchange.drain()
    exchange.advance(MS + 60_000)
    async with running(pool, exchange) as rig:
        desk = rig.parts.executor.desks["BTCUSDT"]
        assert desk.position.spot_quantity == 0
        assert not desk.is_foreign
        await rig.want("1")
        await rig.finished(1)
        await rig.want("0", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        plans = await rig.finished(2)
        assert [p["state"] for p in plans] == ["hedged", "flat"]
        # 2 less the fee of 0.002 were there before, and dust of our own round trip.
        dust = rig.parts.bookkeeper.books.coin("BTCUSDT")
        assert exchange.wallet["BTC"] == Decimal("1.998") + dust
        assert Decimal(0) < dust < Decimal("0.001")
        assert desk.position.spot_quantity == dust
        assert await rig.alarms() == []
        await clean(rig)


async def test_a_long_held_by_somebody_forbids_opening_a_short_in_the_same_product(
    pool: WritePool,
) -> None:
    """Closing ours would be cut to what the account is short on the whole."""
    exchange = venue("BTC")
    by_hand(exchange, "linear", "Buy", "0.7")
    exchange.drain()
    exchange.advance(MS + 60_000)
    async with running(pool, exchange) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "refused"
        assert exchange.positions["BTCUSDT"].size == Decimal("0.7")
        await clean(rig)


async def test_a_command_waits_while_its_pair_is_at_work_and_an_unknown_pair_is_refused(
    pool: WritePool,
) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await ask(rig, "adopt", "DOGEUSDT")
        await ask(rig, "ignore")
        rig.parts.executor.workers["BTCUSDT"].plan = object()  # type: ignore[assignment]
        assert [c["outcome"] for c in await carried_out(rig)] == [
            "refused: DOGEUSDT is not traded here",
            None,
        ]
        rig.parts.executor.workers["BTCUSDT"].plan = None
        assert (await carried_out(rig))[1]["outcome"] == "done"


async def test_a_person_may_ask_and_nobody_but_the_executor_may_answer(
    database: Database, pool: WritePool
) -> None:
    async with (
        open_pool(database.dsn_for("carry_commander"), application="test") as commander,
        commander.acquire() as connection,
    ):
        assert await insert_command(connection, "adopt", "BTCUSDT", "why", "me", WALL) == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE execution.command SET outcome = 'done'")
