"""The risk gate: each guard fires and is named on the plan (trap 37); a close is never refused."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.executor.gate import Gate
from shared.domain.errors import InvariantViolation
from shared.domain.risk import RiskLimits
from shared.store.plans import PlanRow
from shared.store.pool import WritePool
from tests.support.bus import until
from tests.support.executor import Rig, running, venue
from tests.support.fake_gateway import FakeGateway, lost
from tests.support.markets import INSTANT, MIDNIGHT

# One lot of everything, so that any plan at all exceeds them; a bitcoin is worth 10,000.
LEAST: dict[str, dict[str, Any]] = {
    "pair_limit": {"pair_notional": Decimal(9_999)},
    "gross_limit": {"gross_notional": Decimal(9_999)},
    "order_rate": {"orders_per_hour": 1},
    "throttle": {"plans_per_hour": 1},
    "fee_rate": {"fees_per_hour": Decimal("15.5")},
    "daily_loss": {"daily_loss": Decimal(1)},
    "collar": {"collar": Decimal("0.0005")},  # the order's band is 0.001
    "settlement_window": {"before_settlement": timedelta(hours=8)},
}


async def opened_then(
    rig: Rig, quantity: str = "1.5", base: str = "BTC"
) -> tuple[str, str, list[dict[str, object]]]:
    """Open one bitcoin, then want more; return how that ended, and the kills that stand."""
    await rig.want("1")
    await rig.finished(1)
    await rig.want(quantity, base, minutes=1)
    rig.quote(INSTANT + timedelta(minutes=1))
    plan = (await rig.finished(2))[1]
    kills = await rig.rows("SELECT level, reason FROM execution.kill")
    return str(plan["state"]), str(plan["reason"]), kills


@pytest.mark.parametrize("name", ["pair_limit", "gross_limit", "collar", "settlement_window"])
async def test_an_opening_beyond_a_limit_is_refused_by_its_name(pool: WritePool, name: str) -> None:
    async with running(pool, venue(), limits=RiskLimits(**LEAST[name])) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert (plan["state"], str(plan["reason"]).partition(":")[0]) == ("refused", name)
        assert rig.gateway.placed == []
        assert await rig.rows("SELECT 1 FROM execution.attempt") == []
        assert await rig.rows("SELECT 1 FROM execution.kill") == []


@pytest.mark.parametrize("name", ["throttle", "fee_rate"])
async def test_h7_trap_14_a_throttle_disarms_until_a_person_has_looked(
    pool: WritePool, name: str
) -> None:
    async with running(pool, venue(), limits=RiskLimits(**LEAST[name])) as rig:
        state, reason, kills = await opened_then(rig, "1.1")
        assert (state, reason.partition(":")[0]) == ("refused", name)
        assert kills == [{"level": 1, "reason": reason}]
        await rig.want("1.2", minutes=2)
        rig.quote(INSTANT + timedelta(minutes=2))
        third = (await rig.finished(3))[2]
        assert str(third["reason"]).startswith("killed: kill 1 of level 1: " + name)
        assert len(rig.gateway.placed) == 2


async def test_round_trips_of_a_pair_are_throttled(pool: WritePool) -> None:
    limits = RiskLimits(round_trips_per_hour=1)
    async with running(pool, venue(), limits=limits) as rig:
        for number, quantity in enumerate(("1", "0", "1")):
            await rig.want(quantity, minutes=number)
            rig.quote(INSTANT + timedelta(minutes=number))
            plans = await rig.finished(number + 1)
        assert str(plans[2]["reason"]).startswith("throttle: 1 round trips of the pair in an hour")


async def test_orders_of_an_hour_are_limited(pool: WritePool) -> None:
    async with running(pool, venue(), limits=RiskLimits(**LEAST["order_rate"])) as rig:
        state, reason, kills = await opened_then(rig)
        # The hedge of the first plan was the second order: what reduces risk is not held up.
        assert (state, reason) == ("refused", "order_rate: 2 orders in an hour, 1 allowed")
        assert kills == []


async def test_a_days_loss_disarms(pool: WritePool) -> None:
    async with running(pool, venue(), limits=RiskLimits(**LEAST["daily_loss"])) as rig:

        async def recorded() -> int:
            return len(await rig.rows("SELECT 1 FROM ledger.equity"))

        await until(recorded, 1)
        await rig.want("1")
        await rig.finished(1)
        rig.quote(INSTANT + timedelta(minutes=1))
        await until(recorded, 2)
        # Fees and spread of the opening: 10.01 of coin and 5.5 USDT, 0.5 and 0.5 from the mids.
        await rig.want("1.1", minutes=1)
        plan = (await rig.finished(2))[1]
        assert str(plan["reason"]).startswith("daily_loss: 16.")
        (kill,) = await rig.rows("SELECT level, reason FROM execution.kill")
        assert kill == {"level": 1, "reason": plan["reason"]}


async def test_rejects_of_a_minute_are_limited(pool: WritePool) -> None:
    async with running(pool, venue(), limits=RiskLimits(rejects_per_minute=1)) as rig:
        await rig.want("1")
        await rig.finished(1)
        await rig.rows(
            "INSERT INTO execution.attempt SELECT (jsonb_populate_record(a, "
            """'{"link_id": "no", "state": "submitting"}')).* FROM execution.attempt a LIMIT 1"""
        )
        await rig.rows(
            "UPDATE execution.attempt SET state = 'rejected', updated_at = clock_timestamp() "
            "WHERE link_id = 'no'"
        )
        await rig.want("1.1", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        plan = (await rig.finished(2))[1]
        assert plan["reason"] == "reject_rate: 1 rejects in a minute, 1 allowed"


async def test_what_the_account_cannot_pay_is_refused(pool: WritePool) -> None:
    # 1 x 10,000 and 2 % are 10,200
    async with running(pool, venue(deposit="10199.99")) as rig:
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert plan["reason"] == "margin: 10200.00 USDT needed, 10199.99 allowed"


async def test_o8_an_order_in_doubt_of_one_pair_narrows_the_room_of_another(
    pool: WritePool,
) -> None:
    exchange = venue("BTC", "ETH")
    gateway = FakeGateway(exchange)
    gateway.before.append(lost)
    gateway.copies = 0
    limits = RiskLimits(gross_notional=Decimal(20_000))
    async with running(pool, exchange, gateway, limits=limits) as rig:
        await rig.want("1")
        await until(lambda: rig.rows("SELECT state FROM execution.attempt"), [{"state": "unknown"}])
        # 1.001002 x 10,010.5 = 10,020.53 may be bought already; another 10,000 are too many.
        await rig.want("1", "ETH")
        plans = await rig.finished(2)
        ended = {str(p["pair"]): str(p["reason"]) for p in plans}
        assert ended["ETHUSDT"].startswith("gross_limit: 20020.53")
        assert ended["BTCUSDT"] == "worth_opening"


async def test_two_openings_at_once_do_not_share_the_room_of_one(pool: WritePool) -> None:
    exchange = venue("BTC", "ETH")
    limits = RiskLimits(gross_notional=Decimal(15_000))
    async with running(pool, exchange, limits=limits) as rig:
        await rig.want("1")
        await rig.want("1", "ETH")
        plans = await rig.finished(2)
        assert sorted(str(p["state"]) for p in plans) == ["hedged", "refused"]


async def test_h6_orders_claimed_at_once_do_not_share_the_room_of_one(
    pool: WritePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four plans begin before any of them has sent; then one order an hour is allowed."""
    bases = ("BTC", "ETH", "SOL", "XRP")
    exchange = venue(*bases)
    claim, waiting, all_begun = Gate.claim, set[str](), asyncio.Event()

    async def claim_once_all_have_begun(gate: Gate, plan: PlanRow, *of: Any, adds: bool) -> Any:
        waiting.add(plan.id)
        if len(waiting) == len(bases):
            all_begun.set()
        await all_begun.wait()
        return await claim(gate, plan, *of, adds=adds)

    monkeypatch.setattr(Gate, "claim", claim_once_all_have_begun)
    async with running(pool, exchange, limits=RiskLimits(orders_per_hour=1)) as rig:
        for base in bases:
            await rig.want("1", base)
        plans = await rig.finished(4)
        assert sorted(str(p["state"]) for p in plans) == ["hedged", *["refused"] * 3]


async def test_a_paused_pair_opens_nothing_and_the_others_go_on(pool: WritePool) -> None:
    exchange = venue("BTC", "ETH")
    async with running(pool, exchange) as rig:
        await rig.rows(
            "INSERT INTO execution.kill (level, pair, reason, pressed_by, pressed_at) "
            "VALUES (0, 'BTCUSDT', 'odd book', 'me', now())"
        )
        await rig.want("1")
        await rig.want("1", "ETH")
        plans = {str(p["pair"]): p for p in await rig.finished(2)}
        assert plans["BTCUSDT"]["reason"] == "killed: kill 1 of level 0: odd book"
        assert plans["ETHUSDT"]["state"] == "hedged"


async def test_a_kill_between_start_and_first_order_stops_that_order(
    pool: WritePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim reads the kill again: here it is pressed inside the plan's own beginning."""
    async with running(pool, venue()) as rig:
        begin = rig.parts.journal.begin

        async def begin_and_kill(*arguments: Any) -> bool:
            begun = await begin(*arguments)
            await rig.rows(
                "INSERT INTO execution.kill (level, reason, pressed_by, pressed_at) "
                "VALUES (1, 'now', 'me', now())"
            )
            return begun

        monkeypatch.setattr(rig.parts.journal, "begin", begin_and_kill)
        await rig.want("1")
        (plan,) = await rig.finished(1)
        assert (plan["state"], plan["reason"]) == ("refused", "killed: kill 1 of level 1: now")
        assert rig.gateway.placed == []


async def test_r9_trap_15_a_close_goes_out_with_no_money_and_every_limit_exceeded(
    pool: WritePool,
) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
    least = {name: value for changes in LEAST.values() for name, value in changes.items()}
    least |= {"round_trips_per_hour": 1, "rejects_per_minute": 1, "pair_notional": Decimal(1)}
    owner = exchange._account.wallet
    owner["USDT"] -= Decimal(200_000)  # a debt: the venue's balance is below zero
    async with running(pool, exchange, limits=RiskLimits(**least), owner="two") as rig:
        await rig.parts.reconciler.sweep()
        assert rig.parts.guard.differs
        await rig.rows(
            "INSERT INTO execution.kill (level, reason, pressed_by, pressed_at) "
            "VALUES (1, 'drill', 'me', now())"
        )
        await rig.want("0", minutes=1)
        rig.quote(MIDNIGHT + timedelta(hours=7, minutes=59))  # inside the settlement window
        plan = (await rig.finished(2))[1]
        assert plan["state"] == "flat"
        assert exchange.positions["BTCUSDT"].size == 0


async def test_a10_a_short_next_in_line_to_be_deleveraged_is_told_and_not_added_to(
    pool: WritePool,
) -> None:
    async with running(pool, venue("BTC", "ETH")) as rig:
        desk, rank = rig.parts.executor.desks["BTCUSDT"], rig.metrics.adl_rank
        await rig.want("1")
        await rig.finished(1)
        rig.gateway.adl_rank = 3
        await rig.parts.reconciler.sweep()
        assert (desk.adl_rank, await rig.alarms()) == (3, [])
        rig.gateway.adl_rank = 4
        await rig.parts.reconciler.sweep()
        shown = [rank.labels(pair=name)._value.get() for name in ("BTCUSDT", "ETHUSDT")]
        assert (shown, await rig.alarms()) == ([4, 0], ["adl_rank"])
        await rig.want("1.5", minutes=1)
        await rig.want("1", "ETH", minutes=1)
        rig.quote(INSTANT + timedelta(minutes=1))
        plans = {p["pair"]: p for p in (await rig.finished(3))[1:]}
        assert str(plans["BTCUSDT"]["reason"]).startswith("adl_rank: the short is at 4 of 5")
        assert plans["ETHUSDT"]["state"] == "hedged"
        await rig.want("0", minutes=2)
        rig.quote(INSTANT + timedelta(minutes=2))
        assert (await rig.finished(4))[3]["state"] == "flat"
        await rig.parts.reconciler.sweep()
        assert desk.adl_rank == 0


async def test_a10_the_place_in_the_line_is_known_before_the_first_order(pool: WritePool) -> None:
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
    gateway = FakeGateway(exchange)
    gateway.adl_rank = 5
    async with running(pool, exchange, gateway, owner="two") as rig:
        assert rig.parts.executor.desks["BTCUSDT"].adl_rank == 5


async def test_d1_the_age_of_the_books_is_stored_with_each_order(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        _, perp = rig.quotes(rig.market.pairs["BTCUSDT"])
        later = msgspec.structs.replace(perp, venue_at=perp.venue_at + timedelta(seconds=2))
        rig.market.quoted([later])
        await rig.want("1")
        await rig.finished(1)
        rows = await rig.rows(
            "SELECT book_behind_seconds, book_silent_seconds FROM execution.attempt"
        )
        assert [row["book_behind_seconds"] for row in rows] == [2, 2]
        assert all(0 <= Decimal(str(row["book_silent_seconds"])) < 10 for row in rows)


async def test_o12_an_illegal_transition_forbids_new_risk_and_halts(pool: WritePool) -> None:
    async with running(pool, venue()) as rig:
        await rig.want("1")
        await rig.finished(1)
        with pytest.raises(InvariantViolation, match='from "filled" to "live"'):
            async with rig.parts.journal.transaction() as connection:
                await connection.execute("UPDATE execution.attempt SET state = 'live'")
        (kill,) = await rig.rows("SELECT level, reason, pressed_by FROM execution.kill")
        assert (kill["level"], kill["pressed_by"]) == (1, "executor")
        assert str(kill["reason"]).startswith("illegal: illegal transition of attempt")
        assert {row["state"] for row in await rig.rows("SELECT state FROM execution.attempt")} == {
            "filled"
        }
