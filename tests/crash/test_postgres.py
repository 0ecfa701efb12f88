"""PostgreSQL restarts, dies, loses its connections: nothing is sent without it, nothing is lost.

Source: RELIABILITY 3.2 rows 16 and 17, invariants S7 and S9.
"""

import asyncio
import os
import signal
from random import Random, SystemRandom

import pytest

from shared.store.pool import UNAVAILABLE
from tests.crash.checks import ALONE_MAX_SECONDS, assert_nothing_lost_or_doubled
from tests.crash.ground import Ground, open_ground
from tests.crash.load import press
from tests.crash.stage import Stage, Story, staged
from tests.crash.world import World, open_world
from tests.support.servers import made_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CUT_SECONDS = 20
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'executor'
      AND (query ILIKE 'COMMIT%' OR state = 'idle in transaction')
    ORDER BY random() LIMIT 1"""
CUT_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


async def server_dies(_: Ground) -> list[float]:
    """A clean restart, a kill of all, and a crash loop, under load."""
    with made_folder() as folder:
        async with open_ground(folder) as ground, open_world(ground) as world:
            watching = asyncio.create_task(ground.servers.supervise())
            world.supervise(await world.executor())
            await world.ready(world.children[0])
            pressing = asyncio.create_task(press(world, 24, seed=8))
            for pause, how in (
                (4, signal.SIGINT),
                (7, signal.SIGKILL),
                (7, signal.SIGKILL),
                (2, signal.SIGKILL),
                (2, signal.SIGKILL),
            ):
                await asyncio.sleep(pause)
                os.kill(ground.servers.postgres.pid, how)
            await pressing
            spans = await assert_nothing_lost_or_doubled(world)
            assert ground.servers.restarts >= 4
            watching.cancel()
            return spans


@staged(server_dies)
def test_a_database_that_restarts_dies_and_dies_again_costs_nothing(
    case: Story, stage: Stage
) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS


async def connections_cut(ground: Ground) -> list[float]:
    """End the executor's connections at their commits, at moments that a printed seed draws."""
    seed = SystemRandom().randrange(1_000_000)
    print(f"connections cut: seed {seed}")  # noqa: T201
    draw = Random(seed)
    async with open_world(ground) as world:
        world.supervise(await world.executor())
        await world.ready(world.children[0])
        pressing = asyncio.create_task(press(world, CUT_SECONDS, seed))
        cut = 0
        while not pressing.done():
            met = len(await rows_if_any(world, CUT))
            cut += met
            if draw.random() < 0.002:
                await rows_if_any(world, CUT_ALL)
            rests = met and cut % 5 == 0  # let it get somewhere before the next five
            await asyncio.sleep(1.0 if rests else draw.uniform(0, 0.05))
        await pressing
        assert cut >= 5
        return await assert_nothing_lost_or_doubled(world)


async def rows_if_any(world: World, query: str) -> list[dict[str, object]]:
    try:
        return await world.rows(query)
    except UNAVAILABLE:
        return []


@staged(connections_cut)
def test_a_commit_whose_answer_never_came_is_asked_about_and_never_guessed(
    case: Story, stage: Stage
) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS
