"""Every crash point alone: the executor ends itself there, is started again, and nothing is lost.

Source: RELIABILITY 2.2, crash points 4 to 20, and matrix row 1.
"""

from dataclasses import dataclass

import pytest

from tests.crash.checks import ALONE_MAX_SECONDS, assert_nothing_lost_or_doubled
from tests.crash.ground import Ground
from tests.crash.stage import Stage, staged
from tests.crash.world import World, open_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

QUANTITY = "0.1"

# No answer is stored while a fill says it all, so the fills come late here.
LATE_FILLS = """
faults:
  - kind: delayed_event
    where: private/*
    seconds: 0.4
"""


@dataclass(frozen=True)
class Case:
    """Where the process ends, after which targets, at which venue."""

    at: str
    targets: tuple[str, ...] = (QUANTITY,)
    faults: str = ""

    def __str__(self) -> str:
        return self.at.replace(":", "-")

    async def __call__(self, ground: Ground) -> list[float]:
        async with open_world(ground, faults=self.faults) as world:
            executor = await world.executor(self.at)
            for count, target in enumerate(self.targets, 1):
                await world.want(target)
                await world.worked(count, unless=executor)
            await world.died(executor)
            await world.restarted()
            spans = await assert_nothing_lost_or_doubled(world)
            await assert_pair_is(world, self.targets[-1])
            return spans


async def assert_pair_is(world: World, target: str) -> None:
    """The last plan ended as it was meant to, or flat: hedged either way."""
    (pair,) = await world.rows("SELECT * FROM execution.position WHERE perp_quantity <> 0") or [{}]
    held = str(-pair["perp_quantity"].normalize()) if pair else "0"
    assert held in (target, "0")


BOTH = (QUANTITY, "0")
OPENING = [
    *(Case(at) for at in ("cp2", "cp3", "cp4", "cp5", "cp5:2", "cp6", "cp6:2", "cp7", "cp7:2")),
    *(Case(at, faults=LATE_FILLS) for at in ("cp8", "cp8:2", "cp9", "cp9:2", "cp10", "cp10:2")),
    *(Case(at) for at in ("cp11", "cp11:2", "cp12", "cp12:2", "cp13", "cp13:2", "cp14", "cp15")),
]
CLOSING = [
    *(Case(at, BOTH) for at in ("cp4:2", "cp5:3", "cp5:4", "cp6:3", "cp6:4", "cp7:3", "cp7:4")),
    *(Case(at, BOTH, LATE_FILLS) for at in ("cp8:3", "cp9:3", "cp10:3", "cp10:4")),
    *(Case(at, BOTH) for at in ("cp11:3", "cp11:4", "cp12:3", "cp12:4", "cp13:3", "cp13:4")),
    *(Case(at, BOTH) for at in ("cp14:2", "cp15:2")),
]

# Nightly is what a sister case proves: each step of a closing stays once, on either leg.
CLOSING_SOON = ("cp4:2", "cp5:3", "cp7:4", "cp8:3", "cp11:3", "cp12:4", "cp14:2", "cp15:2")


@staged(*OPENING)
def test_an_opening_survives_the_end_of_the_executor_at(case: Case, stage: Stage) -> None:
    assert max(stage.outcome(case), default=0) <= ALONE_MAX_SECONDS


@staged(
    *(case for case in CLOSING if case.at in CLOSING_SOON),
    nightly=tuple(case for case in CLOSING if case.at not in CLOSING_SOON),
)
def test_a_closing_survives_the_end_of_the_executor_at(case: Case, stage: Stage) -> None:
    assert max(stage.outcome(case), default=0) <= ALONE_MAX_SECONDS
