"""The executor on a real database: pairs opened and closed, and what goes wrong in between.

One bitcoin at 9,999.5 / 10,000.5 on both legs. A spot buy for 1 net is ceil(1 / 0.999, 1e-6) =
1.001002; its fee of 0.1 % is 0.001001002, so 1.000000998 arrive.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.executor.audit import audit
from shared.domain.errors import InvariantViolation, OrderRejected
from shared.domain.policy import ExecutionPolicy
from shared.domain.position import PairState
from shared.domain.risk import RiskLimits
from shared.store.pool import WritePool
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from tests.support.executor import Rig, books, running, venue
from tests.support.fake_gateway import FakeGateway, lost, not_taken, refused
from tests.support.markets import INSTANT

NET_OF_FEE = Decimal("1.000000998")


def owned(rig: Rig, base: str = "BTC") -> tuple[Decimal, Decimal]:
    position = rig.parts.executor.desks[f"{base}USDT"].position
    return position.spot_quantity, position.perp_quantity


async def assert_books_agree(rig: Rig) -> None:
    """Ledger, fills and positions equal the venue's, to the last digit, and the chain holds."""
    assert await rig.ledger_difference() == {}
    fills = await rig.rows("SELECT exec_id FROM execution.fill")
    assert {f["exec_id"] for f in fills} == {e.exec_id for e in rig.exchange.executions}
    stored = await rig.rows("SELECT pair, perp_quantity FROM execution.position")
    for row in stored:
        position = rig.exchange.positions.get(str(row["pair"]))
        assert row["perp_quantity"] == (position.size if position else 0)
    async with rig.pool.acquire() as connection:
        assert (await audit(connection)).is_clean
    assert not rig.parts.guard.differs


async def test_a_target_is_opened_hedged_and_closed_again(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await rig.want("1")
        (opened,) = await rig.finished(1)
        assert opened["state"] == "hedged"
        assert owned(rig) == (NET_OF_FEE, Decimal(-1))
        assert rig.parts.executor.desks["BTCUSDT"].state is PairState.HEDGED
        await assert_books_agree(rig)

        await rig.want("0", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        closed = (await rig.finished(2))[1]
        assert closed["state"] == "flat"
        # 1.000000998 floored to the step of 0.000001 is sold; the dust stays the pair's own.
        assert owned(rig) == (Decimal("0.000000998"), Decimal(0))
        await assert_books_agree(rig)

        attempts = await rig.rows("SELECT * FROM execution.attempt ORDER BY created_at")
        assert [(a["category"], a["side"], a["state"]) for a in attempts] == [
            ("spot", "Buy", "filled"),
            ("linear", "Sell", "filled"),
            ("spot", "Sell", "filled"),
            ("linear", "Buy", "filled"),
        ]
        assert attempts[0]["quantity"] == Decimal("1.001002")
        assert [a["reduce_only"] for a in attempts] == [False, False, False, True]
        assert all(a["order_id"] and a["correlation_id"] == "correlation" for a in attempts)


async def test_dust_of_an_earlier_pair_counts_as_owned_at_the_next_opening(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        for number, quantity in enumerate(("1", "0", "1")):
            await rig.want(quantity, minutes=number)
            rig.quote(INSTANT + timedelta(minutes=number))
            await rig.finished(number + 1)
        attempts = await rig.rows(
            "SELECT quantity FROM execution.attempt WHERE category = 'spot' ORDER BY created_at"
        )
        # (1 - 0.000000998) / 0.999 = 1.00100000200..., up to the step: one step less than before.
        assert attempts[2]["quantity"] == Decimal("1.001001")
        await assert_books_agree(rig)


async def test_events_tell_the_plan_its_fills_and_its_end(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await rig.want("1")
        await rig.finished(1)
        rows = await rig.rows(
            "SELECT convert_from(body, 'UTF8')::jsonb ->> 'type' AS tag FROM ops.outbox "
            "WHERE stream = 'execution.events' ORDER BY sequence"
        )
        said = await rig.rows("SELECT body ->> 'status' AS status FROM execution.venue_event")
        assert sorted(str(row["status"]) for row in said) == ["Filled", "Filled", "None", "None"]
        assert [r["tag"] for r in rows] == [
            "plan_started.v1",
            "fill_booked.v1",
            "fill_booked.v1",
            "plan_finished.v1",
        ]


async def test_a_rejected_second_leg_is_tried_again_and_then_unwound(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.before.extend([None, refused, refused, refused])
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "flat"
        assert owned(rig) == (Decimal("0.000000998"), Decimal(0))
        attempts = await rig.rows("SELECT purpose, state FROM execution.attempt ORDER BY number")
        assert [(a["purpose"], a["state"]) for a in attempts] == [
            ("first", "filled"),
            ("hedge", "rejected"),
            ("hedge", "rejected"),
            ("hedge", "rejected"),
            ("unwind", "filled"),
        ]
        assert Decimal(str(plan["unhedged_seconds"])) > 0
        await assert_books_agree(rig)


async def test_the_hedge_of_a_partial_first_leg_follows_its_net_receipts(pool: WritePool) -> None:
    exchange = venue()
    books(exchange, "spot", size="0.4")  # 0.4 is bought, 0.0004 of it is the fee: 0.3996 arrive
    async with running(pool, exchange) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        assert owned(rig) == (Decimal("0.3996"), Decimal("-0.399"))
        first = (await rig.rows("SELECT state, filled_quantity FROM execution.attempt"))[0]
        assert first == {"state": "cancelled", "filled_quantity": Decimal("0.4")}
        await assert_books_agree(rig)


async def test_a_lost_reply_is_found_by_the_orders_own_id_and_not_sent_again(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.after.append(lost)
    gateway.copies = 0  # the private stream is mute as well: only reads can tell
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        assert len(gateway.placed) == 2
        assert len({ticket.link_id for ticket in gateway.placed}) == 2
        await assert_books_agree(rig)


async def test_an_order_that_never_arrived_is_proven_absent_before_the_next_is_sent(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.before.extend([None, lost, lost, lost, lost])  # every repetition is lost as well
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        attempts = await rig.rows("SELECT * FROM execution.attempt ORDER BY number")
        assert [a["state"] for a in attempts] == ["filled", "absent", "filled"]
        assert [a["sends"] for a in attempts] == [1, 4, 1]
        waited = attempts[2]["signed_at"] - attempts[1]["signed_at"]  # type: ignore[operator]
        assert waited >= timedelta(seconds=0.25)  # the fence of 0.2 s and two proofs 0.05 s apart
        await assert_books_agree(rig)


async def test_an_order_the_venue_did_not_take_is_sent_again_under_its_own_id(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.before.append(not_taken)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        attempts = await rig.rows("SELECT state, sends FROM execution.attempt ORDER BY number")
        assert [(a["state"], a["sends"]) for a in attempts] == [("filled", 2), ("filled", 1)]
        await assert_books_agree(rig)


async def test_an_order_that_never_arrived_is_sent_again_under_its_own_id(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.before.extend([None, lost])
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        attempts = await rig.rows("SELECT state, sends FROM execution.attempt ORDER BY number")
        assert [(a["state"], a["sends"]) for a in attempts] == [("filled", 1), ("filled", 2)]
        await assert_books_agree(rig)


async def test_an_order_that_arrives_after_its_repetition_is_one_order(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.before.extend([None, lost])
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
        late = gateway.placed[1]
        with pytest.raises(OrderRejected, match="110072"):
            await gateway.place_order(late, INSTANT)
        assert owned(rig) == (NET_OF_FEE, Decimal(-1))
        await assert_books_agree(rig)


async def test_a_refusal_of_a_second_send_proves_nothing_about_the_first(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    # The hedge's first send fills, its answer says "not taken"; the second send is refused.
    gateway.after.extend([None, not_taken])
    gateway.before.extend([None, None, refused])
    gateway.copies = 0
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        attempts = await rig.rows("SELECT state, sends FROM execution.attempt ORDER BY number")
        assert [(a["state"], a["sends"]) for a in attempts] == [("filled", 1), ("filled", 2)]
        assert owned(rig) == (NET_OF_FEE, Decimal(-1))
        await assert_books_agree(rig)


async def test_a_large_target_is_sliced_and_stays_together(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        books(exchange, "spot", size="0.5")
        books(exchange, "linear", size="0.6")
        rig.quote()
        filler = asyncio.create_task(refill(exchange, gateway))
        await rig.want("1.1")
        (plan,) = await rig.finished(1)
        filler.cancel()
        assert (plan["state"], plan["mode"]) == ("hedged", "sliced")
        assert str(plan["mode_reason"]).startswith("sliced is cheapest: taker 0.00")
        spot, perp = owned(rig)
        assert perp == Decimal("-1.1")
        assert Decimal("1.1") <= spot < Decimal("1.101")
        assert [t.category.value for t in gateway.placed] == ["spot", "linear"] * 3
        await assert_books_agree(rig)


async def refill(exchange: Exchange, gateway: FakeGateway) -> None:
    """Put back what each order took, as makers do."""
    count = 0
    while True:
        count += 1
        await gateway.sent(count)
        books(exchange, "spot", size="0.5")
        books(exchange, "linear", size="0.6")


RESTING = ExecutionPolicy(maker_seconds=Decimal("0.4"))


async def alive(pool: WritePool) -> None:
    await pool_execute(
        pool,
        "INSERT INTO ops.heartbeat (service, ready, detail, seen_at) "
        "VALUES ('watchdog', true, '', now())",
    )


async def test_a_resting_first_leg_is_hedged_fill_by_fill_and_the_rest_is_taken(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    await alive(pool)
    async with running(pool, exchange, gateway, execution=RESTING) as rig:
        books(exchange, "linear", size="20")  # the thinner one: the perpetual goes first
        rig.quote()
        await rig.want("1")
        await gateway.sent(1)
        # Somebody buys 0.4 of the short that we offer at 10,000.5.
        books(exchange, "linear", bid="10000.5", ask="10001", size="0.4")
        books(exchange, "linear", size="20")
        gateway.push()
        (plan,) = await rig.finished(1)
        assert (plan["state"], plan["mode"]) == ("hedged", "maker")
        fills = await rig.rows(
            "SELECT category, quantity, is_maker FROM execution.fill ORDER BY booked_at, category"
        )
        assert fills[0] == {"category": "linear", "quantity": Decimal("0.4"), "is_maker": True}
        placed = [(t.category.value, t.rests) for t in gateway.placed]
        assert placed == [("linear", True), ("spot", False), ("linear", False), ("spot", False)]
        assert owned(rig)[1] == Decimal(-1)
        assert exchange.open_orders == []
        await assert_books_agree(rig)


async def test_nothing_rests_while_the_hedge_of_what_it_brought_is_in_doubt(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.before.extend((None, lost, lost, lost, lost))
    await alive(pool)
    patient = replace(RESTING, maker_seconds=Decimal(60))
    async with running(pool, exchange, gateway, execution=patient) as rig:
        books(exchange, "linear", size="20")
        rig.quote()
        await rig.want("1")
        await gateway.sent(1)
        books(exchange, "linear", bid="10000.5", ask="10001", size="0.4")
        books(exchange, "linear", size="20")
        gateway.push()
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        assert exchange.open_orders == []
        await assert_books_agree(rig)


async def test_nothing_rests_while_no_watchdog_lives(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange, execution=RESTING) as rig:
        books(exchange, "linear", size="20")
        rig.quote()
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["mode"] == "taker"


async def test_a_resting_order_of_a_crashed_executor_is_cancelled_before_anything_else(
    pool: WritePool,
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    await alive(pool)
    patient = ExecutionPolicy(maker_seconds=Decimal(60))
    async with running(pool, exchange, gateway, execution=patient, release=False) as rig:
        books(exchange, "linear", size="20")
        rig.quote()
        await rig.want("1")
        await gateway.sent(1)
    await pool_execute(pool, "UPDATE execution.lease SET expires_at = now() - interval '1 s'")
    async with running(pool, exchange, gateway, owner="two") as rig:
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        states = await rig.rows("SELECT state FROM execution.attempt ORDER BY number")
        assert [s["state"] for s in states] == ["cancelled", "filled", "filled"]
        await assert_books_agree(rig)


async def test_everything_said_three_times_is_booked_once(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.copies = 3
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
        await asyncio.sleep(0.05)
        assert owned(rig) == (NET_OF_FEE, Decimal(-1))
        assert len(await rig.rows("SELECT 1 FROM execution.fill")) == 2
        await assert_books_agree(rig)


async def test_an_intent_delivered_twice_makes_one_plan(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        wanted = rig.message("1")
        await rig.deliver(wanted)
        await rig.deliver(wanted)
        assert len(await rig.finished(1)) == 1
        assert len(rig.gateway.placed) == 2


@pytest.mark.parametrize("crash_after", [1, 2])
async def test_a_crash_between_the_legs_ends_hedged_exactly_once(
    pool: WritePool, crash_after: int
) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    gateway.copies = 0  # the crashed one learns nothing of what it sent
    async with running(pool, exchange, gateway, release=False) as rig:
        await rig.want("1")
        await gateway.sent(crash_after)
    gateway.copies = 1
    await pool_execute(pool, "UPDATE execution.lease SET expires_at = now() - interval '1 s'")
    async with running(pool, exchange, gateway, owner="two") as rig:
        (plan,) = await rig.finished(1)
        assert plan["state"] == "hedged"
        assert owned(rig) == (NET_OF_FEE, Decimal(-1))
        assert len(gateway.placed) == 2
        assert rig.parts.lease.epoch == 2
        await assert_books_agree(rig)


async def test_an_executor_that_lost_its_lease_sends_and_writes_nothing_more(
    pool: WritePool,
) -> None:
    exchange = venue()
    async with running(pool, exchange, release=False) as rig:
        await pool_execute(pool, "UPDATE execution.lease SET epoch = epoch + 1")
        with pytest.raises(InvariantViolation, match="another's now"):
            await rig.want("1")
        ended, going = await asyncio.wait(rig.tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert {str(task.exception()) for task in ended} == {
            "the executor's lease of epoch 1 is another's now"
        }
        rig.tasks = list(going)
    assert len(exchange.orders) == 0


async def test_a_newer_target_takes_over_from_a_plan_that_waits(pool: WritePool) -> None:
    exchange = venue()
    exchange.set_book("linear", "BTCUSDT", [], [])  # no perpetual book: the plan cannot start
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.want("0", minutes=1)
        books(exchange, "linear")
        rig.quote(INSTANT + timedelta(minutes=1))
        plans = await rig.finished(2, seconds=15)
        assert [(p["state"], p["reason"]) for p in plans] == [
            ("refused", "superseded"),
            ("flat", "worth_opening"),
        ]
        assert rig.gateway.placed == []


async def test_a_target_over_the_limit_is_refused_with_its_reason(pool: WritePool) -> None:
    async with running(pool, venue(), limits=RiskLimits(pair_notional=Decimal(9_999))) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["state"] == "refused"
        assert str(plan["reason"]).startswith("pair_limit")
        assert rig.gateway.placed == []


async def test_a_kill_stops_openings_and_lets_closings_through(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await rig.want("1")
        await rig.finished(1)
        await pool_execute(
            pool,
            "INSERT INTO execution.kill (level, reason, pressed_by, pressed_at) "
            "VALUES (1, 'test', 'me', now())",
        )
        await rig.want("2", minutes=1)
        await rig.want("0", minutes=2)
        rig.quote(INSTANT + timedelta(minutes=2))
        plans = await rig.finished(3)
        assert plans[1]["state"] == "refused"
        assert plans[2]["state"] == "flat"
        await assert_books_agree(rig)


async def test_a_strangers_trade_is_booked_as_foreign_and_stops_opening(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        exchange.place(
            OrderRequest("spot", "BTCUSDT", "Buy", "Limit", Decimal("0.1"), Decimal("10000.5"))
        )
        rig.gateway.push()
        await rig.parts.bookkeeper.read()
        assert owned(rig) == (NET_OF_FEE, Decimal(-1))  # what a stranger bought is not the pair's
        foreign = await rig.rows(
            "SELECT quantity FROM execution.fill WHERE correlation_id = 'foreign'"
        )
        assert foreign == [{"quantity": Decimal("0.1")}]
        assert await rig.ledger_difference() == {}
        await rig.want("2", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        plans = await rig.finished(2)
        assert str(plans[1]["reason"]).startswith("ledger_differs")


async def test_a_residual_without_a_plan_is_taken_back(pool: WritePool) -> None:
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway) as rig:
        await rig.want("1")
        await rig.finished(1)
        # The venue takes half the short away, as in an auto-deleveraging.
        exchange.place(
            OrderRequest(
                "linear", "BTCUSDT", "Buy", "Limit", Decimal("0.5"), Decimal("10000.5"),
                reduce_only=True,
            )
        )  # fmt: skip
        exchange.drain()
        taken = replace(exchange.executions[-1], exec_type="AdlTrade")
        exchange._account.executions[-1] = taken
        await rig.parts.bookkeeper.read()
        assert owned(rig) == (NET_OF_FEE, Decimal("-0.5"))
        plans = await rig.finished(2)  # the loop looks each second
        assert (plans[1]["state"], plans[1]["reason"]) == ("hedged", "residual")
        assert owned(rig) == (Decimal("0.500000998"), Decimal("-0.5"))
        await assert_books_agree(rig)


async def pool_execute(pool: WritePool, statement: str) -> None:
    async with pool.acquire() as connection:
        await connection.execute(statement)
