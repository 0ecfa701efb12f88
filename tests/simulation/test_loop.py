"""Virtual time, and processes that freeze and die in it."""

import asyncio

import pytest

from tests.simulation.loop import Deadlock, Process, VirtualLoop


async def _counts(loop: VirtualLoop, seen: list[float], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        seen.append(loop.time())


def _ran(loop: VirtualLoop, seconds: float) -> None:
    async def rest() -> None:
        await asyncio.sleep(seconds)

    loop.run_until_complete(rest())


def _closed(loop: VirtualLoop, process: Process) -> None:
    process.kill()
    loop.run_until_complete(process.gone())
    loop.close()


def test_time_jumps_to_the_next_timer() -> None:
    loop = VirtualLoop()
    _ran(loop, 3600.0)
    assert loop.time() == 3600.0
    loop.close()


def test_waiting_for_what_nobody_will_do_is_an_error() -> None:
    loop = VirtualLoop()
    with pytest.raises(Deadlock):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_a_frozen_process_does_nothing_and_then_catches_up() -> None:
    loop, seen = VirtualLoop(), list[float]()
    process = Process("one", 1, loop)
    process.spawn(_counts(loop, seen, 1.0))
    _ran(loop, 2.5)
    process.pause()
    _ran(loop, 5.0)
    assert seen == [1.0, 2.0]
    process.resume()
    _ran(loop, 1.2)
    assert seen == [1.0, 2.0, 7.5, 8.5]
    _closed(loop, process)


def test_a_killed_process_leaves_no_task_behind() -> None:
    loop, seen = VirtualLoop(), list[float]()
    process = Process("one", 1, loop)
    process.spawn(_counts(loop, seen, 1.0))
    _ran(loop, 1.5)
    process.kill()
    _ran(loop, 5.0)
    assert seen == [1.0]
    loop.run_until_complete(process.gone())
    assert asyncio.all_tasks(loop) == set()
    loop.close()


def test_tasks_hash_by_the_order_of_their_making() -> None:
    loop = VirtualLoop()

    async def order() -> list[int]:
        tasks = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(3)]
        await asyncio.gather(*tasks)
        return [hash(task) - hash(tasks[0]) for task in tasks]

    assert loop.run_until_complete(order()) == [0, 1, 2]
    loop.close()
