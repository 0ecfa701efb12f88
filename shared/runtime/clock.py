"""Wall time by constructor: what waits or stamps receives a ``Clock`` and never reads one itself.

Venue time is no clock: it is the newest stamp on the public feed and travels as an argument.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time, used to bound waiting and to stamp what was received."""

    def now(self) -> datetime:
        """Return the wall time, UTC and timezone-aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds``; zero or less only yields to the loop."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` on the running loop."""
        await asyncio.sleep(max(seconds, 0.0))
