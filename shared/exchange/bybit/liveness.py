"""Which topics of one socket still speak: an open socket and a pong prove nothing of a topic."""

from collections.abc import Iterable, Sequence
from typing import Final

from shared.exchange.bybit.frames import PublicFrame

REPEAT_SECONDS: Final = 3.0
"""An unchanged level-1 book comes again after this long. Source: Bybit V5 orderbook topic."""
GAPS_MISSED: Final = 3
WEIGHT: Final = 0.125


class Liveness:
    """When each topic spoke since the stream was connected, and of what instant, on two clocks.

    Wall seconds are monotonic, stamps are venue milliseconds; they are never subtracted from each
    other. On either clock a topic may be late by its bound, and one whose own mean gap is longer
    by three of its gaps: what is quiet by nature is left in peace.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._heard: dict[str, float] = {}
        self._gaps: dict[str, float] = {}
        self._stamps: dict[str, int] = {}
        self._steps: dict[str, float] = {}

    def hear(self, frames: Iterable[PublicFrame], now: float) -> None:
        """Note what arrived at ``now``."""
        for topic, stamp in {frame.topic: frame.ts for frame in frames}.items():
            _follow(self._gaps, topic, self._heard.get(topic), now)
            self._heard[topic] = now
            before = self._stamps.get(topic, 0)
            if stamp > before:
                _follow(self._steps, topic, before or None, stamp)
                self._stamps[topic] = stamp

    def unheard(self) -> list[str]:
        """Return the topics that have not spoken yet."""
        return [topic for topic in self._topics if topic not in self._heard]

    def stale(self, now: float, newest_ms: int, behind_ms: int) -> list[str]:
        """Return the topics that spoke and have fallen back behind the venue's newest stamp.

        They are silent on the wall clock, or behind that stamp by more than ``behind_ms``. Where
        the venue stands still nothing has fallen back, however silent it is.
        """
        return [
            topic
            for topic in self._topics
            if topic in self._heard and self._is_stale(topic, now, newest_ms, behind_ms)
        ]

    def _is_stale(self, topic: str, now: float, newest_ms: int, behind_ms: int) -> bool:
        behind = newest_ms - self._stamps.get(topic, 0)
        step = self._steps.get(topic, 0.0)
        if behind > (behind_ms if step <= behind_ms else GAPS_MISSED * step):
            return True
        gap = max(REPEAT_SECONDS, self._gaps.get(topic, 0.0))
        return behind > 0 and now - self._heard[topic] > GAPS_MISSED * gap


def _follow(means: dict[str, float], topic: str, before: float | None, now: float) -> None:
    """Move the mean gap of a topic towards its newest gap."""
    if before is not None:
        mean = means.get(topic, now - before)
        means[topic] = mean + WEIGHT * (now - before - mean)
