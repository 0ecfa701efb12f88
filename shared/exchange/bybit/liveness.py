"""Which topics of one socket still speak: an open socket and a pong prove nothing of a topic."""

from collections.abc import Iterable, Sequence
from typing import Final

from shared.exchange.bybit.frames import PublicFrame

REPEAT_SECONDS: Final = 3.0
"""An unchanged level-1 book comes again after this long. Source: Bybit V5 orderbook topic."""
GAPS_MISSED: Final = 3
WEIGHT: Final = 0.125


class Liveness:
    """When each topic spoke since the stream was connected; seconds are monotonic.

    A topic is silent after three times its own mean gap, never counted shorter than the time
    after which the venue repeats a book: one that is quiet by nature is left in peace.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._heard: dict[str, float] = {}
        self._gaps: dict[str, float] = {}

    def hear(self, frames: Iterable[PublicFrame], now: float) -> None:
        """Note what arrived at ``now``."""
        for topic in {frame.topic for frame in frames}:
            before = self._heard.get(topic)
            if before is not None:
                mean = self._gaps.get(topic, now - before)
                self._gaps[topic] = mean + WEIGHT * (now - before - mean)
            self._heard[topic] = now

    def unheard(self) -> list[str]:
        """Return the topics that have not spoken yet."""
        return [topic for topic in self._topics if topic not in self._heard]

    def silent(self, now: float) -> list[str]:
        """Return the topics that spoke and have fallen silent."""
        return [
            topic
            for topic in self._topics
            if topic in self._heard
            and now - self._heard[topic]
            > GAPS_MISSED * max(REPEAT_SECONDS, self._gaps.get(topic, REPEAT_SECONDS))
        ]
