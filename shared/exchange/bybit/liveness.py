"""Which topics of one socket still speak: an open socket and a pong prove nothing of a topic."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.exchange.bybit.frames import PublicFrame

REPEAT_SECONDS: Final = 3.0
"""An unchanged level-1 book comes again after this long. Source: Bybit V5 orderbook topic."""
GAPS_MISSED: Final = 3
WEIGHT: Final = 0.125


@dataclass(slots=True)
class _Pace:
    """One topic: when it spoke last, of what instant, and its mean gap on each of the clocks."""

    heard: float
    stamp: int
    gap: float = 0.0
    step: float = 0.0

    def note(self, now: float, stamp: int) -> None:
        since = now - self.heard
        self.gap = self.gap + WEIGHT * (since - self.gap) if self.gap else since
        self.heard = now
        if stamp > self.stamp:
            if self.stamp:  # what could not be read has none
                moved = stamp - self.stamp
                self.step = self.step + WEIGHT * (moved - self.step) if self.step else moved
            self.stamp = stamp

    def is_stale(self, now: float, newest_ms: int, behind_ms: int) -> bool:
        behind = newest_ms - self.stamp
        if behind > (behind_ms if self.step <= behind_ms else GAPS_MISSED * self.step):
            return True
        return behind > 0 and now - self.heard > GAPS_MISSED * max(REPEAT_SECONDS, self.gap)


class Liveness:
    """When each topic spoke since the stream was connected, and of what instant, on two clocks.

    Wall seconds are monotonic, stamps are venue milliseconds; they are never subtracted from each
    other. On either clock a topic may be late by its bound, and one whose own mean gap is longer
    by three of its gaps: what is quiet by nature is left in peace.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._paces: dict[str, _Pace] = {}

    def hear(self, frames: Iterable[PublicFrame], now: float) -> None:
        """Note what arrived at ``now``."""
        for topic, stamp in {frame.topic: frame.ts for frame in frames}.items():
            pace = self._paces.get(topic)
            if pace is None:
                self._paces[topic] = _Pace(now, stamp)
            else:
                pace.note(now, stamp)

    def unheard(self) -> list[str]:
        """Return the topics that have not spoken yet."""
        return [topic for topic in self._topics if topic not in self._paces]

    def stale(self, now: float, newest_ms: int, behind_ms: int) -> list[str]:
        """Return the topics that spoke and have fallen back behind the venue's newest stamp.

        They are silent on the wall clock, or behind that stamp by more than ``behind_ms``. Where
        the venue stands still nothing has fallen back, however silent it is.
        """
        return [
            topic
            for topic in self._topics
            if (pace := self._paces.get(topic)) and pace.is_stale(now, newest_ms, behind_ms)
        ]
