"""A perpetual is to be delivered: from the venue's list to a flat pair, and a start without it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from services.collector.instruments import InstrumentRecorder
from services.executor.main import Feed
from services.strategy.engine import Engine
from services.strategy.main import Ears
from shared.bus.messages import PairWanted, decode
from shared.domain.instrument import Category
from shared.runtime.clock import SystemClock
from shared.store.instruments import read_pairs
from shared.store.pool import WritePool, open_pool
from shared.venue.admission import Delisting
from shared.venue.enforcement import deliver
from tests.services.strategy.test_engine import (
    PAST,
    Bell,
    engine,
    know_the_past,
    quotes,
    store_prices,
)
from tests.support.executor import EPOCH, MS, Rig, running, venue
from tests.support.fake_feed import FakeFeed
from tests.support.fake_gateway import FakeGateway
from tests.support.markets import EIGHT_HOURS, INSTANT, MIDNIGHT, pair
from tests.support.servers import Database

NOBODY: Any = None  # no bus: what has no loop here is never asked
CLOCK = SystemClock()
HOUR = timedelta(hours=1)
DAY_MS = 86_400_000


@dataclass
class Desk:
    """The parts of three services on one database."""

    feed: FakeFeed
    rules: InstrumentRecorder
    strategy: Engine
    collecting: WritePool
    deciding: WritePool
    executing: WritePool

    async def wanted(self) -> list[PairWanted]:
        """Return what the strategy has said, oldest first."""
        async with self.collecting.acquire() as connection:
            rows = await connection.fetch(
                "SELECT body FROM ops.outbox WHERE stream = 'strategy.intents' ORDER BY sequence"
            )
        said = [decode(bytes(row["body"])) for row in rows]
        return [message for message in said if isinstance(message, PairWanted)]

    async def announce(self, **changes: Any) -> None:
        """Let the venue's list say something new of the perpetual, and the collector store it."""
        perps = self.feed.instruments[Category.LINEAR]
        self.feed.instruments[Category.LINEAR] = [replace(p, **changes) for p in perps]
        await self.rules.refresh()


@asynccontextmanager
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        collecting, deciding, executing = [
            await stack.enter_async_context(open_pool(database.dsn_for(role), application="test"))
            for role in ("carry_collector", "carry_strategy", "carry_executor")
        ]
        feed, of = FakeFeed(), pair()
        feed.instruments = {Category.SPOT: [of.spot], Category.LINEAR: [of.perp]}
        feed.closes = {(category, of.name): [Decimal(100)] for category in Category}
        rules = InstrumentRecorder(feed=feed, pool=collecting, doorbell=Bell(), clock=CLOCK)
        await rules.refresh()
        await rules.prove([of.name], INSTANT)
        await store_prices(database, MIDNIGHT - PAST * EIGHT_HOURS, MIDNIGHT)
        strategy = engine(deciding, Bell())
        await strategy.recover()
        await know_the_past(strategy)
        yield Desk(feed, rules, strategy, collecting, deciding, executing)


@asynccontextmanager
async def following(*loops: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run endless loops inside the block."""
    tasks = [asyncio.create_task(loop()) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def opened(on: Desk, rig: Rig) -> None:
    """Open what the strategy wants at the first instant."""
    await on.strategy.quoted(quotes())
    [opening] = await on.wanted()
    assert (opening.quantity, opening.reason) == (Decimal("0.999"), "worth_opening")
    await rig.deliver(opening)
    [plan] = await rig.finished(1)
    assert plan["state"] == "hedged"


async def test_r10_a_pair_is_left_before_its_delivery_and_the_next_start_does_without(
    database: Database,
) -> None:
    exchange = venue()
    async with desk(database) as on:
        async with running(on.executing, exchange) as rig:
            await opened(on, rig)
            exchange.delistings["BTCUSDT"] = Delisting(MS, MS + DAY_MS)
            await on.announce(delivery_at=INSTANT + timedelta(days=1))
            ears = Ears(on.deciding, NOBODY, on.strategy, CLOCK, EPOCH)
            feed = Feed(on.executing, NOBODY, rig.market, rig.parts, CLOCK)
            async with following(ears.follow_rules, feed.follow_rules):
                decided_on = on.strategy._view.markets
                for known in (rig.market.markets, decided_on):
                    await rig.until(lambda of=known: not of["BTCUSDT"].pair.is_trading)  # type: ignore[misc]
                await on.strategy.quoted(quotes(hours=1))
                closing = (await on.wanted())[-1]
                assert (closing.quantity, closing.reason) == (Decimal(0), "delisting")
                await rig.deliver(closing)
                rig.quote(INSTANT + HOUR)
                plans = await rig.finished(2)
                assert (plans[1]["state"], exchange.positions["BTCUSDT"].size) == (
                    "flat",
                    Decimal(0),
                )
                await rig.deliver(replace_quantity(closing, "1"))
                assert str((await rig.finished(3))[2]["reason"]).startswith("not_trading")
        exchange.advance(MS + DAY_MS)
        deliver(exchange, "BTCUSDT")
        assert {e.exec_type for e in exchange.executions} == {"Trade"}

        on.feed.instruments[Category.LINEAR] = []
        await on.rules.refresh()
        async with on.executing.acquire() as connection:
            left = await read_pairs(connection, ["BTCUSDT"])
        assert [p.perp.status for p in left] == ["Gone"]
        gateway = FakeGateway(exchange)
        async with running(on.executing, exchange, gateway, owner="two", renewed=left) as rig:
            assert (rig.parts.guard.differs, gateway.checked) == (False, [])


def replace_quantity(message: PairWanted, quantity: str) -> PairWanted:
    return PairWanted(
        "again", message.decision_id, message.correlation_id, message.pair, Decimal(quantity),
        "worth_opening", message.decided_at,
    )  # fmt: skip
