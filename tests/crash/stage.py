"""The stage: stories run on a loop of their own, two at a time, whichever tests ask for them."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.crash.ground import Ground

PARALLEL = 2
STORY_SECONDS = 150

Story = Callable[[Ground], Awaitable[list[float]]]


@dataclass
class Stage:
    """``alone`` is how long single legs stood at the venue, in all stories, wall seconds."""

    loop: asyncio.AbstractEventLoop
    ground: Ground
    alone: list[float] = field(default_factory=list)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL))
    _begun: "dict[Story, Future[list[float]]]" = field(default_factory=dict)

    def begin(self, story: Any) -> None:
        """Queue a story."""
        self._begun[story] = asyncio.run_coroutine_threadsafe(self._run(story), self.loop)

    def outcome(self, story: Story) -> list[float]:
        """Wait for a story, raise what it raised, or return the seconds that single legs stood."""
        spans = self._begun[story].result()
        self.alone += spans
        return spans

    async def _run(self, story: Story) -> list[float]:
        async with self._room, asyncio.timeout(STORY_SECONDS):
            return await story(self.ground)


def told(story: Callable[..., Awaitable[list[float]]], **values: Any) -> Story:
    """Return ``story`` with its values, which are also its name."""
    return partial(story, **values)


def staged(*stories: Story, nightly: tuple[Story, ...] = ()) -> pytest.MarkDecorator:
    """Give a test each story in turn, as ``case``; all that were selected are queued at once."""
    later = [pytest.param(story, marks=pytest.mark.nightly) for story in nightly]
    return pytest.mark.parametrize("case", [*stories, *later], ids=_name)


def _name(story: Any) -> str:
    if isinstance(story, partial):
        return "-".join(str(value) for value in story.keywords.values())
    return getattr(story, "__name__", str(story))
