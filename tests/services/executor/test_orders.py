"""One order on a real journal: when it is proven absent, and what is signed (O2, O5, D5).

Each read of the venue takes a second of a clock that nothing else moves. The fence is 3 s of
receive window, 0.25 s between the clocks and 5 s by which a read may lag: 8.25 s.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.executor.desk import Desk, Tracked
from services.executor.guard import Guard
from services.executor.journal import Journal
from services.executor.lease import Lease
from services.executor.market import Freshness, Market
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Orders, Pace
from shared.domain.instrument import Category
from shared.domain.order import Leg, OrderTicket, Side
from shared.exchange.ports import OrderReport
from shared.store.kill import press_kill
from shared.store.orders import (
    AttemptRow,
    claim_attempt,
    read_doubted,
    release_quarantined,
)
from shared.store.plans import insert_plan
from shared.store.pool import WritePool
from shared.store.positions import ensure_positions
from tests.support.clock import ManualClock
from tests.support.executor import SilentBell, venue
from tests.support.fake_gateway import FakeGateway, lost
from tests.support.markets import INSTANT, pair

PACE = Pace(ack_seconds=0.001, poll_seconds=0.001)
PRICE = Decimal("10010.5")
TICKET = OrderTicket("order", Category.SPOT, "BTCUSDT", Side.BUY, Decimal(1), PRICE, False)


class SlowVenue(FakeGateway):
    """Remembers when each read began, and with which instant each order was signed."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(venue())
        self.clock = clock
        self.began: list[float] = []
        self.signed: list[datetime] = []

    async def read_order(self, category: Category, symbol: str, link_id: str) -> OrderReport | None:
        self.began.append(self.clock.monotonic())
        await self.clock.sleep(1)
        return await super().read_order(category, symbol, link_id)

    async def place_order(self, ticket: OrderTicket, signed_at: datetime) -> str:
        self.signed.append(signed_at)
        return await super().place_order(ticket, signed_at)


@dataclass
class Bench:
    """One claimed order to buy a bitcoin, signed at second zero, and what settles it."""

    venue: SlowVenue
    orders: Orders
    desk: Desk
    order: Tracked
    attempt: AttemptRow
    pool: WritePool

    async def stored(self) -> tuple[str, list[datetime]]:
        """Return the order's state and the instants its sends were signed at."""
        async with self.pool.acquire() as connection:
            state = await connection.fetchval("SELECT state FROM execution.attempt")
            sends = await connection.fetch("SELECT signed_at FROM execution.send ORDER BY number")
        return state, [row["signed_at"] for row in sends]


@asynccontextmanager
async def claimed(pool: WritePool) -> AsyncIterator[Bench]:
    clock, metrics = ManualClock(auto=True), ExecutorMetrics()
    now = clock.now()
    lease = Lease(pool, clock, "one", 0.0)
    await lease.take()
    journal = Journal(pool, lease, SilentBell(), clock, metrics.alarms)
    market = Market([pair()], clock, Freshness(timedelta(hours=2), 60.0))
    desk = Desk(
        pair(),
        spare_coin=lambda _: Decimal(0),
        journal=journal,
        market=market,
        clock=clock,
        metrics=metrics,
    )
    attempt = AttemptRow(
        "order", "plan", "s", 1, "spot", "BTCUSDT", "Buy", Decimal(1), PRICE, False, "first",
        now, "c", None, None, None,
    )  # fmt: skip
    async with journal.transaction() as connection:
        await ensure_positions(connection, [("BTCUSDT", "BTC")], now)
        await insert_plan(
            connection, plan_id="plan", intent_id="intent", pair="BTCUSDT",
            target_quantity=Decimal(1), reason="r", decided_at=INSTANT, correlation_id="c", now=now,
        )  # fmt: skip
        await claim_attempt(connection, attempt, pair="BTCUSDT", epoch=lease.epoch, kill_level=1)
    order = Tracked("order", "plan", Leg.SPOT, Category.SPOT, "BTCUSDT", now, "c")
    desk.orders["order"] = order
    desk.loaded.set()
    gateway = SlowVenue(clock)
    orders = Orders(
        gateway, journal=journal, clock=clock, pace=PACE, metrics=metrics, guard=Guard()
    )
    booking = asyncio.create_task(desk.book())
    try:
        async with asyncio.timeout(5):
            yield Bench(gateway, orders, desk, order, attempt, pool)
    finally:
        booking.cancel()
        await asyncio.gather(booking, return_exceptions=True)


async def test_o5_an_order_is_absent_after_two_reads_begun_behind_the_fence(
    pool: WritePool,
) -> None:
    async with claimed(pool) as bench:
        await bench.orders.settle(bench.desk, bench.order)
        # The read begun at second 8 ends behind the fence and proves nothing: 9 and 10 do.
        assert bench.venue.began == list(range(11))
        assert await bench.stored() == ("absent", [bench.attempt.signed_at])


async def test_an_order_that_the_venue_took_and_lost_is_given_up_after_longer(
    pool: WritePool,
) -> None:
    async with claimed(pool) as bench:
        await bench.orders.settle(bench.desk, bench.order, accepted=True, ticket=TICKET)
        # 8.25 s and 30 s more: the reads begun at seconds 39 and 40 prove it, and none is sent.
        assert bench.venue.began == list(range(41))
        assert bench.venue.signed == []
        assert (await bench.stored())[0] == "absent"


async def test_o9_an_order_that_the_venue_may_have_forgotten_is_left_to_a_person(
    pool: WritePool,
) -> None:
    later = INSTANT + timedelta(days=4_000)
    async with claimed(pool) as bench:
        bench.order.signed_at -= timedelta(hours=20)
        await bench.orders.settle(bench.desk, bench.order)
        assert len(bench.venue.began) == 1  # a start does not wait for it for ever
        assert (await bench.stored())[0] == "quarantined"
        async with pool.acquire() as connection:  # it forbids new risk until somebody has said
            assert await read_doubted(connection, later) == ["order"]
            await release_quarantined(connection, "BTCUSDT", later)
            assert await read_doubted(connection, later) == []
        assert (await bench.stored())[0] == "absent"


async def test_k1_no_order_that_adds_risk_is_sent_again_under_a_kill(pool: WritePool) -> None:
    async with claimed(pool) as bench:
        async with pool.acquire() as connection:
            await press_kill(connection, 1, "drill", "me")
        await bench.orders.settle(bench.desk, bench.order, ticket=TICKET)
        assert bench.venue.signed == []
        assert await bench.stored() == ("absent", [bench.attempt.signed_at])


async def test_what_reduces_is_sent_again_also_under_a_kill(pool: WritePool) -> None:
    async with claimed(pool) as bench:
        async with pool.acquire() as connection:
            await press_kill(connection, 1, "drill", "me")
        bench.order.forbidden_at = 4
        await bench.orders.settle(bench.desk, bench.order, ticket=TICKET)
        assert len(bench.venue.signed) == 1
        assert (await bench.stored())[0] == "filled"


async def test_o5_the_fence_counts_from_the_latest_send(pool: WritePool) -> None:
    async with claimed(pool) as bench:
        bench.venue.before.extend([lost, lost, lost])
        await bench.orders.settle(bench.desk, bench.order, ticket=TICKET)
        # Sent again at seconds 1, 2 and 3, each time after a read: 3 + 8.25 is before 12 and 13.
        assert bench.venue.began == list(range(14))
        at = bench.attempt.signed_at
        sent = [at + timedelta(seconds=n) for n in range(4)]
        assert await bench.stored() == ("absent", sent)
        assert bench.venue.signed == sent[1:]


async def test_d5_fills_that_the_stream_never_told_are_booked_from_the_read(
    pool: WritePool,
) -> None:
    async with claimed(pool) as bench:
        await bench.venue.place_order(TICKET, bench.attempt.signed_at)
        await bench.orders.settle(bench.desk, bench.order)
        assert bench.venue.began == [0]
        assert bench.desk.position.spot_quantity == Decimal("0.999")
        assert (await bench.stored())[0] == "filled"


async def test_o2_a_send_that_stalled_is_abandoned_and_journaled_anew(pool: WritePool) -> None:
    async with claimed(pool) as bench:
        await bench.venue.clock.sleep(1.5)  # half a second more than a send may take to leave
        await bench.orders.send(bench.desk, bench.order, bench.attempt)
        state, sends = await bench.stored()
        assert state == "filled"
        assert len(sends) == 2
        assert bench.venue.signed == sends[1:]
        assert sends[1] - sends[0] >= timedelta(seconds=1.5)
