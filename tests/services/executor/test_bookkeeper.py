"""The ledger against the venue's log on a real database: funding, deposits, profit, equity."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from services.executor.ledger import is_consistent
from shared.exchange.ports import LogRow
from shared.store.books import read_books, read_pnl
from shared.store.pool import WritePool
from shared.venue.exchange import Exchange
from tests.support.executor import MS, Rig, books, running, venue
from tests.support.fake_gateway import FakeGateway, log_row
from tests.support.markets import INSTANT
from tests.support.servers import Database


async def publish_prices(database: Database, rig: Rig) -> None:
    """Put the venue's prices where the collector puts them."""
    connection = await asyncpg.connect(database.owner_dsn)
    try:
        await connection.execute("DELETE FROM market.quote_latest")
        for q in rig.quotes(rig.market.pairs["BTCUSDT"]):
            await connection.execute(
                "INSERT INTO market.quote_latest (category, symbol, venue_at, bid, bid_size, ask, "
                "ask_size, mark, index, received_at) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $3)",
                q.category, q.symbol, q.venue_at, q.bid, q.bid_size, q.ask, q.ask_size, q.mark,
                q.index,
            )  # fmt: skip
    finally:
        await connection.close()


async def test_profit_equals_the_change_of_equity_to_the_last_digit(
    database: Database, pool: WritePool
) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        exchange.advance(MS + 8 * 3_600_000)
        exchange.settle("BTCUSDT", Decimal("0.0003"))
        rig.gateway.push()
        await rig.parts.bookkeeper.read()
        books(exchange, "spot", bid="10100.1", ask="10101.2")
        books(exchange, "linear", bid="10090", ask="10091")
        exchange.set_mark("BTCUSDT", Decimal("10095.37"), Decimal("10095.37"))
        rig.quote(INSTANT + timedelta(hours=8))
        await publish_prices(database, rig)
        async with pool.acquire() as connection:
            pnl = (await read_pnl(connection)).total
            stored = await read_books(connection)
        mid = (Decimal("10100.1") + Decimal("10101.2")) / 2
        assert pnl.net == exchange.equity({"BTC": mid}) - 100_000
        # Short 1 at mark 10,000 and rate 0.0003: 3 received.
        assert pnl.funding == 3
        # 0.001001002 bitcoin at 10,000.5 and 0.055 % of 9,999.5 were paid.
        assert pnl.fees == -(Decimal("0.001001002") * Decimal("10000.5") + Decimal("5.499725"))
        # Bought 1.001002 half a tick above the mid of 10,000, sold 1 half a tick below.
        assert pnl.slippage == -(Decimal("1.001002") + 1) / 2
        assert pnl.borrow == pnl.rounding == 0
        kept = rig.parts.bookkeeper.books
        equity, told = kept.statement(rig.market.prices(), {"BTCUSDT": "BTC"})
        assert equity == exchange.equity({"BTC": mid})
        assert told.total == told.pairs["BTCUSDT"] == pnl
        assert kept == stored
        assert await rig.ledger_difference() == {}


async def test_funding_is_said_and_carries_its_pairs_correlation(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        exchange.advance(MS + 8 * 3_600_000)
        exchange.settle("BTCUSDT", Decimal("-0.0001"))
        rig.gateway.push()
        await rig.parts.bookkeeper.read()
        groups = await rig.rows("SELECT * FROM ledger.posting_group WHERE kind = 'funding'")
        assert [(g["pair"], g["correlation_id"]) for g in groups] == [("BTCUSDT", "correlation")]
        events = await rig.rows(
            "SELECT convert_from(body, 'UTF8')::jsonb AS body FROM ops.outbox "
            "WHERE convert_from(body, 'UTF8')::jsonb ->> 'type' = 'funding_booked.v1'"
        )
        assert len(events) == 1
        assert '"amount": "-1' in str(events[0]["body"])
        fills = await rig.rows("SELECT exec_type FROM execution.fill ORDER BY venue_at DESC")
        assert fills[0]["exec_type"] == "Funding"
        assert rig.parts.executor.desks["BTCUSDT"].position.perp_quantity == -1


async def test_the_books_open_once_and_a_later_deposit_is_external(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange):
        pass
    exchange.advance(MS + 1)
    exchange._account.deposit({"USDT": Decimal(50)}, MS + 1)
    async with running(pool, exchange) as rig:
        rows = await rig.rows(
            "SELECT g.kind, g.key, e.account, e.amount FROM ledger.posting_group g "
            "LEFT JOIN ledger.entry e ON e.group_id = g.id ORDER BY g.id, e.line"
        )
        assert [(r["kind"], r["account"], r["amount"]) for r in rows] == [
            ("opening", None, None),
            ("opening", "wallet", 100_000),
            ("opening", "opening", -100_000),
            ("external", "wallet", 50),
            ("external", "external", -50),
        ]
        assert not rig.parts.guard.differs


class WrongGateway(FakeGateway):
    """Tells balances that are wrong by a given amount."""

    wrong = Decimal(0)

    async def read_transaction_log(self, start: datetime) -> list[LogRow]:
        rows = await super().read_transaction_log(start)
        return [replace(r, balance=r.balance + self.wrong) for r in rows]


async def test_a_balance_that_differs_raises_the_alarm_and_stops_opening(pool: WritePool) -> None:
    exchange = venue()
    gateway = WrongGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        gateway.wrong = Decimal("0.01")
        await rig.want("1")
        await rig.finished(1)
        assert rig.parts.guard.differs
        alarms = await rig.rows(
            "SELECT DISTINCT convert_from(body, 'UTF8')::jsonb ->> 'name' AS name FROM ops.outbox "
            "WHERE convert_from(body, 'UTF8')::jsonb ->> 'type' = 'alarm_raised.v1'"
        )
        assert [a["name"] for a in alarms] == ["ledger_differs"]
        await rig.want("2", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        plans = await rig.finished(2)
        assert str(plans[1]["reason"]).startswith("ledger_differs")


async def test_rows_with_one_venue_id_are_all_booked_under_their_own_keys(pool: WritePool) -> None:
    exchange: Exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        before = len(await rig.rows("SELECT 1 FROM ledger.posting_group"))
        assert before == len(exchange.log) + 1  # every row, and one opening balance
        assert await rig.parts.bookkeeper.read() == 0
        assert len(await rig.rows("SELECT 1 FROM ledger.posting_group")) == before


async def test_equity_is_stored_once_per_instant(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await rig.want("1")
        await rig.finished(1)
        for minutes in (1, 1, 2):
            rig.quote(INSTANT + timedelta(minutes=minutes))
            for _ in range(200):
                rows = await rig.rows("SELECT * FROM ledger.equity ORDER BY venue_at")
                if rows and rows[-1]["venue_at"] == INSTANT + timedelta(minutes=minutes):
                    break
        assert [r["venue_at"] for r in rows][-2:] == [
            INSTANT + timedelta(minutes=1),
            INSTANT + timedelta(minutes=2),
        ]
        last = rows[-1]
        assert last["net"] == last["funding"] - last["fees"] + last["basis"]  # type: ignore[operator]
        assert last["equity"] == last["net"] + 100_000  # type: ignore[operator]


def test_a_log_row_of_the_venue_is_consistent() -> None:
    assert all(is_consistent(log_row(e)) for e in venue().log)


@pytest.mark.parametrize("copies", [0, 3])
async def test_executions_the_stream_missed_are_read_before_their_rows_are_booked(
    pool: WritePool, copies: int
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
        gateway.copies = copies
        exchange.advance(MS + 8 * 3_600_000)
        exchange.settle("BTCUSDT", Decimal("0.0001"))
        gateway.push()
        await rig.parts.bookkeeper.read()
        stored = await rig.rows("SELECT 1 FROM execution.fill WHERE exec_type = 'Funding'")
        assert len(stored) == 1
