"""What is at stake, worked by hand: orders in flight count at their worst (O8, H6), windows slide.

BTC marks 10,000, ETH 1,000; the collar is 2 %.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.risk import Stake
from shared.store.gate import Wish, lock_gate, read_stake
from shared.store.positions import ensure_positions
from tests.support.servers import Database, connected

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VENUE_AT = datetime(2023, 11, 11, 12, 1, tzinfo=UTC)
PRICES = {"BTCUSDT": Decimal(10_000), "ETHUSDT": Decimal(1_000)}
NOTHING = Wish("new", "BTCUSDT", Decimal(0), Decimal(0), Decimal(0))


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Any]:
    """The owner, past the rules on states: rows are put in the state that a test needs."""
    async with connected(database.owner_dsn) as connection:
        await connection.execute("SET timezone = 'UTC'; SET session_replication_role = replica")
        pairs = [("BTCUSDT", "BTC"), ("ETHUSDT", "ETH")]
        await ensure_positions(connection, pairs, NOW)
        yield connection


async def stake(store: Any, wish: Wish = NOTHING, prices: dict[str, Decimal] = PRICES) -> Stake:
    return await read_stake(
        store,
        wish,
        prices=prices,
        collar=Decimal("0.02"),
        rearmed_by=("throttle", "daily_loss"),
        venue_at=VENUE_AT,
        now=NOW,
    )


async def hold(store: Any, pair: str, spot: str, perp: str) -> None:
    await store.execute(
        "UPDATE execution.position SET spot_quantity = $2, perp_quantity = $3 WHERE pair = $1",
        pair,
        Decimal(spot),
        Decimal(perp),
    )


async def plan(
    store: Any,
    name: str,
    *,
    pair: str = "BTCUSDT",
    state: str = "working",
    target: str = "1",
    decided_at: datetime = VENUE_AT,
    created_at: datetime = NOW,
) -> None:
    await store.execute(
        "INSERT INTO execution.plan (id, intent_id, pair, target_quantity, first_leg, state, "
        "reason, spot_at_start, perp_at_start, unhedged_seconds, decided_at, correlation_id, "
        "created_at, finished_at) VALUES ($1, $1, $2, $3, 's', $4, 'r', 0, 0, 0, $5, 'c', $6, $7)",
        name,
        pair,
        Decimal(target),
        state,
        decided_at,
        created_at,
        None if state in ("planned", "working") else created_at,
    )


async def order(
    store: Any,
    plan_id: str,
    *,
    category: str = "spot",
    side: str = "Buy",
    state: str = "live",
    quantity: str = "1",
    price: str = "10010",
    filled: str = "0",
    updated_at: datetime = NOW,
) -> None:
    number = await store.fetchval("SELECT count(*) FROM execution.attempt")
    await store.execute(
        "INSERT INTO execution.attempt (link_id, plan_id, leg, number, category, symbol, side, "
        "quantity, limit_price, reduce_only, purpose, state, lease_epoch, sends, signed_at, "
        "filled_quantity, filled_value, correlation_id, created_at, updated_at) "
        "VALUES ($1, $2, 's', 1, $3, 'BTCUSDT', $4, $5, $6, false, 'first', $7, 1, 1, $8, $9, 0, "
        "'c', $8, $8)",
        f"order-{number}",
        plan_id,
        category,
        side,
        Decimal(quantity),
        Decimal(price),
        state,
        updated_at,
        Decimal(filled),
    )


async def fill(
    store: Any,
    name: str,
    *,
    fee: str = "0",
    currency: str = "USDT",
    venue_at: datetime = VENUE_AT,
    booked_at: datetime = NOW,
    exec_type: str = "Trade",
) -> None:
    await store.execute(
        "INSERT INTO execution.fill VALUES ('spot', $1, 'l', 'o', 'p', 's', 'BTCUSDT', 'BTCUSDT', "
        "'Buy', 1, 10000, 10000, $2, $3, $6, false, $4, 'c', $5)",
        name,
        Decimal(fee),
        currency,
        venue_at,
        booked_at,
        exec_type,
    )


async def wallet(store: Any, number: int, balance: str, exec_id: str | None = None) -> None:
    await store.execute(
        "INSERT INTO ledger.posting_group VALUES ($1, $2, 'trade', NULL, $3, 'USDT', $4, now(), "
        "NULL, '', '', now())",
        number,
        f"row {number}",
        exec_id,
        Decimal(balance),
    )


async def equity(store: Any, at: datetime, net: str, recorded_at: datetime = NOW) -> None:
    await store.execute(
        "INSERT INTO ledger.equity VALUES ($1, 0, $2, 0, 0, 0, $3)", at, Decimal(net), recorded_at
    )


async def test_a_new_account_has_nothing_at_stake(store: Any) -> None:
    zero = Decimal(0)
    assert await stake(store) == Stake(zero, zero, (), zero, zero, 0, 0, 0, zero, 0, zero)


async def test_what_is_held_counts_at_the_mark_the_greater_leg_of_each_pair(store: Any) -> None:
    await hold(store, "BTCUSDT", "1.5", "-1")
    await hold(store, "ETHUSDT", "2", "-3")
    found = await stake(store)
    assert (found.pair_notional, found.gross_notional) == (Decimal(15_000), Decimal(18_000))


@pytest.mark.parametrize("state", ["submitting", "live", "unknown", "quarantined"])
@pytest.mark.parametrize(
    ("category", "side", "pair_notional"),
    [
        # 0.4 of 1 is filled already and in the position; the rest may cost 0.6 x 10,010
        ("spot", "Buy", "11006"),  # 0.5 x 10,000 + 6,006
        ("linear", "Sell", "11006"),
        ("spot", "Sell", "5000"),  # may just as well not fill
        ("linear", "Buy", "5000"),
    ],
)
async def test_o8_an_order_in_flight_counts_as_filled_or_not_whichever_is_worse(
    store: Any, state: str, category: str, side: str, pair_notional: str
) -> None:
    await hold(store, "BTCUSDT", "0.5", "-0.5")
    await plan(store, "p", target="0")
    await order(store, "p", category=category, side=side, state=state, filled="0.4")
    found = await stake(store)
    assert (found.pair_notional, found.gross_notional) == (Decimal(pair_notional),) * 2


@pytest.mark.parametrize("state", ["filled", "cancelled", "rejected", "absent"])
async def test_an_order_that_has_ended_is_at_stake_no_more(store: Any, state: str) -> None:
    await plan(store, "p", state="flat", target="0")
    await order(store, "p", state=state)
    assert (await stake(store)).gross_notional == 0


async def test_what_working_plans_and_the_new_order_want_counts_already(store: Any) -> None:
    await plan(store, "eth", pair="ETHUSDT", target="4")
    await plan(store, "waiting", pair="ETHUSDT", state="planned", target="9")
    begun = await stake(store, replace(NOTHING, target=Decimal(1)))
    assert (begun.pair_notional, begun.gross_notional) == (Decimal(10_000), Decimal(14_000))
    # 2 % over the mark for both: 1 x 10,200 + 4 x 1,020
    assert begun.needed == 14_280
    wish = replace(NOTHING, target=Decimal(1), buys=Decimal(10_300))
    ordered = await stake(store, wish)
    assert (ordered.pair_notional, ordered.gross_notional) == (Decimal(10_300), Decimal(14_300))
    assert ordered.needed == 14_380
    sold = await stake(store, replace(NOTHING, target=Decimal(1), sells=Decimal(10_300)))
    assert (sold.pair_notional, sold.needed) == (Decimal(10_300), Decimal(14_280))


async def test_what_was_bought_needs_no_more_money(store: Any) -> None:
    await hold(store, "ETHUSDT", "3", "0")
    await plan(store, "eth", pair="ETHUSDT", target="4")
    assert (await stake(store)).needed == 1_020


async def test_free_is_the_newest_balance_less_what_was_bought_and_is_not_in_it(
    store: Any,
) -> None:
    await wallet(store, 1, "50000")
    await wallet(store, 2, "40000", exec_id="booked")
    await fill(store, "booked")
    assert (await stake(store)).free == 40_000
    await fill(store, "not yet")  # 1 x 10,000
    assert (await stake(store)).free == 30_000


async def test_a_pair_with_something_at_stake_and_no_price_is_named(store: Any) -> None:
    await hold(store, "ETHUSDT", "1", "-1")
    assert (await stake(store, prices={})).unpriced == ("ETHUSDT",)
    assert (await stake(store, replace(NOTHING, target=Decimal(1)), prices={})).unpriced == (
        "BTCUSDT",
        "ETHUSDT",
    )


async def test_plans_that_sent_orders_count_for_an_hour_of_venue_time(store: Any) -> None:
    hour = timedelta(hours=1)
    for name, pair, state, age in (
        ("old", "BTCUSDT", "flat", hour),
        ("flat", "BTCUSDT", "flat", hour - timedelta(microseconds=1)),
        ("other", "ETHUSDT", "flat", timedelta(0)),
        ("held", "BTCUSDT", "hedged", timedelta(0)),
        ("new", "BTCUSDT", "working", timedelta(0)),  # the wish's own plan
    ):
        await plan(store, name, pair=pair, state=state, decided_at=VENUE_AT - age)
        await order(store, name, state="filled")
        await order(store, name, state="filled")
    await plan(store, "refused", state="refused")  # sent nothing
    found = await stake(store)
    assert (found.orders, found.plans, found.round_trips) == (8, 3, 1)


async def test_lifting_a_throttle_sets_it_back_and_lifting_anything_else_does_not(
    store: Any,
) -> None:
    await plan(store, "flat", state="flat", created_at=NOW)
    await order(store, "flat", state="filled")
    await fill(store, "paid", fee="3")
    before = await stake(store)
    assert (before.plans, before.round_trips, before.fees) == (1, 1, Decimal(3))
    lifted = NOW + timedelta(seconds=1)
    for reason in ("a drill", "throttle: 20 plans"):
        assert (await stake(store)) == before
        await store.execute(
            "INSERT INTO execution.kill (level, reason, pressed_by, pressed_at, lifted_at) "
            "VALUES (1, $1, 'executor', $2, $2)",
            reason,
            lifted,
        )
    after = await stake(store)
    assert (after.plans, after.round_trips, after.fees, after.orders) == (0, 0, Decimal(0), 1)


async def test_fees_of_an_hour_are_in_usdt_whatever_coin_they_were_taken_in(store: Any) -> None:
    await fill(store, "coin", fee="0.001", currency="BTC")  # at 10,000: 10
    await fill(store, "quote", fee="5.5")
    await fill(store, "old", fee="100", venue_at=VENUE_AT - timedelta(hours=1))
    await fill(store, "funding", fee="100", exec_type="Funding")
    assert (await stake(store)).fees == Decimal("15.5")


async def test_rejects_count_for_a_minute_of_wall_time(store: Any) -> None:
    await plan(store, "p", state="flat")
    for seconds in (0, 59, 60):
        await order(store, "p", state="rejected", updated_at=NOW - timedelta(seconds=seconds))
    assert (await stake(store)).rejects == 2


async def test_the_days_loss_is_what_profit_fell_since_venue_midnight(store: Any) -> None:
    midnight = VENUE_AT.replace(hour=0, minute=0)
    await equity(store, midnight - timedelta(minutes=1), "900")
    await equity(store, midnight, "500")
    await equity(store, midnight + timedelta(hours=6), "700")
    await equity(store, VENUE_AT, "380.5")
    assert (await stake(store)).day_loss == Decimal("119.5")
    await equity(store, VENUE_AT + timedelta(minutes=1), "600")
    assert (await stake(store)).day_loss == 0


async def test_one_after_another_passes_the_gate(database: Database) -> None:
    dsn = database.dsn_for("carry_executor")
    async with connected(dsn) as first, connected(dsn) as second:
        held = first.transaction()
        await held.start()
        await lock_gate(first)

        async def follow() -> None:
            async with second.transaction():
                await lock_gate(second)

        following = asyncio.create_task(follow())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(following), 0.2)
        await held.commit()
        await asyncio.wait_for(following, 2)
