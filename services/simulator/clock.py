"""Venue time: recorded time at a multiple of wall time, standing still until it is released."""

from decimal import Decimal
from typing import Final, Protocol

from shared.runtime.clock import Clock

POLL_SECONDS: Final = 0.02


class Time(Protocol):
    """Venue time as the desk drives it."""

    speed: Decimal

    @property
    def running(self) -> bool:
        """Whether venue time moves."""

    def wall_ms(self) -> int:
        """Return wall time, in milliseconds since 1970."""

    def now_ms(self) -> int:
        """Return venue time, never past the event that is due next."""

    def start(self) -> None:
        """Let time run."""

    def freeze(self) -> None:
        """Let time stand still."""

    def hold_before(self, event_ms: int | None) -> None:
        """Never show ``event_ms`` or later until the next call; None lifts the cap."""

    def has_reached(self, event_ms: int) -> bool:
        """Return whether the event is due."""

    async def wait_for(self, event_ms: int) -> None:
        """Return when the event is due."""

    async def pause(self, seconds: float) -> None:
        """Return after so many seconds of the wall clock."""


class FollowingClock:
    """Venue time of a live source: the newest stamp it sent, and no guess in between."""

    def __init__(self, start_ms: int, wall: Clock) -> None:
        self.speed = Decimal(1)
        self.running = False
        self._now_ms = start_ms
        self._wall = wall

    async def pause(self, seconds: float) -> None:
        """Return after so many seconds of the wall clock."""
        await self._wall.sleep(seconds)

    def wall_ms(self) -> int:
        """Return wall time, in milliseconds since 1970."""
        return int(self._wall.now().timestamp() * 1000)

    def now_ms(self) -> int:
        """Return the newest stamp that was taken in."""
        return self._now_ms

    def start(self) -> None:
        """Take stamps in."""
        self.running = True

    def freeze(self) -> None:
        """Take no stamps in."""
        self.running = False

    def hold_before(self, event_ms: int | None) -> None:
        """Do nothing: no stamp is shown before it is taken in."""

    def has_reached(self, event_ms: int) -> bool:
        """Take the stamp in, unless time stands still, and return whether it was."""
        if self.running:
            self._now_ms = max(self._now_ms, event_ms)
        return self.running

    async def wait_for(self, event_ms: int) -> None:
        """Return once time runs."""
        while not self.has_reached(event_ms):
            await self._wall.sleep(POLL_SECONDS)


class VenueClock:
    """Venue milliseconds. ``hold_before`` caps them, so that no event is ever overtaken."""

    def __init__(self, speed: Decimal, start_ms: int, wall: Clock) -> None:
        self.speed = speed
        self.running = False
        self._per_second = float(speed * 1000)
        self._wall = wall
        self._since_ms = start_ms
        self._since = wall.monotonic()
        self._ceiling_ms: int | None = None

    async def pause(self, seconds: float) -> None:
        """Return after so many seconds of the wall clock."""
        await self._wall.sleep(seconds)

    def wall_ms(self) -> int:
        """Return wall time, in milliseconds since 1970."""
        return int(self._wall.now().timestamp() * 1000)

    def now_ms(self) -> int:
        """Return venue time, never past the event that is due next."""
        now = self._free_ms()
        return now if self._ceiling_ms is None else min(now, self._ceiling_ms)

    def start(self) -> None:
        """Let time run; no effect when it does."""
        if not self.running:
            self._since = self._wall.monotonic()
            self.running = True

    def freeze(self) -> None:
        """Let time stand still; no effect when it does."""
        self._since_ms = self.now_ms()
        self.running = False

    def hold_before(self, event_ms: int | None) -> None:
        """Never show ``event_ms`` or later until the next call; None lifts the cap."""
        self._ceiling_ms = None if event_ms is None else event_ms - 1

    def has_reached(self, event_ms: int) -> bool:
        """Return whether the event is due."""
        return self.running and self._free_ms() >= event_ms

    async def wait_for(self, event_ms: int) -> None:
        """Return when the event is due, however often time is frozen meanwhile."""
        while not self.has_reached(event_ms):
            left = (event_ms - self._free_ms()) / self._per_second
            await self._wall.sleep(min(left, POLL_SECONDS) if self.running else POLL_SECONDS)

    def _free_ms(self) -> int:
        if not self.running:
            return self._since_ms
        elapsed = self._wall.monotonic() - self._since
        return self._since_ms + int(elapsed * self._per_second)
