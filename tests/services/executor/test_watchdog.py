"""What happens while the executor is silent: how long by the database's clock, and what is done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import pytest

from services.executor.margin import MarginLine
from services.executor.standby import run_until_quiet
from services.executor.watchdog import Watchdog, must_flatten
from shared.domain.errors import OutcomeUnknown
from shared.domain.instrument import Category
from shared.domain.order import Leg, client_order_id
from shared.exchange.ports import MarginRates
from shared.runtime.clock import SystemClock
from shared.store.kill import press_kill
from shared.store.pool import WritePool
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from tests.support.clock import ManualClock
from tests.support.executor import Rig, running, venue
from tests.support.fake_gateway import FakeGateway
from tests.support.markets import INSTANT

OURS = client_order_id("t1", "0" * 20, Leg.PERP, 1)


async def silent_for(pool: WritePool, seconds: int, owner: str = "one") -> None:
    async with pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO execution.lease (name, owner, epoch, expires_at) "
            "VALUES ('executor', $1, 1, clock_timestamp() + make_interval(secs => 5 - $2)) "
            "ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at",
            owner,
            seconds,
        )


def resting(exchange: Exchange, link_id: str) -> None:
    exchange.place(
        OrderRequest(
            "linear", "BTCUSDT", "Sell", "Limit", Decimal("0.1"), Decimal(11_000), "PostOnly",
            link_id,
        )
    )  # fmt: skip


class Taken:
    """Counts how often the lease was to be taken over."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


async def test_nothing_is_done_before_there_was_an_executor(pool: WritePool) -> None:
    exchange, taken = venue(), Taken()
    resting(exchange, OURS)
    await Watchdog(pool, FakeGateway(exchange), ManualClock(), taken).look()
    assert (len(exchange.open_orders), taken.times) == (1, 0)


@pytest.mark.parametrize(
    ("seconds", "resting_left", "times"), [(3, 2, 0), (7, 1, 0), (14, 1, 0), (16, 1, 1)]
)
async def test_silence_first_cancels_what_we_left_resting_and_then_takes_over(
    pool: WritePool, seconds: int, resting_left: int, times: int
) -> None:
    exchange, taken = venue(), Taken()
    resting(exchange, OURS)
    resting(exchange, "by-hand")  # a person's own order is never touched
    await silent_for(pool, seconds)
    await Watchdog(pool, FakeGateway(exchange), ManualClock(), taken).look()
    assert (len(exchange.open_orders), taken.times) == (resting_left, times)


async def test_an_order_that_cannot_be_cancelled_holds_up_neither_the_others_nor_the_takeover(
    pool: WritePool,
) -> None:
    exchange, taken = venue(), Taken()
    resting(exchange, OURS)
    resting(exchange, client_order_id("t1", "0" * 20, Leg.PERP, 2))
    gateway = Stubborn(exchange)
    await silent_for(pool, 16)
    await Watchdog(pool, gateway, ManualClock(), taken).look()
    assert ([order.link_id for order in exchange.open_orders], taken.times) == ([OURS], 1)


class Stubborn(FakeGateway):
    """Its venue never answers to one cancel."""

    async def cancel_order(self, category: Category, symbol: str, link_id: str) -> None:
        if link_id == OURS:
            raise OutcomeUnknown("no reply")
        await super().cancel_order(category, symbol, link_id)


async def test_it_takes_over_again_only_each_minute_while_nobody_comes_back(
    pool: WritePool,
) -> None:
    clock, taken = ManualClock(), Taken()
    watchdog = Watchdog(pool, FakeGateway(venue()), clock, taken)
    await silent_for(pool, 20)
    await watchdog.look()
    await watchdog.look()
    assert taken.times == 1
    await clock.advance(60)
    await watchdog.look()
    assert taken.times == 2
    await silent_for(pool, 0)  # it is back, and then gone again
    await watchdog.look()
    await silent_for(pool, 20)
    await watchdog.look()
    assert taken.times == 3


@asynccontextmanager
async def left_alone(pool: WritePool) -> AsyncIterator[tuple[Exchange, FakeGateway]]:
    """An executor that died between its legs: one bitcoin bought and nothing sold."""
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway, release=False) as rig:
        await rig.want("1")
        await gateway.sent(1)
    await silent_for(pool, 20)
    yield exchange, gateway


async def test_one_leg_alone_is_removed_and_the_lease_given_back(pool: WritePool) -> None:
    async with left_alone(pool) as (exchange, gateway):
        async with running(pool, exchange, gateway, owner="watchdog", safe_mode=True) as rig:
            await acts(rig)
            plans = await rig.rows("SELECT state, reason FROM execution.plan ORDER BY created_at")
            assert [tuple(p.values()) for p in plans] == [
                ("broken", "watchdog"),
                ("flat", "residual"),
            ]
            assert await rig.ledger_difference() == {}
            assert await rig.parts.lease.release()
        assert exchange.wallet["BTC"] == Decimal("0.000000998")
        async with running(pool, exchange, gateway, owner="two") as rig:
            await rig.want("1", minutes=1)
            rig.quote(INSTANT + timedelta(minutes=1))
            plans = await rig.finished(3)
            assert plans[2]["state"] == "hedged"


async def acts(rig: Rig, line: str = "0.8") -> None:
    """Let the watchdog do what there is to do."""
    margin = MarginLine(rig.gateway, rig.pool, Decimal(line), "watchdog")
    await asyncio.wait_for(run_until_quiet(rig.parts, (), SystemClock(), margin.is_passed), 30)


@pytest.mark.parametrize(
    ("level", "rate", "flattens"),
    [
        (0, "0.7999", False),
        (0, "0.8", True),
        (2, "0.5", False),
        (3, "0.5", True),
        (4, None, True),
        (2, None, False),  # isolated margin says no rate
    ],
)
def test_hedged_pairs_are_closed_at_level_3_or_at_the_margin_line(
    level: int, rate: str | None, flattens: bool
) -> None:
    maintenance = None if rate is None else Decimal(rate)
    assert must_flatten(level, maintenance, Decimal("0.8")) is flattens


@asynccontextmanager
async def left_hedged(pool: WritePool) -> AsyncIterator[Rig]:
    """A watchdog beside an executor that died holding one bitcoin, hedged."""
    exchange = venue()
    gateway = FakeGateway(exchange)
    async with running(pool, exchange, gateway, release=False) as rig:
        await rig.want("1")
        await rig.finished(1)
    await silent_for(pool, 20)
    async with running(pool, exchange, gateway, owner="watchdog", safe_mode=True) as rig:
        yield rig


@pytest.mark.parametrize("rate", ["0.5", None])
async def test_hedged_pairs_are_left_alone(pool: WritePool, rate: str | None) -> None:
    async with left_hedged(pool) as rig:
        rig.gateway.margin = MarginRates(None if rate is None else Decimal(rate), None)
        await acts(rig)
        assert len(rig.gateway.placed) == 2
        assert rig.exchange.positions["BTCUSDT"].size == -1
        assert await rig.rows("SELECT * FROM execution.kill") == []


async def test_hedged_pairs_are_closed_past_the_margin_line_and_stay_closed(
    pool: WritePool,
) -> None:
    async with left_hedged(pool) as rig:
        rig.gateway.margin = MarginRates(Decimal("0.85"), Decimal("0.9"))
        await acts(rig)
        assert rig.exchange.positions["BTCUSDT"].size == 0
        assert rig.exchange.wallet["BTC"] < Decimal("0.00001")
        [kill] = await rig.rows("SELECT level, pressed_by, lifted_at FROM execution.kill")
        assert tuple(kill.values()) == (3, "watchdog", None)
        await rig.parts.bookkeeper.read()
        assert await rig.ledger_difference() == {}


async def test_a_kill_of_level_3_is_carried_out_before_the_lease_is_given_back(
    pool: WritePool,
) -> None:
    async with left_hedged(pool) as rig:
        async with pool.acquire() as connection:
            await press_kill(connection, 3, "drill", "me")
        await acts(rig)
        assert rig.exchange.positions["BTCUSDT"].size == 0
        assert len(await rig.rows("SELECT * FROM execution.kill")) == 1


async def test_a_margin_that_cannot_be_read_closes_nothing(pool: WritePool) -> None:
    async with left_hedged(pool) as rig:
        rig.gateway.margin = MarginRates(Decimal("0.85"), None)
        rig.gateway.is_reachable = False
        margin = MarginLine(rig.gateway, rig.pool, Decimal("0.8"), "watchdog")
        assert not await margin.is_passed()
        assert await rig.rows("SELECT * FROM execution.kill") == []
