"""The kill switch at work (R8, K1-K3, CP 18): straight from the table, with nobody else alive."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from services.executor import executor
from shared.domain.errors import Misconfigured, OrderRejected
from shared.domain.risk import RiskLimits
from shared.store.pool import WritePool
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from tests.support.bus import until
from tests.support.executor import Rig, books, running, venue
from tests.support.fake_gateway import FakeGateway, lost, refused
from tests.support.markets import INSTANT


async def press(pool: WritePool, level: int) -> float:
    """Press the switch; return when it was committed."""
    async with pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO execution.kill (level, reason, pressed_by, pressed_at) "
            "VALUES ($1, 'drill', 'me', clock_timestamp())",
            level,
        )
    return time.monotonic()


def rest(exchange: Exchange, name: str, price: str = "9000") -> None:
    """Let an order of somebody's rest at the venue."""
    exchange.place(
        OrderRequest("spot", "BTCUSDT", "Buy", "Limit", Decimal("0.1"), Decimal(price), "GTC", name)
    )
    exchange.drain()


async def nothing_rests(exchange: Exchange) -> None:
    async def resting() -> int:
        return len(exchange.open_orders)

    await until(resting, 0, 5)


async def flat(rig: Rig, seconds: float = 15.0) -> None:
    """Wait until neither the venue nor we hold anything but dust."""

    async def held() -> Decimal:
        rig.raise_failures()
        perps = sum((abs(p.size) for p in rig.exchange.positions.values()), Decimal(0))
        desks = rig.parts.executor.desks.values()
        return perps + sum(
            (d.position.spot_quantity.quantize(Decimal("0.00001")) for d in desks), Decimal(0)
        )

    await until(held, Decimal(0), seconds)

    async def is_idle() -> bool:
        return rig.parts.executor.is_idle

    await until(is_idle, True, seconds)
    await rig.parts.bookkeeper.read()


async def test_level_2_cancels_all_that_rests_at_once_and_leaves_positions(
    pool: WritePool,
) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        for number in range(5):
            rest(exchange, f"somebody-{number}")
        pressed = await press(pool, 2)
        await nothing_rests(exchange)
        assert time.monotonic() - pressed < 0.25
        assert exchange.positions["BTCUSDT"].size == Decimal(-1)


async def test_level_2_cancels_again_what_comes_to_rest_while_it_stands(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await press(pool, 2)
        rest(exchange, "late")
        await nothing_rests(exchange)
        rig.raise_failures()


async def test_level_2_waits_for_a_venue_that_does_not_answer(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        rest(exchange, "somebody")
        gateway.is_reachable = False
        await press(pool, 2)
        await asyncio.sleep(0.3)
        assert len(exchange.open_orders) == 1
        gateway.is_reachable = True
        await nothing_rests(exchange)
        rig.raise_failures()


async def test_r8_level_3_flattens_both_legs_of_every_pair_and_stays(pool: WritePool) -> None:
    exchange = venue("BTC", "ETH")
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.want("1", "ETH")
        await rig.finished(2)
        await press(pool, 3)
        await flat(rig)
        plans = await rig.finished(4)
        assert [(p["reason"], p["state"]) for p in plans[2:]] == [("kill 1", "flat")] * 2
        closing = rig.gateway.placed[4:]
        assert {(t.category.value, t.side.value, t.reduce_only) for t in closing} == {
            ("spot", "Sell", False),
            ("linear", "Buy", True),
        }
        assert await rig.ledger_difference() == {}

        await rig.want("1", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        latched = (await rig.finished(5))[4]
        assert latched["reason"] == "killed: kill 1 of level 3: drill"


async def test_r8_an_order_that_cannot_be_cancelled_holds_up_no_closing(
    pool: WritePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        rest(exchange, "somebody")

        async def refuse(*_: object) -> None:
            raise OrderRejected(10001, "parameter error")

        monkeypatch.setattr(rig.gateway, "cancel_order", refuse)
        await press(pool, 3)
        await flat(rig)
        assert len(exchange.open_orders) == 1
        assert await rig.alarms() == ["kill_remains"]
        monkeypatch.undo()
        await nothing_rests(exchange)


async def test_r8_level_3_during_an_entry_in_doubt_ends_flat(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.after.append(lost)  # it was filled, and nobody says so
    gateway.copies = 0
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await gateway.sent(1)
        await press(pool, 3)
        await flat(rig)
        assert await rig.ledger_difference() == {}
        fills = await rig.rows("SELECT exec_id FROM execution.fill")
        assert {f["exec_id"] for f in fills} == {e.exec_id for e in exchange.executions}


async def test_r8_level_3_during_a_close_ends_flat(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
        gateway.after.append(lost)
        await rig.want("0", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        await gateway.sent(3)
        await press(pool, 3)
        await flat(rig)
        assert len(gateway.placed) == 4  # each leg closed once
        assert await rig.ledger_difference() == {}


async def test_o10_a_closing_is_worked_though_the_reply_to_its_commit_was_lost(
    pool: WritePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert: Any = vars(executor)["insert_plan"]
    losing: list[str] = []

    async def inserted(connection: Any, **plan: Any) -> bool:
        if plan["reason"] == "kill 1" and not losing:
            losing.append(plan["plan_id"])
        return bool(await insert(connection, **plan))

    monkeypatch.setattr(executor, "insert_plan", inserted)
    async with running(pool, venue()) as rig:
        await rig.want("1")
        await rig.finished(1)
        transaction = rig.parts.journal.transaction

        @asynccontextmanager
        async def silent() -> AsyncIterator[Any]:
            async with transaction() as connection:
                yield connection
            if losing and losing[-1]:
                losing.append("")
                raise asyncpg.ConnectionDoesNotExistError("the reply to the commit was lost")

        monkeypatch.setattr(rig.parts.journal, "transaction", silent)
        await press(pool, 3)
        await flat(rig)
        assert losing[1:] == [""]
        assert await rig.rows("SELECT id FROM execution.plan WHERE finished_at IS NULL") == []


async def test_r8_a_venue_that_rejects_is_tried_again_and_what_remains_is_said(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
        gateway.before.append(refused)  # the first plan of closing gets nowhere
        await press(pool, 3)
        await flat(rig)
        alarms = await rig.rows(
            "SELECT convert_from(body, 'UTF8')::jsonb ->> 'detail' AS said FROM ops.outbox "
            "WHERE convert_from(body, 'UTF8')::jsonb ->> 'name' = 'kill_remains'"
        )
        assert [alarm["said"] for alarm in alarms] == ["BTCUSDT spot 1.000000998 perp -1"]


async def test_r8_a_position_of_somebody_else_that_we_cannot_close_is_said(
    pool: WritePool,
) -> None:
    exchange = venue("BTC")
    async with running(pool, exchange) as rig:
        # The venue shows a position that no execution explains.
        rig.exchange.place(
            OrderRequest("linear", "BTCUSDT", "Sell", "Limit", Decimal("0.5"), Decimal("9999.5"))
        )
        exchange.drain()
        await press(pool, 3)
        said = "SELECT count(*) AS n FROM ops.outbox WHERE convert_from(body, 'UTF8') LIKE $1"

        async def alarms() -> object:
            return (await rig.rows(said, "%kill_remains%BTCUSDT -0.5%"))[0]["n"]

        await until(alarms, 1)


async def test_cp_18_a_kill_pressed_while_nobody_runs_is_the_first_thing_done(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
    rest(exchange, "somebody")
    await press(pool, 3)
    async with running(pool, exchange, gateway, owner="two") as rig:
        assert exchange.open_orders == []  # before it was armed
        await flat(rig)


async def test_cp_18_a_kill_that_was_cut_off_half_way_goes_on(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
    async with running(pool, exchange, gateway, owner="two", release=False):
        await press(pool, 3)
        await gateway.sent(3)  # one leg of the close is out
    async with pool.acquire() as connection:
        await connection.execute("UPDATE execution.lease SET expires_at = clock_timestamp()")
    async with running(pool, exchange, gateway, owner="three") as rig:
        await flat(rig)
        assert await rig.ledger_difference() == {}


async def test_level_4_ends_the_executor_which_does_not_come_back(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        await press(pool, 4)
        ended, going = await asyncio.wait(rig.tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        (error,) = {str(task.exception()) for task in ended}
        assert error == (
            "kill 1 of level 4: drill; the executor runs no more: start it with --safe-mode, "
            "or `carry lift 1`"
        )
        rig.tasks = list(going)
    with pytest.raises(Misconfigured, match="kill 1 of level 4: drill; the executor runs no more"):
        async with running(pool, exchange, owner="two"):
            pass
    rows = await rig.rows("SELECT epoch FROM execution.lease")
    assert rows == [{"epoch": 1}]  # the lease is left to the watchdog, who waits for its silence


async def test_level_4_lets_the_safe_mode_remove_what_stands_alone_and_flatten(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
    exchange.place(
        OrderRequest("linear", "BTCUSDT", "Buy", "Limit", Decimal("0.5"), Decimal("10000.5"),
                     reduce_only=True)
    )  # fmt: skip
    exchange._account.executions[-1] = replace(exchange.executions[-1], exec_type="AdlTrade")
    exchange.drain()
    books(exchange, "spot")
    await press(pool, 4)
    async with running(pool, exchange, gateway, owner="two", safe_mode=True) as rig:
        await flat(rig)
        assert await rig.ledger_difference() == {}


async def test_o9_an_order_in_doubt_for_too_long_forbids_new_risk(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    limits = RiskLimits(unknown_max=timedelta(seconds=0.2))
    async with running(pool, exchange, gateway, limits=limits) as rig:
        gateway.before.append(lost)
        await rig.want("1")
        await gateway_unreachable(gateway, rig)

        async def pressed() -> list[str]:
            rows = await rig.rows("SELECT reason FROM execution.kill")
            return [str(row["reason"]).partition(":")[0] for row in rows]

        await until(pressed, ["unknown"])
        gateway.is_reachable = True


async def gateway_unreachable(gateway: FakeGateway, rig: Rig) -> None:
    """Once the order is in doubt, let no read tell what became of it."""
    await until(lambda: rig.rows("SELECT state FROM execution.attempt"), [{"state": "unknown"}])
    gateway.is_reachable = False


async def test_m6_a_difference_found_twice_in_a_row_forbids_new_risk_until_lifted(
    pool: WritePool,
) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        wallet = exchange._account.wallet
        wallet["USDT"] += Decimal("0.01")

        async def kills() -> list[dict[str, object]]:
            return await rig.rows("SELECT level, reason FROM execution.kill")

        await rig.parts.reconciler._judge(["USDT"], at_once=False)
        await asyncio.sleep(1.2)  # more than one look
        assert await kills() == []
        await rig.parts.reconciler._judge(["USDT"], at_once=False)
        await until(kills, [{"level": 1, "reason": "reconciliation: venue: USDT"}])
        wallet["USDT"] -= Decimal("0.01")
        await rig.parts.reconciler.sweep()
        assert not rig.parts.guard.differs
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert str(plan["reason"]).startswith("killed: kill 1 of level 1: reconciliation")
