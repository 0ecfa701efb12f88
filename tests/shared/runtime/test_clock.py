"""The machine's clock is UTC and forward; the tests' clock moves when it is told."""

import asyncio
from datetime import UTC, datetime, timedelta

from shared.runtime.clock import Clock, SystemClock
from tests.support.clock import ManualClock


async def test_the_system_clock_says_utc_and_never_runs_backwards() -> None:
    clock: Clock = SystemClock()
    before, started = clock.now(), clock.monotonic()
    await clock.sleep(-1)
    assert before.utcoffset() == timedelta(0)
    assert clock.monotonic() >= started


async def test_the_manual_clock_wakes_sleepers_in_order_at_their_own_instants() -> None:
    clock = ManualClock(datetime(2023, 11, 11, tzinfo=UTC))
    woken: list[tuple[str, datetime]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper("late", 5)), asyncio.create_task(sleeper("soon", 2))]
    await clock.advance(4)
    assert woken == [("soon", datetime(2023, 11, 11, 0, 0, 2, tzinfo=UTC))]
    assert clock.waiting == 1
    await clock.advance(1)
    await asyncio.gather(*tasks)
    assert woken[1] == ("late", datetime(2023, 11, 11, 0, 0, 5, tzinfo=UTC))
