"""A clock that moves only when a test says so."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count


class ManualClock:
    """Implements ``shared.runtime.clock.Clock``; ``advance`` wakes the sleepers that are due.

    With ``auto=True`` a sleep moves the clock itself and returns at once: for a lone loop.
    """

    def __init__(
        self, at: datetime = datetime(2023, 11, 11, tzinfo=UTC), *, auto: bool = False
    ) -> None:
        self._start = at
        self._elapsed = timedelta(0)
        self._auto = auto
        self._order = count()
        self._sleepers: list[tuple[timedelta, int, asyncio.Future[None]]] = []
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed.total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds <= 0 or self._auto:
            self._elapsed += timedelta(seconds=max(seconds, 0.0))
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        due = self._elapsed + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        await woken

    @property
    def waiting(self) -> int:
        """How many sleepers have not been woken."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move forward, waking every sleeper at its own instant and letting it run in between."""
        target = self._elapsed + timedelta(seconds=seconds)
        await _let_tasks_run()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, woken = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not woken.done():
                woken.set_result(None)
            await _let_tasks_run()
        self._elapsed = target
        await _let_tasks_run()


async def _let_tasks_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
