"""Start-up, the lease, and the comparison with the venue that never ends."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.executor.lease import Lease
from shared.domain.errors import InvariantViolation
from shared.runtime.clock import SystemClock
from shared.store.pool import WritePool
from shared.venue.records import OrderRequest
from tests.support.clock import ManualClock
from tests.support.executor import MS, books, running, venue
from tests.support.fake_gateway import FakeGateway
from tests.support.markets import INSTANT


async def test_a_new_leader_waits_for_the_old_ones_lease_to_run_out(pool: WritePool) -> None:
    first, second = (Lease(pool, SystemClock(), name, 4.25) for name in ("one", "two"))
    await first.take()
    assert not await second.try_to_take()
    assert await first.release()
    assert await second.try_to_take()
    assert (first.epoch, second.epoch) == (1, 2)


async def test_after_an_unclean_end_nothing_is_sent_for_the_settling_time(pool: WritePool) -> None:
    await Lease(pool, SystemClock(), "one", 4.25).take()
    async with pool.acquire() as connection:
        await connection.execute("UPDATE execution.lease SET expires_at = clock_timestamp()")
    clock = ManualClock(auto=True)
    second = Lease(pool, clock, "two", 4.25)
    await second.take()
    await second.settled()
    assert clock.slept == [4.25]
    assert await second.release()
    third = Lease(pool, clock, "three", 4.25)
    await third.take()
    await third.settled()
    assert clock.slept == [4.25, 0.0]


async def test_o14_a_holder_that_was_overtaken_commits_nothing(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await rig.rows("UPDATE execution.lease SET epoch = epoch + 1")
        with pytest.raises(InvariantViolation, match="another's now"):
            async with rig.parts.journal.transaction() as connection:
                await connection.execute("UPDATE execution.position SET perp_value = 1")
        (row,) = await rig.rows("SELECT perp_value FROM execution.position")
        assert row["perp_value"] == 0
        await rig.rows("UPDATE execution.lease SET epoch = epoch - 1")


async def test_the_lease_is_not_given_up_while_an_order_is_open(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await rig.want("1")
        await rig.finished(1)
        await rig.rows(
            "INSERT INTO execution.attempt SELECT (jsonb_populate_record(a, "
            '\'{"link_id": "open", "state": "submitting"}\')).* FROM execution.attempt a LIMIT 1'
        )
        assert not await rig.parts.lease.release()
        await rig.rows("UPDATE execution.attempt SET state = 'filled' WHERE link_id = 'open'")
        assert await rig.parts.lease.release()


async def test_a_position_held_before_us_is_nobodys_and_stops_nothing(pool: WritePool) -> None:
    exchange = venue("BTC")
    exchange.place(
        OrderRequest("linear", "BTCUSDT", "Sell", "Limit", Decimal("0.5"), Decimal("9999.5"))
    )
    exchange.drain()
    exchange.advance(MS + 1_000)
    async with running(pool, exchange) as rig:
        assert await rig.parts.reconciler.differences() == []
        desk = rig.parts.executor.desks["BTCUSDT"]
        assert (desk.position.perp_quantity, desk.is_foreign) == (Decimal(0), False)
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        assert exchange.positions["BTCUSDT"].size == Decimal("-1.5")
        await rig.want("0", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        plans = await rig.finished(2)
        assert plans[1]["state"] == "flat"
        assert exchange.positions["BTCUSDT"].size == Decimal("-0.5")
        assert await rig.parts.reconciler.differences() == []
        assert await rig.ledger_difference() == {}


async def test_a_difference_with_the_venue_is_named_and_cleared(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        wallet = exchange._account.wallet
        wallet["USDT"] += Decimal("0.01")
        assert await rig.parts.reconciler.differences() == [
            "USDT: ours 100000, the venue's 100000.01"
        ]
        await rig.parts.reconciler._judge(["USDT"], at_once=False)
        assert rig.parts.guard.differs
        wallet["USDT"] -= Decimal("0.01")
        await rig.parts.reconciler.sweep()
        assert not rig.parts.guard.differs


async def test_safe_mode_takes_up_no_plan_and_removes_what_stands_alone(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
    # Half of the short is gone while nobody runs, and an order of somebody's rests.
    exchange.place(
        OrderRequest("linear", "BTCUSDT", "Buy", "Limit", Decimal("0.5"), Decimal("10000.5"),
                     reduce_only=True)
    )  # fmt: skip
    exchange._account.executions[-1] = replace(exchange.executions[-1], exec_type="AdlTrade")
    exchange.place(
        OrderRequest("spot", "BTCUSDT", "Buy", "Limit", Decimal("0.1"), Decimal(9000), "GTC", "x")
    )
    exchange.drain()
    books(exchange, "spot")
    async with running(pool, exchange, gateway, safe_mode=True) as rig:
        assert exchange.open_orders == []
        await rig.parts.reconciler.sweep()
        plans = await rig.finished(2)
        assert (plans[1]["reason"], plans[1]["state"]) == ("residual", "hedged")
        assert len(gateway.placed) == 3
        assert await rig.ledger_difference() == {}
