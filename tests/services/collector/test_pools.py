"""PoolWatch: what is known of the insurance pools, and until when."""

import asyncio
import contextlib

from services.collector.pools import PoolWatch
from shared.domain.market import Pool
from tests.support.clock import ManualClock
from tests.support.fake_feed import FakeFeed


async def test_a10_a_pool_is_lost_until_told_and_after_three_minutes_of_silence() -> None:
    feed, clock = FakeFeed(), ManualClock()
    pools = PoolWatch(feed, clock)
    assert pools.of("BTCUSDT") is Pool.LOST
    feed.short_pools = {"BTCUSDT": True}
    await pools.look(["BTCUSDT"])
    assert (pools.of("BTCUSDT"), pools.of("ETHUSDT")) == (Pool.SHORT, Pool.UNWATCHED)
    feed.is_away = True
    await clock.advance(180)
    await pools.look(["BTCUSDT"])
    assert pools.of("BTCUSDT") is Pool.SHORT
    await clock.advance(1)
    assert (pools.of("BTCUSDT"), pools.of("ETHUSDT")) == (Pool.LOST, Pool.LOST)
    feed.is_away, feed.short_pools = False, {"BTCUSDT": False}
    await pools.look(["BTCUSDT"])
    assert pools.of("BTCUSDT") is Pool.SOUND


async def test_m14_an_alert_is_noticed_within_a_minute_and_the_list_is_looked_for_when_lost() -> (
    None
):
    feed, clock = FakeFeed(), ManualClock()
    pools = PoolWatch(feed, clock)
    await pools.look(["BTCUSDT"])
    following = asyncio.create_task(pools.follow(["BTCUSDT"]))
    await asyncio.sleep(0)
    feed.short_pools = {"BTCUSDT": True}
    await clock.advance(30)
    assert pools.of("BTCUSDT") is Pool.SHORT
    feed.is_away = True
    await clock.advance(200)
    assert pools.of("BTCUSDT") is Pool.LOST
    feed.is_away = False
    await clock.advance(10)
    assert pools.of("BTCUSDT") is Pool.SHORT
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
