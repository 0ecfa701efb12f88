"""Targets for five pairs, faster than they can be reached: plans overtake one another in flight."""

import asyncio
from random import Random

from tests.crash.world import World

QUANTITIES = {
    "BTCUSDT": ("0", "0.05", "0.1", "0.15"),
    "ETHUSDT": ("0", "1", "2", "3"),
    "SOLUSDT": ("0", "40", "80", "120"),
    "XRPUSDT": ("0", "4000", "8000"),
    "BNBUSDT": ("0", "10", "20", "30"),
}


async def press(world: World, seconds: float, seed: int) -> None:
    """Say three targets a second or so, for ``seconds``."""
    draw = Random(seed)
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        pair = draw.choice(sorted(QUANTITIES))
        await world.want(draw.choice(QUANTITIES[pair]), pair)
        await asyncio.sleep(draw.uniform(0.1, 0.5))
