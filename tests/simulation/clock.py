"""The virtual wall clock of one process."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.simulation.loop import Process, VirtualLoop

BEGIN: Final = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
"""Virtual second zero."""


def wall(loop: VirtualLoop) -> datetime:
    """Return the true wall time, to the microsecond."""
    return BEGIN + timedelta(microseconds=round(loop.time() * 1_000_000))


class SimClock:
    """Implements ``Clock``; ``skew`` is by how much the process's wall time is fast."""

    def __init__(self, loop: VirtualLoop, process: Process, skew: timedelta = timedelta(0)) -> None:
        self._loop = loop
        self._process = process
        self._skew = skew

    def now(self) -> datetime:
        """Return what the process takes for the time."""
        return wall(self._loop) + self._skew

    def monotonic(self) -> float:
        """Return virtual seconds; they go on while a process is frozen."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time; the dead do not wait."""
        if self._process.is_dead:
            raise asyncio.CancelledError
        await asyncio.sleep(max(seconds, 0.0))
