"""Who stands in for an executor that stopped: a second one, or the watchdog.

Source: RELIABILITY 3.2 row 3, invariants O14, O15 and K5.
"""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from services.carry.demo.children import Child
from tests.crash.checks import ALONE_MAX_SECONDS, assert_nothing_lost_or_doubled
from tests.crash.ground import Ground
from tests.crash.stage import Stage, Story, staged, told
from tests.crash.world import World, open_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LATE = """
faults:
  - kind: late_request
    where: order/create
    nth: 1
    seconds: 3
"""
READ_LEASE = "SELECT owner, epoch FROM execution.lease WHERE name = 'executor'"
READ_OLD = """
    SELECT count(*) AS attempts, coalesce(sum(sends), 0) AS sends FROM execution.attempt
    WHERE lease_epoch = $1"""


async def stopped(child: Child) -> int:
    """Wait until a process has stopped itself, and return its id."""
    assert child.process is not None
    state = Path(f"/proc/{child.process.pid}/status")
    async with asyncio.timeout(30):
        while "T (stopped)" not in state.read_text():  # noqa: ASYNC240 - no file, the kernel
            assert child.process.returncode is None
            await asyncio.sleep(0.05)
    return child.process.pid


async def lease(world: World) -> tuple[str, int]:
    (row,) = await world.rows(READ_LEASE)
    return row["owner"], row["epoch"]


async def overtaken(world: World, epoch: int) -> None:
    """Wait until a second executor holds the lease.

    One that stopped within any transaction keeps the lease's row until the database ends that,
    after 5 s without a word.
    """
    async with asyncio.timeout(5):
        while (await lease(world))[1] == epoch:  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(0.1)
    assert (await lease(world))[1] == epoch + 1


async def stood_still(ground: Ground, at: str, seconds: int) -> list[float]:
    async with open_world(ground, faults=LATE if at == "cp6" else "") as world:
        first = await world.executor(f"{at}:1:stop", name="first")
        await world.ready(first)
        _, epoch = await lease(world)
        await world.executor(name="second")
        await world.want("0.1")
        pid = await stopped(first)
        await asyncio.sleep(seconds)
        if seconds >= 5:  # far beyond the lease of one second
            await overtaken(world, epoch)
        before = await world.rows(READ_OLD, epoch)
        os.kill(pid, signal.SIGCONT)
        if seconds >= 5:
            assert first.process is not None
            await asyncio.wait_for(first.process.wait(), 20)
            assert first.process.returncode not in (0, None)
            assert await world.rows(READ_OLD, epoch) == before
        spans = await assert_nothing_lost_or_doubled(world)
        if at == "cp6":
            (old,) = await world.rows(
                "SELECT link_id, state FROM execution.attempt WHERE lease_epoch = $1", epoch
            )
            known = {order["link_id"] for order in world.venue_rows("orders")}
            assert (old["state"], old["link_id"] in known) == ("absent", False)
        return spans


@staged(
    told(stood_still, at="cp5", seconds=1),
    told(stood_still, at="cp5", seconds=5),
    told(stood_still, at="cp6", seconds=5),
    nightly=(
        told(stood_still, at="cp12", seconds=5),
        told(stood_still, at="cp5", seconds=30),
        told(stood_still, at="cp6", seconds=30),
    ),
)
def test_an_executor_that_stood_still_at_its_send_does_no_harm_when_it_wakes(
    case: Story, stage: Stage
) -> None:
    assert max(stage.outcome(case), default=0) <= ALONE_MAX_SECONDS


async def watchdog_acts(ground: Ground) -> list[float]:
    async with open_world(ground) as world:
        await world.executor(name="watchdog", safe=True)
        executor = await world.executor("cp15")
        await world.want("0.1")
        await world.died(executor)
        spans = await assert_nothing_lost_or_doubled(world)
        (plan,) = await world.rows(
            "SELECT state, reason FROM execution.plan WHERE intent_id = 'intent-1'"
        )
        assert plan["reason"] == "watchdog"
        async with asyncio.timeout(10):
            while (await lease(world))[0]:  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0.1)
        return spans


@staged(watchdog_acts)
def test_the_watchdog_removes_what_a_dead_executor_left_alone_and_steps_back(
    case: Story, stage: Stage
) -> None:
    (span,) = stage.outcome(case)
    assert 15 <= span <= ALONE_MAX_SECONDS


async def comes_back(ground: Ground) -> list[float]:
    async with open_world(ground) as world:
        await world.executor(name="watchdog", safe=True)
        executor = await world.executor("cp15")
        await world.want("0.1")
        await world.died(executor)
        await asyncio.sleep(20)
        await world.restarted()
        await world.quiet()
        await world.want("0.2")
        spans = await assert_nothing_lost_or_doubled(world)
        (last,) = await world.rows(
            "SELECT state, target_quantity FROM execution.plan WHERE intent_id = 'intent-2'"
        )
        assert (last["state"], str(last["target_quantity"])) == ("hedged", "0.2")
        return spans


@staged(comes_back)
def test_an_executor_that_comes_back_after_the_watchdog_acted_goes_on(
    case: Story, stage: Stage
) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS
