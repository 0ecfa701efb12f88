"""The order journal's rules, held by the database: O2, O4, O12 and the late fill of O11."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import asyncpg
import pytest

from shared.domain.instrument import Category
from shared.domain.order import Fill, Side
from shared.store.kill import press_kill
from shared.store.orders import (
    AttemptRow,
    Claim,
    FillRow,
    answer_attempt,
    book_fill,
    claim_attempt,
    end_attempt,
    insert_venue_event,
    resend_attempt,
)
from shared.store.plans import begin_plan, finish_plan, insert_plan
from shared.store.positions import ensure_positions
from tests.support.servers import Database, connected

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VENUE_AT = datetime(2023, 11, 11, tzinfo=UTC)
ATTEMPT = AttemptRow(
    link_id="order",
    plan_id="plan",
    leg="s",
    number=1,
    category="spot",
    symbol="BTCUSDT",
    side="Buy",
    quantity=Decimal(2),
    limit_price=Decimal(10_000),
    reduce_only=False,
    purpose="first",
    signed_at=NOW,
    correlation_id="c",
    book_behind_seconds=Decimal("0.25"),
    reference_price=None,
    book_silent_seconds=Decimal("1.5"),
)
FILL = FillRow(
    fill=Fill(
        Category.SPOT,
        "e1",
        "BTCUSDT",
        Side.BUY,
        Decimal(1),
        Decimal(10_000),
        Decimal("0.001"),
        "BTC",
        VENUE_AT,
    ),
    link_id="order",
    order_id="venue-1",
    plan_id="plan",
    leg="s",
    pair="BTCUSDT",
    exec_type="Trade",
    is_maker=False,
    correlation_id="c",
    spot_quantity=Decimal("0.999"),
    perp_quantity=Decimal(0),
    spot_value=Decimal(-10_000),
    perp_value=Decimal(0),
)

ATTEMPT_STATES = (
    "submitting", "unknown", "live", "filled", "cancelled", "rejected", "absent", "quarantined",
)  # fmt: skip
PLAN_STATES = ("planned", "working", "hedged", "flat", "broken", "refused")
LEGAL = {
    ("submitting", "unknown"), ("submitting", "live"), ("submitting", "filled"),
    ("submitting", "cancelled"), ("submitting", "rejected"), ("submitting", "absent"),
    ("submitting", "quarantined"),
    ("unknown", "live"), ("unknown", "filled"), ("unknown", "cancelled"),
    ("unknown", "rejected"), ("unknown", "absent"), ("unknown", "quarantined"),
    ("live", "filled"), ("live", "cancelled"), ("live", "rejected"), ("live", "absent"),
    ("live", "quarantined"),
    ("quarantined", "live"), ("quarantined", "filled"), ("quarantined", "cancelled"),
    ("quarantined", "rejected"), ("quarantined", "absent"),
    ("absent", "live"), ("absent", "filled"), ("absent", "cancelled"), ("absent", "rejected"),
    ("rejected", "live"), ("rejected", "filled"),
    ("planned", "working"), ("planned", "refused"),
    ("working", "hedged"), ("working", "flat"), ("working", "broken"), ("working", "refused"),
}  # fmt: skip


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Any]:
    async with connected(database.owner_dsn) as connection:
        yield connection


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Any]:
    """The executor's own role, with the lease of epoch 5 and a plan to buy 2 bitcoin."""
    async with connected(database.dsn_for("carry_executor")) as connection:
        await connection.execute(
            "INSERT INTO execution.lease VALUES ('executor', 'me', 5, now() + interval '1 day')"
        )
        await ensure_positions(connection, [("BTCUSDT", "BTC")], NOW)
        await insert_plan(
            connection,
            plan_id="plan",
            intent_id="intent",
            pair="BTCUSDT",
            target_quantity=Decimal(2),
            reason="r",
            decided_at=VENUE_AT,
            correlation_id="c",
            now=NOW,
        )
        yield connection


async def begin(store: Any) -> bool:
    zero = Decimal(0)
    return await begin_plan(
        store, "plan", "s", spot_symbol="BTCUSDT", perp_symbol="BTCUSDT", spot=zero, perp=zero
    )


async def claim(store: Any, attempt: AttemptRow = ATTEMPT, epoch: int = 5) -> Claim:
    return await claim_attempt(store, attempt, pair="BTCUSDT", epoch=epoch, kill_level=1)


async def state(store: Any, link_id: str = "order") -> str:
    found: str = await store.fetchval(
        "SELECT state FROM execution.attempt WHERE link_id = $1", link_id
    )
    return found


@pytest.mark.parametrize("table", ["plan", "attempt"])
async def test_o12_every_transition_that_the_table_does_not_know_is_refused(
    store: Any, owner: Any, table: str
) -> None:
    await claim(store)
    key = "link_id = 'order'" if table == "attempt" else "id = 'plan'"
    states = ATTEMPT_STATES if table == "attempt" else PLAN_STATES
    refused = set()
    for before, after in product(states, states):
        await owner.execute("SET session_replication_role = replica")  # past the rule
        await owner.execute(f"UPDATE execution.{table} SET state = '{before}' WHERE {key}")
        try:
            await store.execute(f"UPDATE execution.{table} SET state = '{after}' WHERE {key}")
        except asyncpg.RestrictViolationError:
            refused.add((before, after))
    allowed = {(a, b) for a, b in product(states, states) if a == b or (a, b) in LEGAL}
    assert set(product(states, states)) - refused == allowed


@pytest.mark.parametrize("table", ["plan", "attempt"])
async def test_o12_nothing_begins_in_the_middle_of_its_life(store: Any, table: str) -> None:
    await claim(store)
    key = "link_id" if table == "attempt" else "id"
    change = f'{{"{key}": "other", "intent_id": "other", "state": "filled"}}'
    with pytest.raises(asyncpg.RestrictViolationError, match='other from "" to "filled"'):
        await store.execute(
            f"INSERT INTO execution.{table} "
            f"SELECT (jsonb_populate_record(t, '{change}')).* FROM execution.{table} t"
        )


async def test_o2_a_claim_is_an_order_and_its_first_send_and_a_re_send_is_another(
    store: Any,
) -> None:
    assert await claim(store) == Claim(held=True, made=True, killed=None)
    later = NOW + timedelta(seconds=9)
    assert await resend_attempt(store, "order", later, 6, 1)
    sends = await store.fetch("SELECT * FROM execution.send ORDER BY number")
    assert [tuple(row) for row in sends] == [("order", 1, NOW, 5), ("order", 2, later, 6)]
    attempt = await store.fetchrow("SELECT * FROM execution.attempt")
    assert (attempt["sends"], attempt["signed_at"], attempt["created_at"]) == (2, later, NOW)
    ages = (attempt["book_behind_seconds"], attempt["book_silent_seconds"])
    assert ages == (Decimal("0.25"), Decimal("1.5"))


async def test_an_order_that_has_ended_is_not_sent_again(store: Any) -> None:
    await claim(store)
    await end_attempt(store, "order", "filled", NOW, order_id="v", message=None)
    assert not await resend_attempt(store, "order", NOW, 5, 1)
    assert await store.fetchval("SELECT count(*) FROM execution.send") == 1


async def test_without_the_lease_nothing_is_journaled(store: Any) -> None:
    assert await claim(store, epoch=4) == Claim(held=False, made=False, killed=None)
    assert await store.fetchval("SELECT count(*) FROM execution.send") == 0


async def test_k1_under_a_kill_nothing_is_journaled(store: Any) -> None:
    kill_id = await press_kill(store, 1, "drill", "me")
    said = f"kill {kill_id} of level 1: drill"
    assert await claim(store) == Claim(held=True, made=False, killed=said)
    assert await store.fetchval("SELECT count(*) FROM execution.attempt") == 0


async def test_o4_a_refusal_ends_an_order_only_when_it_was_sent_once(store: Any) -> None:
    await claim(store)
    await claim(store, replace(ATTEMPT, link_id="twice", number=2))
    await resend_attempt(store, "twice", NOW, 5, 1)
    await answer_attempt(store, "order", "rejected", NOW, code=110007, message="no")
    with pytest.raises(asyncpg.RestrictViolationError, match="after a re-send"):
        await answer_attempt(store, "twice", "rejected", NOW, code=110007, message="no")
    assert (await state(store), await state(store, "twice")) == ("rejected", "submitting")


async def test_an_order_shown_as_rejected_after_a_re_send_ends_as_cancelled(store: Any) -> None:
    await claim(store)
    await resend_attempt(store, "order", NOW, 5, 1)
    await end_attempt(store, "order", "rejected", NOW, order_id="v", message="EC_x")
    assert await state(store) == "cancelled"


@pytest.mark.parametrize("called", ["absent", "rejected"])
@pytest.mark.parametrize(("quantity", "expected"), [("2", "filled"), ("1", "live")])
async def test_o11_a_fill_of_an_order_called_dead_is_booked_and_brings_it_back(
    store: Any, called: str, quantity: str, expected: str
) -> None:
    await claim(store)
    await answer_attempt(store, "order", called, NOW)
    fill = replace(FILL, fill=replace(FILL.fill, quantity=Decimal(quantity)))
    booked = await book_fill(store, fill, NOW)
    assert booked is not None
    assert (booked.attempt_state, booked.filled_quantity) == (called, Decimal(quantity))
    assert await state(store) == expected


async def test_a_plan_begins_with_two_legs_and_its_fills_move_them(store: Any) -> None:
    assert await begin(store)
    assert not await begin(store)
    await claim(store)
    sold = replace(
        FILL,
        fill=replace(FILL.fill, category=Category.LINEAR, side=Side.SELL),
        leg="p",
        spot_quantity=Decimal(0),
        perp_quantity=Decimal(-1),
        spot_value=Decimal(0),
        perp_value=Decimal(10_000),
    )
    for row in (FILL, FILL, sold):  # the second says the same again
        await book_fill(store, row, NOW)
    legs = await store.fetch("SELECT * FROM execution.leg ORDER BY leg DESC")
    assert [tuple(leg) for leg in legs] == [
        ("plan", "s", "spot", "BTCUSDT", 0, 2, Decimal("0.999"), -10_000),
        ("plan", "p", "linear", "BTCUSDT", 0, -2, -1, 10_000),
    ]


async def test_what_the_venue_said_is_kept_word_for_word_and_once(store: Any) -> None:
    await begin(store)
    await claim(store)
    for _ in range(2):
        await book_fill(store, FILL, NOW)
        await insert_venue_event(store, "order:v:Filled", "order", {"price": Decimal("1.10")}, NOW)
    rows = await store.fetch("SELECT key, link_id, body FROM execution.venue_event ORDER BY key")
    assert [(row["key"], row["link_id"]) for row in rows] == [
        ("execution:spot:e1", "order"),
        ("order:v:Filled", "order"),
    ]
    assert '"fee": "0.001"' in rows[0]["body"]
    assert rows[1]["body"] == '{"price": "1.10"}'


async def test_a_fill_without_its_event_is_not_booked_either(store: Any) -> None:
    await begin(store)
    await claim(store)
    await store.execute(
        "INSERT INTO execution.venue_event VALUES ('execution:spot:e1', 'order', '{}', now())"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await book_fill(store, FILL, NOW)
    assert await store.fetchval("SELECT count(*) FROM execution.fill") == 0


async def test_a_plan_ends_once(store: Any) -> None:
    await begin(store)

    async def finish() -> bool:
        return await finish_plan(
            store,
            plan_id="plan",
            state="flat",
            reason="r",
            unhedged_seconds=Decimal(0),
            venue_at=VENUE_AT,
            now=NOW,
        )

    assert await finish()
    assert not await finish()
