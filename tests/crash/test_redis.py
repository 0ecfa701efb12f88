"""Redis is a doorbell: destroyed, emptied, full, slow or half deaf, it costs no money, only time.

Source: RELIABILITY 3.2 rows 12 to 15, invariant S1 (catch-up within 30 s).
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlsplit

import pytest

from services.carry.embedded.process import User
from services.carry.embedded.redis import RedisServer
from shared.bus.streams import EXECUTION_EVENTS, STRATEGY_INTENTS
from tests.crash.checks import ALONE_MAX_SECONDS, assert_nothing_lost_or_doubled
from tests.crash.ground import Ground
from tests.crash.load import press
from tests.crash.stage import Stage, Story, staged
from tests.crash.world import World, open_world
from tests.support.proxy import redis_proxy
from tests.support.servers import made_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CATCH_UP_SECONDS = 30
FULL_LIFE_SECONDS = 60
DESTROYED_EVERY_SECONDS = 10
DURABLE = (STRATEGY_INTENTS, EXECUTION_EVENTS)
PASSWORD = "of-this-test"


@dataclass
class Bus:
    """A Redis of the story's own, to be ruined."""

    server: RedisServer
    world: World

    async def destroy(self, number: int) -> None:
        """Empty it, end it, or end it and lose all it had, in turn."""
        match number % 3:
            case 0:
                await self.world.redis.flushall()
            case 1:
                await self.server.restart()
            case _:
                await self.server.restart(wipe=True)


@asynccontextmanager
async def redis_of_its_own(ground: Ground, *, through: str = "") -> AsyncIterator[Bus]:
    """Run a world with an executor on a Redis that nobody else has."""
    with made_folder() as folder:
        user = User()
        sockets = folder / "s"
        user.make_folder(sockets)
        user.make_folder(folder / "redis")
        server = RedisServer(folder / "redis", sockets, user)
        await server.start(PASSWORD)
        try:
            async with open_world(ground, redis_url=through or server.url) as world:
                world.supervise(await world.executor())
                await world.ready(world.children[0])
                yield Bus(server, world)
        finally:
            await server.stop()


async def caught_up(world: World) -> list[float]:
    """Check everything, once the world has come to rest within the time a catch-up may take."""
    await world.quiet(CATCH_UP_SECONDS)
    assert len(world.wanted) > 10
    return await assert_nothing_lost_or_doubled(world)


async def destroyed_again_and_again(ground: Ground) -> list[float]:
    async with redis_of_its_own(ground) as bus:
        pressing = asyncio.create_task(press(bus.world, FULL_LIFE_SECONDS, seed=1))
        for number in range(FULL_LIFE_SECONDS // DESTROYED_EVERY_SECONDS):
            await asyncio.sleep(DESTROYED_EVERY_SECONDS)
            await bus.destroy(number)
        await pressing
        return await caught_up(bus.world)


@staged(destroyed_again_and_again)
def test_redis_destroyed_every_ten_seconds_under_load_costs_nothing(
    case: Story, stage: Stage
) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS


async def older_snapshot(ground: Ground) -> list[float]:
    async with redis_of_its_own(ground) as bus:
        data = bus.server._data
        old = data.with_name("old")
        await press(bus.world, 3, seed=2)
        await bus.server.stop()
        shutil.copytree(data, old)
        bus.server._user.own(old)
        await bus.server.start(PASSWORD)
        await press(bus.world, 4, seed=3)
        await bus.server.kill()
        shutil.rmtree(data)
        old.rename(data)
        for path in data.rglob("*"):
            bus.server._user.own(path)
        await bus.server.start(PASSWORD)
        await press(bus.world, 3, seed=4)
        return await caught_up(bus.world)


@staged(older_snapshot)
def test_a_redis_that_comes_back_as_it_was_earlier_is_brought_up_to_date(
    case: Story, stage: Stage
) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS


async def streams_deleted(ground: Ground) -> list[float]:
    async with redis_of_its_own(ground) as bus:
        pressing = asyncio.create_task(press(bus.world, 8, seed=5))
        while not pressing.done():
            await asyncio.sleep(1)
            assert await bus.world.redis.delete(*DURABLE) <= len(DURABLE)
        await pressing
        return await caught_up(bus.world)


@staged(streams_deleted)
def test_streams_deleted_under_load_are_written_again(case: Story, stage: Stage) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS


async def full_and_paused(ground: Ground) -> list[float]:
    async with redis_of_its_own(ground) as bus:
        pressing = asyncio.create_task(press(bus.world, 14, seed=6))
        await asyncio.sleep(2)
        await bus.world.redis.config_set("maxmemory", "1mb")
        assert (await bus.world.redis.config_get("maxmemory-policy")) == {
            "maxmemory-policy": "noeviction"
        }
        await asyncio.sleep(4)
        await bus.world.redis.config_set("maxmemory", "256mb")
        await bus.world.redis.client_pause(6000)
        await pressing
        return await caught_up(bus.world)


@staged(full_and_paused)
def test_a_redis_that_is_full_and_then_answers_nobody_delays_and_loses_nothing(
    case: Story, stage: Stage
) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS


async def replies_lost(ground: Ground) -> list[float]:
    """The executor and the strategy's relay both lose every third answer to what they add."""
    numbers = count(1)

    def lose(command: list[bytes]) -> bool:
        adds = command[0].upper() == b"XADD" and command[1].decode() in DURABLE
        return adds and next(numbers) % 3 == 0

    parts = urlsplit(ground.servers.redis_url)
    async with redis_proxy(parts.path, lose) as proxy:
        url = f"redis://:{parts.password}@127.0.0.1:{proxy.port}/15"
        async with open_world(ground, redis_url=url) as world:
            world.supervise(await world.executor())
            await press(world, 8, seed=7)
            spans = await caught_up(world)
            assert proxy.lost >= 3
            for stream in DURABLE:
                last = await world.redis.xinfo_stream(stream)
                assert last["length"] == int(last["last-generated-id"].split(b"-")[1])
            return spans


@staged(replies_lost)
def test_an_entry_whose_answer_was_lost_is_in_the_stream_once(case: Story, stage: Stage) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS
