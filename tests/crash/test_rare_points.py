"""The crash points that need more than two legs, and those of the strategy.

Source: RELIABILITY 2.2, crash points 0 to 3 and 16 to 20.
"""

import pytest

from services.carry.demo import closing
from tests.crash.checks import ALONE_MAX_SECONDS, assert_nothing_lost_or_doubled
from tests.crash.ground import BARE, Ground
from tests.crash.stage import Stage, Story, staged, told
from tests.crash.world import World, open_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RESTS = """
[execution]
maker_seconds = 1
maker_chance = 1
maker_adverse = 0
spot_maker_fee = 0.0001
"""
HEDGE_REFUSED = """
faults:
  - kind: error
    where: order/create
    nth: [2, 3, 4]
    code: 110007
    message: ab not enough for new order
"""
KILL = """
    INSERT INTO execution.kill (level, reason, pressed_by, pressed_at)
    VALUES (1, 'test', 'somebody', now())"""


async def held(world: World) -> dict[str, str]:
    """Return the perpetual shorts that are not zero, as text."""
    rows = await world.rows("SELECT pair, perp_quantity FROM execution.position")
    return {r["pair"]: str(-r["perp_quantity"].normalize()) for r in rows if r["perp_quantity"]}


async def reasons(world: World) -> list[tuple[str, str]]:
    rows = await world.rows("SELECT state, reason FROM execution.plan ORDER BY created_at")
    return [(row["state"], row["reason"].partition(":")[0]) for row in rows]


async def cancel_unconfirmed(ground: Ground) -> list[float]:
    async with open_world(ground, policy=RESTS) as world:
        world.keep_watch()
        executor = await world.executor("cp16")
        await world.want("0.1")
        await world.died(executor)
        await world.restarted()
        spans = await assert_nothing_lost_or_doubled(world)
        rested = [o for o in world.venue_rows("orders") if o["time_in_force"] == "PostOnly"]
        assert {o["status"] for o in rested} == {"Cancelled"}
        assert await held(world) in ({}, {"BTCUSDT": "0.1"})
        return spans


@staged(cancel_unconfirmed)
def test_a_cancel_that_nobody_confirmed_is_asked_again(case: Story, stage: Stage) -> None:
    assert max(stage.outcome(case), default=0) <= ALONE_MAX_SECONDS


async def unwind_wanted(ground: Ground) -> list[float]:
    async with open_world(ground, faults=HEDGE_REFUSED) as world:
        executor = await world.executor("cp17")
        await world.want("0.1")
        await world.died(executor)
        await world.restarted()
        spans = await assert_nothing_lost_or_doubled(world)
        assert await held(world) == {}
        return spans


@staged(unwind_wanted)
def test_an_unwind_begins_from_what_is_owned_not_from_what_was_meant(
    case: Story, stage: Stage
) -> None:
    (span,) = stage.outcome(case)
    assert span <= ALONE_MAX_SECONDS


async def kill_seen(ground: Ground) -> list[float]:
    async with open_world(ground) as world:
        executor = await world.executor("cp18")
        await world.ready(executor)
        await world.execute(KILL)
        await world.want("0.1")
        await world.died(executor)
        await world.restarted()
        spans = await assert_nothing_lost_or_doubled(world)
        assert await reasons(world) == [("refused", "killed")]
        assert world.venue_rows("orders") == []
        return spans


@staged(kill_seen)
def test_a_kill_that_was_read_and_not_acted_on_still_stands(case: Story, stage: Stage) -> None:
    assert stage.outcome(case) == []


async def repair_storing(ground: Ground) -> list[float]:
    async with open_world(ground) as world:
        executor = await world.executor("cp19")
        await world.want("0.1")
        await world.worked(1)
        await world.trade("linear", "BTCUSDT", "Buy", "0.04")
        await world.died(executor)
        await world.restarted()
        spans = await assert_nothing_lost_or_doubled(world)
        assert await held(world) == {"BTCUSDT": "0.06"}
        return spans


@staged(repair_storing)
def test_a_repair_cut_short_is_made_once(case: Story, stage: Stage) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS


async def lease_taken(ground: Ground) -> list[float]:
    async with open_world(ground) as world:
        first = await world.executor("cp15")
        await world.want("0.1")
        await world.died(first)
        await world.died(await world.executor("cp20", name="second"))
        await world.restarted("third")
        return await assert_nothing_lost_or_doubled(world)


@staged(lease_taken)
def test_whoever_takes_the_lease_and_dies_leaves_it_to_the_next(case: Story, stage: Stage) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS


async def decision(ground: Ground, at: str) -> list[float]:
    async with open_world(ground, template=BARE) as world:
        crash = {**world.environment, "CARRY_CRASH_AT": at}
        strategy = ground.child("strategy", crash, world.folder)
        after = ground.child("strategy", world.environment, world.folder)
        collector = ground.child("collector", world.environment, world.folder)
        world.children += [collector, strategy, after]
        for child in (collector, strategy):
            await child.start()
        executor = await world.executor()
        for child in (collector, strategy, executor):
            await world.ready(child)
        (await world.client.post(f"{world.simulator.url}/sim/start")).raise_for_status()
        await world.died(strategy)
        await after.start()
        await world.worked(1)
        (await world.client.post(f"{world.simulator.url}/sim/freeze")).raise_for_status()
        await world.quiet()
        while not await closing.is_quiet(world.pool, await world.venue()):
            await world.quiet()
        spans = await assert_nothing_lost_or_doubled(world)
        (doubled,) = await world.rows(
            "SELECT (SELECT count(*) FROM strategy.intent) - count(*) AS missing,"
            " count(*) - count(DISTINCT intent_id) AS extra FROM execution.plan"
            " WHERE intent_id NOT LIKE 'residual:%'"
        )
        assert doubled == {"missing": 0, "extra": 0}
        assert await held(world) != {}
        return spans


@staged(*(told(decision, at=at) for at in ("cp0", "cp1", "cp2", "cp3")))
def test_a_decision_is_carried_out_once_though_the_strategy_ends_at(
    case: Story, stage: Stage
) -> None:
    assert max(stage.outcome(case)) <= ALONE_MAX_SECONDS
