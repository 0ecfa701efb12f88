"""What stands alone: who takes it back, and who is told. One bitcoin at 9,999.5 / 10,000.5."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.executor.desk import Tracked
from services.executor.residual import Residuals
from shared.domain.instrument import Category
from shared.domain.order import Leg
from shared.store.pool import WritePool
from shared.venue.enforcement import deleverage
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from tests.support.executor import Rig, running, venue
from tests.support.fake_gateway import FakeGateway, execution_report, lost
from tests.support.markets import INSTANT


async def opened(rig: Rig) -> None:
    await rig.want("1")
    await rig.finished(1)


def bought_back(exchange: Exchange, quantity: str) -> None:
    """A person buys a part of the short back by hand."""
    exchange.place(
        OrderRequest(
            "linear", "BTCUSDT", "Buy", "Limit", Decimal(quantity), Decimal("10000.5"),
            reduce_only=True,
        )
    )  # fmt: skip


async def test_the_coin_follows_a_short_that_a_person_bought_back(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await opened(rig)
        bought_back(exchange, "0.4")
        rig.gateway.push()
        plans = await rig.finished(2)
        assert (plans[1]["state"], plans[1]["reason"]) == ("hedged", "residual")
        position = rig.parts.executor.desks["BTCUSDT"].position
        assert (position.spot_quantity, position.perp_quantity) == (
            Decimal("0.600000998"),
            Decimal("-0.6"),
        )
        assert rig.parts.executor.desks["BTCUSDT"].is_foreign  # until a person says what it was
        assert await rig.ledger_difference() == {}


async def test_a_strangers_short_beyond_ours_is_left_alone(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await opened(rig)
        exchange.place(
            OrderRequest("linear", "BTCUSDT", "Sell", "Limit", Decimal("0.4"), Decimal("9999.5"))
        )
        rig.gateway.push()
        desk = rig.parts.executor.desks["BTCUSDT"]
        await rig.until(lambda: desk.is_foreign)
        assert desk.position.perp_quantity == Decimal(-1)
        assert desk.is_hedged


async def test_r6_the_short_follows_coins_that_a_person_sold(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await opened(rig)
        sold(exchange, "0.4")
        rig.gateway.push()
        plans = await rig.finished(2)
        assert (plans[1]["state"], plans[1]["reason"]) == ("hedged", "residual")
        desk = rig.parts.executor.desks["BTCUSDT"]
        assert (desk.position.spot_quantity, desk.position.perp_quantity) == (
            Decimal("0.600000998"),
            Decimal("-0.6"),
        )
        assert desk.is_foreign  # until a person says what it was
        assert await rig.parts.reconciler.differences() == []
        assert await rig.ledger_difference() == {}


async def test_coins_that_nobody_owned_may_be_sold_by_hand(pool: WritePool) -> None:
    exchange = venue()
    exchange.place(OrderRequest("spot", "BTCUSDT", "Buy", "Limit", Decimal(2), Decimal("10000.5")))
    exchange.drain()
    exchange.advance(exchange.now_ms + 60_000)
    async with running(pool, exchange) as rig:
        await opened(rig)
        sold(exchange, "0.4")
        rig.gateway.push()
        desk = rig.parts.executor.desks["BTCUSDT"]
        await rig.until(lambda: desk.is_foreign)
        assert desk.position.spot_quantity == Decimal("1.000000998")
        assert desk.is_hedged


def sold(exchange: Exchange, quantity: str) -> None:
    """A person sells coins by hand."""
    exchange.place(
        OrderRequest("spot", "BTCUSDT", "Sell", "Limit", Decimal(quantity), Decimal("9999.5"))
    )


async def test_a_short_alone_is_taken_back_although_somebody_else_trades(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await opened(rig)
        desk = rig.parts.executor.desks["BTCUSDT"]
        desk.is_foreign = True
        desk.position = replace(desk.position, spot_quantity=Decimal("0.5"))
        plans = await rig.finished(2)
        assert (plans[1]["reason"], desk.position.perp_quantity) == ("residual", Decimal("-0.5"))


async def test_a_leg_that_stays_alone_is_told_and_then_paged(
    pool: WritePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(pool, venue()) as rig:
        desk = rig.parts.executor.desks["BTCUSDT"]
        residuals: Residuals = rig.parts.residuals
        for seconds, alarms in ((14, []), (16, ["leg_alone"]), (61, ["leg_alone", "naked"])):
            monkeypatch.setattr(type(desk), "unhedged_for", Decimal(seconds))
            await residuals.look()
            rows = await rig.rows(
                "SELECT convert_from(body, 'UTF8')::jsonb ->> 'name' AS name FROM ops.outbox "
                "WHERE convert_from(body, 'UTF8') LIKE '%alarm_raised%' ORDER BY sequence"
            )
            assert [str(r["name"])[: len(a)] for r, a in zip(rows, alarms, strict=True)] == alarms
            kills = await rig.rows("SELECT level, reason FROM execution.kill")
            assert [k["level"] for k in kills] == ([2] if seconds > 60 else [])


async def test_while_the_venue_does_not_answer_nothing_is_opened_anywhere(pool: WritePool) -> None:
    exchange = venue("BTC", "ETH")
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        gateway.before.append(lost)
        gateway.is_reachable = False
        await rig.want("1")
        await rig.until(lambda: rig.parts.guard.differs)
        await rig.want("1", "ETH", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        await rig.finished(1, idle=False)
        gateway.is_reachable = True
        plans = await rig.finished(2)
        by_pair = {str(p["pair"]): p for p in plans}
        assert str(by_pair["ETHUSDT"]["reason"]).startswith("ledger_differs")
        assert by_pair["BTCUSDT"]["state"] == "hedged"


async def test_a_reduction_that_is_told_before_the_fill_it_reduces_is_ours(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        desk = rig.parts.executor.desks["BTCUSDT"]
        desk.orders["ours"] = Tracked(
            "ours", "plan", Leg.PERP, Category.LINEAR, "BTCUSDT", INSTANT, "correlation"
        )
        desk.correlation_id = "correlation"
        exchange.place(
            OrderRequest("linear", "BTCUSDT", "Sell", "Limit", Decimal("0.4"), Decimal("9999.5"))
        )
        deleverage(exchange, "BTCUSDT", Decimal("0.1"), Decimal(10_000))
        exchange.drain()
        taken = execution_report(exchange.executions[-1])
        assert taken.exec_type == "AdlTrade"
        desk.receive(taken)
        await desk.drained()
        assert desk.position.perp_quantity == Decimal("0.1")
        assert not desk.is_foreign
        desk.orders.clear()
