"""An event loop whose time jumps to the next timer, and processes in it that freeze and die.

Callbacks run in the order asyncio promises; only ports (store, bus, venue) reorder anything.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from heapq import heappush
from typing import Any, Final

IDLE_STEPS_MAX: Final = 200_000

OWNER: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("owner", default=None)


class Deadlock(Exception):
    """Nothing is scheduled and nothing can ever happen again, or time stands still."""


class Process:
    """What lives and dies together: every task made under it, and the ports that ask it."""

    def __init__(self, name: str, number: int, loop: "VirtualLoop") -> None:
        self.name = name
        self.number = number
        self.is_paused = False
        self.is_dead = False
        self.parked: list[asyncio.Handle] = []
        self.on_signal: dict[int, Callable[[], object]] = {}
        self.on_death: list[Callable[[], None]] = []
        self._loop = loop
        self._tasks: list[SimTask] = []

    def __str__(self) -> str:
        return f"{self.name}#{self.number}"

    def adopt(self, task: "SimTask") -> None:
        """Count a task as ours."""
        self._tasks.append(task)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run ``work`` as the first task of this process."""
        context = contextvars.copy_context()
        context.run(OWNER.set, self)
        return context.run(self._loop.create_task, work)

    def pause(self) -> None:
        """Freeze, as SIGSTOP does: what is due waits."""
        self.is_paused = True

    def resume(self) -> None:
        """Go on with everything that came due meanwhile."""
        self.is_paused = False
        parked, self.parked = self.parked, []
        for handle in parked:
            self._loop.run_soon(handle)

    def kill(self) -> None:
        """End as SIGKILL does: ports refuse from now on, so that no clean-up has any effect."""
        if self.is_dead:
            return
        self.is_dead = True
        for action in self.on_death:
            action()
        self.resume()
        self.cancel_tasks()

    def stop(self, number: int) -> None:
        """Deliver a signal, if anybody listens."""
        action = self.on_signal.get(number)
        if action is not None:
            self._loop.call_soon(action)

    def cancel_tasks(self) -> int:
        """Cancel every task that has not ended and return how many those are."""
        self._tasks = [task for task in self._tasks if not task.done()]
        running = asyncio.current_task(self._loop)
        for task in self._tasks:
            if task is not running:
                task.cancel()
        return len(self._tasks)

    async def gone(self) -> None:
        """Cancel a dead process's tasks again and again, until none is left."""
        while self.cancel_tasks():  # noqa: ASYNC110 - tasks may refuse, so ask again
            await asyncio.sleep(0)


class SimTask(asyncio.Task[Any]):
    """A task that sets iterate in the order of making, whatever its address is."""

    def __init__(self, work: Coroutine[Any, Any, Any], *, serial: int, **options: Any) -> None:
        self._serial = serial
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class _Handle(asyncio.Handle):
    """A callback that waits while its process is frozen."""

    def _run(self) -> None:
        owner = self._context.get(OWNER)  # type: ignore[attr-defined]
        if owner is not None and owner.is_paused:
            owner.parked.append(self)
        else:
            super()._run()


class _TimerHandle(asyncio.TimerHandle):
    """A timer that waits while its process is frozen."""

    def _run(self) -> None:
        owner = self._context.get(OWNER)  # type: ignore[attr-defined]
        if owner is not None and owner.is_paused:
            owner.parked.append(self)
        else:
            super()._run()


class _Jump:
    """In the selector's place: instead of waiting it moves time."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.jump(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs until its work is done or nothing can happen; raises Deadlock in the second case."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0.0
        self._serial = 0
        self._idle_steps = 0
        self._selector = _Jump(self)
        self.errors: list[dict[str, Any]] = []
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        """Return virtual seconds since the start."""
        return self._at

    def jump(self, timeout: float | None) -> None:
        """Move to the next timer."""
        if timeout is None:
            raise Deadlock("nothing is scheduled")
        if timeout > 0:
            self._at = max(self._at, self._scheduled[0]._when)  # type: ignore[attr-defined]
            self._idle_steps = 0
            return
        self._idle_steps += 1
        if self._idle_steps > IDLE_STEPS_MAX:
            raise Deadlock(f"time stands still at {self._at}")

    def run_soon(self, handle: asyncio.Handle) -> None:
        """Queue a handle that was parked."""
        self._ready.append(handle)  # type: ignore[attr-defined]

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback at a virtual instant."""
        timer = _TimerHandle(when, callback, args, self, context)
        heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Remember what the running process does when it is told to stop."""
        owner = OWNER.get()
        if owner is not None:
            owner.on_signal[sig] = partial(callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Forget it."""
        owner = OWNER.get()
        return owner is not None and owner.on_signal.pop(sig, None) is not None

    def _call_soon(
        self, callback: Any, args: Any, context: contextvars.Context | None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def _make_task(
        self, _: asyncio.AbstractEventLoop, work: Generator[Any, Any, Any], **options: Any
    ) -> SimTask:
        self._serial += 1
        task = SimTask(work, serial=self._serial, loop=self, **options)  # type: ignore[arg-type]
        owner = OWNER.get()
        if owner is not None:
            owner.adopt(task)
            if owner.is_dead:
                task.cancel()
        return task

    def _process_events(self, event_list: list[Any]) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody else is to be woken."""
