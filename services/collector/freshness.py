"""Whether the public streams bring all that they should, topic by topic."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol

SILENCE_MAX_SECONDS: Final = 10.0
"""A venue that stands still repeats its books every three seconds."""
LIVE_BEHIND: Final = timedelta(seconds=3.5)
REPLAY_BEHIND: Final = timedelta(hours=2)  # two bars
NAMED_MAX: Final = 5


class Streams(Protocol):
    """What is asked of the feed."""

    @property
    def is_listening(self) -> bool:
        """Whether every stream has confirmed its topics."""

    def silence_seconds(self) -> float | None:
        """Return the wall time since the last message; None before the first."""

    def unheard_topics(self) -> Sequence[str]:
        """Return the topics without a message since the last connection."""

    def stale_topics(self, behind: timedelta) -> Sequence[str]:
        """Return the topics that have fallen silent, or back by ``behind`` of venue time."""


def behind_max(venue: str) -> timedelta:
    """Return by how much of venue time a topic may be older than the newest stamp."""
    return REPLAY_BEHIND if venue == "replay" else LIVE_BEHIND


def missing_of(streams: Streams, behind: timedelta) -> list[str]:
    """Return why the public streams are not complete, one sentence each; nothing when they are.

    A venue whose time has not begun says nothing, and nothing is missing then.
    """
    if not streams.is_listening:
        return ["the public streams are not subscribed yet"]
    silence = streams.silence_seconds()
    if silence is None:
        return []
    reasons = []
    if silence > SILENCE_MAX_SECONDS:
        reasons.append(f"no public message for {silence:.0f} s")
    if unheard := streams.unheard_topics():
        reasons.append(f"not heard since the connection: {_named(unheard)}")
    if stale := streams.stale_topics(behind):
        reasons.append(f"stale: {_named(stale)}")
    return reasons


def _named(topics: Sequence[str]) -> str:
    more = len(topics) - NAMED_MAX
    return ", ".join(topics[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
