"""Loops start together, stop together, and the first failure is the one that is told."""

import asyncio
import os
import signal

import pytest

from shared.runtime.service import configure_loop, run_until_stopped


class Endless:
    """A loop that notes how it went."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.stopped = False

    async def run(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped = True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_signal_ends_every_loop_cleanly(number: int) -> None:
    first, second = Endless(), Endless()

    async def signalling() -> None:
        await first.running.wait()
        await second.running.wait()
        os.kill(os.getpid(), number)

    await run_until_stopped(first.run, second.run, signalling)
    assert (first.stopped, second.stopped) == (True, True)


async def test_the_first_loop_to_fail_stops_the_rest_and_is_raised() -> None:
    other = Endless()

    async def failing() -> None:
        await other.running.wait()
        raise LookupError("the first")

    with pytest.raises(LookupError, match="the first"):
        await run_until_stopped(other.run, failing)
    assert other.stopped


async def test_a_loop_that_fails_while_it_is_stopped_is_raised_too() -> None:
    stop = asyncio.Event()

    async def failing_late() -> None:
        stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("while stopping")

    with pytest.raises(LookupError, match="while stopping"):
        await run_until_stopped(failing_late, stop=stop)


async def test_it_returns_when_every_loop_has_returned() -> None:
    done = []

    async def once() -> None:
        done.append(1)

    await run_until_stopped(once, once)
    assert done == [1, 1]


async def test_a_loop_that_does_not_stop_is_named() -> None:
    stop, release = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        stop.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(TimeoutError, match="stubborn"):
        await run_until_stopped(stubborn, stop=stop, stop_seconds=0.01)
    release.set()


async def test_a_loop_that_swallows_one_cancellation_is_cancelled_again() -> None:
    stop = asyncio.Event()
    swallowed = []

    async def swallowing() -> None:
        stop.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(1)
        await asyncio.Event().wait()

    await run_until_stopped(swallowing, stop=stop, stop_seconds=1)
    assert swallowed == [1]


async def test_signals_are_handled_as_before_once_it_is_over() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def once() -> None:
        assert signal.getsignal(signal.SIGTERM) is not before

    await run_until_stopped(once)
    assert signal.getsignal(signal.SIGTERM) is before


def test_configure_loop_makes_uvloop_the_loop() -> None:
    policy = asyncio.get_event_loop_policy()

    async def loop_module() -> str:
        return type(asyncio.get_running_loop()).__module__

    try:
        configure_loop()
        assert asyncio.run(loop_module()).startswith("uvloop")
    finally:
        asyncio.set_event_loop_policy(policy)
