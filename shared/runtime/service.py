"""A service is a handful of endless loops: they start together, stop together, fail together."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvloop

Loop = Callable[[], Coroutine[Any, Any, None]]

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
CANCELLATIONS: Final = 10


def configure_loop() -> None:
    """Make uvloop the loop of every later ``asyncio.run`` in this process."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def run_until_stopped(
    *loops: Loop, stop: asyncio.Event | None = None, stop_seconds: float = 10.0
) -> None:
    """Run ``loops`` until SIGTERM, SIGINT or ``stop``, or until all have returned.

    The first loop to fail cancels the others, and its own exception is raised once they are down.

    Raises:
        TimeoutError: a cancelled loop was still busy after ``stop_seconds`` of wall time.
    """
    stop = asyncio.Event() if stop is None else stop
    tasks = [asyncio.create_task(loop(), name=_name(loop)) for loop in loops]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        with _stop_signals_set(stop):
            await _first_failure_or_stop(tasks, stopping)
    finally:
        stopping.cancel()
        await _stopped(tasks, stop_seconds)
    for error in _errors(tasks):
        raise error


async def _first_failure_or_stop(
    tasks: list[asyncio.Task[None]], stopping: asyncio.Task[Any]
) -> None:
    running: set[asyncio.Task[Any]] = set(tasks)
    while running and not stopping.done():
        done, _ = await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        running -= done
        for task in done - {stopping}:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


async def _stopped(tasks: list[asyncio.Task[None]], stop_seconds: float) -> None:
    """Cancel what runs, again and again: a library may turn a cancellation into a time-out."""
    patience = stop_seconds / CANCELLATIONS
    for _ in range(CANCELLATIONS):
        running = [task for task in tasks if not task.done()]
        if not running:
            return
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=patience)
    _errors(tasks)
    if busy := sorted(task.get_name() for task in tasks if not task.done()):
        names = ", ".join(busy)
        raise TimeoutError(f"still busy {stop_seconds:g} s after being told to stop: {names}")


def _errors(tasks: list[asyncio.Task[None]]) -> list[BaseException]:
    """Return the failures of what is done; having been asked for, none is told as forgotten."""
    ended = [task for task in tasks if task.done() and not task.cancelled()]
    return [error for task in ended if (error := task.exception()) is not None]


@contextmanager
def _stop_signals_set(stop: asyncio.Event) -> Iterator[None]:
    running = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        running.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            running.remove_signal_handler(number)


def _name(loop: Loop) -> str:
    return getattr(loop, "__qualname__", type(loop).__name__)
