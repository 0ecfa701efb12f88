"""The log lags, repeats itself and runs on while we are down: every row is booked once."""

from datetime import datetime
from decimal import Decimal

import pytest

from services.executor.bookkeeper import Bookkeeper
from shared.domain.instrument import Category
from shared.exchange.ports import ExecutionReport, LogRow
from shared.store.pool import WritePool
from shared.venue.account import LogRow as VenueRow
from shared.venue.exchange import Exchange
from shared.venue.forced import DELEVERAGING
from tests.support.executor import MS, Rig, running, venue
from tests.support.fake_gateway import FakeGateway

HOUR = 3_600_000


class LaggingGateway(FakeGateway):
    """Hides rows of the log, or executions, by number, as if they were not there yet."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.hidden: set[int] = set()
        self.hides_executions = False

    async def read_transaction_log(self, start: datetime) -> list[LogRow]:
        rows = await super().read_transaction_log(start)
        hidden = {self.exchange.log[n].id for n in self.hidden if n < len(self.exchange.log)}
        return [row for row in rows if row.key.split(":")[0] not in hidden]

    async def read_executions(
        self, category: Category, *, link_id: str | None = None, start: datetime | None = None
    ) -> list[ExecutionReport]:
        if self.hides_executions:
            return []
        return await super().read_executions(category, link_id=link_id, start=start)


def settle(rig: Rig, hours: int, rate: str = "0.0001") -> None:
    rig.exchange.advance(MS + hours * HOUR)
    for symbol in sorted(rig.exchange.positions):
        rig.exchange.settle(symbol, Decimal(rate))
    rig.gateway.push()


async def test_a_row_that_comes_late_stops_opening_until_it_is_there(pool: WritePool) -> None:
    exchange = venue()
    gateway = LaggingGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        rig.stop_reading()
        await rig.want("1")
        await rig.finished(1)
        bookkeeper: Bookkeeper = rig.parts.bookkeeper
        settle(rig, 8)
        gateway.hidden = {len(exchange.log) - 1}
        settle(rig, 16)
        await bookkeeper.read()
        before, missing, after = exchange.log[-3:]
        (detail,) = rig.parts.guard.details
        assert f"a row is missing between {before.id}:USDT and {after.id}:USDT" in detail
        assert detail.endswith(f"goes on as {missing.cash_balance.normalize():f}")
        assert await rig.alarms() == []
        await bookkeeper.read()
        assert await rig.alarms() == ["ledger_differs"]
        gateway.hidden.clear()
        assert await bookkeeper.read() == 1
        assert rig.parts.guard.details == []
        assert await rig.ledger_difference() == {}
        booked = await rig.rows(
            "SELECT venue_at FROM ledger.posting_group ORDER BY id DESC LIMIT 2"
        )
        assert booked[0]["venue_at"] < booked[1]["venue_at"]  # type: ignore[operator]


async def test_a_row_later_than_any_overlap_is_still_found(pool: WritePool) -> None:
    exchange = venue()
    gateway = LaggingGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        rig.stop_reading()
        await rig.want("1")
        await rig.finished(1)
        settle(rig, 8)
        gateway.hidden = {len(exchange.log) - 1}
        for hours in (16, 24, 32):
            settle(rig, hours)
            await rig.parts.bookkeeper.read()
        gateway.hidden.clear()
        assert await rig.parts.bookkeeper.read() == 1
        assert not rig.parts.guard.differs
    async with running(pool, exchange, gateway) as rig:
        assert await rig.ledger_difference() == {}


async def test_a_difference_that_stood_when_we_ended_is_looked_for_seven_days_back(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = LaggingGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        rig.stop_reading()
        await rig.want("1")
        await rig.finished(1)
        settle(rig, 8)
        gateway.hidden = {len(exchange.log) - 1}
        settle(rig, 6 * 24)
        await rig.parts.bookkeeper.read()
    gateway.hidden.clear()
    async with running(pool, exchange, gateway) as rig:
        assert not rig.parts.guard.differs
        assert await rig.ledger_difference() == {}


async def test_funding_of_twenty_days_alone_is_booked_at_the_start_each_once(
    pool: WritePool,
) -> None:
    """Traps 18 and 19: two symbols settle in the same instant, nobody is there to see it."""
    exchange = venue("BTC", "ETH")
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.want("1", "ETH")
        await rig.finished(2)
    for number in range(1, 61):
        exchange.advance(MS + number * 8 * HOUR)
        exchange.settle("BTCUSDT", Decimal("0.0001"))
        exchange.settle("ETHUSDT", Decimal("-0.0002"))
    exchange.drain()
    async with running(pool, exchange) as rig:
        told = await rig.rows(
            "SELECT pair, count(*), count(DISTINCT venue_at) AS instants, -sum(e.amount) AS sum "
            "FROM ledger.posting_group g JOIN ledger.entry e ON e.group_id = g.id "
            "WHERE g.kind = 'funding' AND e.account = 'funding' GROUP BY 1 ORDER BY 1"
        )
        # Short 1 at a mark of 10,000: 1 received sixty times, 2 paid sixty times.
        assert [(r["pair"], r["count"], r["instants"], r["sum"]) for r in told] == [
            ("BTCUSDT", 60, 60, 60),
            ("ETHUSDT", 60, 60, -120),
        ]
        days = await rig.rows(
            "SELECT count(*), sum(funding) AS sum FROM ledger.daily WHERE pair = 'BTCUSDT'"
        )
        assert (days[0]["count"], days[0]["sum"]) == (21, 60)
        assert await rig.parts.bookkeeper.read() == 0
        assert await rig.ledger_difference() == {}


async def test_a_row_waits_for_its_execution_and_is_then_its_pairs(
    pool: WritePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = venue()
    gateway = LaggingGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        rig.stop_reading()
        await rig.want("1")
        await rig.finished(1)
        gateway.copies, gateway.hides_executions = 0, True
        force(rig, "0.4")
        assert await rig.parts.bookkeeper.read() == 0
        gateway.hides_executions = False
        assert await rig.parts.bookkeeper.read() == 1
        assert rig.parts.bookkeeper.books.perp("BTCUSDT") == Decimal("-0.6")
        assert rig.parts.executor.desks["BTCUSDT"].position.perp_quantity == Decimal("-0.6")
        assert "execution_missing" not in await rig.alarms()
        monkeypatch.setattr("services.executor.bookkeeper.HOLD_SECONDS", 0.0)
        gateway.hides_executions = True
        force(rig, "0.1")
        assert await rig.parts.bookkeeper.read() == 1
        assert "execution_missing" in await rig.alarms()
        assert rig.parts.bookkeeper.books.unowned_perp("BTCUSDT", "BTCUSDT") == Decimal("0.1")
        assert await rig.ledger_difference() == {}


@pytest.mark.parametrize(
    ("kind", "alarm"), [("AIRDROP", "log_row_unknown"), ("BORROW", "borrowed")]
)
async def test_what_should_not_be_in_the_log_is_booked_and_alarmed(
    pool: WritePool, kind: str, alarm: str
) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        rig.stop_reading()
        exchange.advance(MS + 1)
        exchange._account._book(VenueRow(MS + 1, kind, "USDT", cash_flow=Decimal("1.25")))
        assert await rig.parts.bookkeeper.read() == 1
        assert await rig.alarms() == [alarm]
        assert await rig.ledger_difference() == {}
        (day,) = await rig.rows("SELECT * FROM ledger.daily")
        assert (day["pair"], day["asset"]) == ("", "USDT")
        assert day["borrow" if kind == "BORROW" else "basis"] == Decimal("1.25")


def force(rig: Rig, quantity: str) -> None:
    """Reduce the short as the venue does by itself."""
    rig.exchange.advance(rig.exchange.now_ms + 1_000)
    rule = rig.exchange.rules["linear", "BTCUSDT"]
    rig.exchange.force(rule, "Buy", Decimal(quantity), Decimal(10_000), DELEVERAGING)
    rig.gateway.push()
