"""The ground for a session, and a loop of its own in which cases run, two at a time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import pytest

from tests.crash.checks import ALONE_MAX_SECONDS
from tests.crash.ground import Ground, open_ground
from tests.support.servers import made_folder

PARALLEL = 2
CASE_SECONDS = 150

Story = Callable[[Ground], Awaitable[list[float]]]


@dataclass
class Stage:
    """Runs stories on one loop; ``alone`` is how long single legs stood, over all of them."""

    loop: asyncio.AbstractEventLoop
    ground: Ground
    alone: list[float] = field(default_factory=list)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL))
    _begun: dict[object, "Future[list[float]]"] = field(default_factory=dict)

    def begin(self, key: object, story: Story) -> None:
        """Queue a story, once."""
        if key not in self._begun:
            self._begun[key] = asyncio.run_coroutine_threadsafe(self._run(story), self.loop)

    def outcome(self, key: object) -> list[float]:
        """Wait for a story, raise what it raised, or return the seconds that single legs stood."""
        spans = self._begun[key].result()
        self.alone += spans
        return spans

    def play(self, story: Story) -> list[float]:
        """Run one story now."""
        self.begin(story, story)
        return self.outcome(story)

    async def _run(self, story: Story) -> list[float]:
        async with self._room, asyncio.timeout(CASE_SECONDS):
            return await story(self.ground)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Both servers and the templates, on a loop in a thread that lives as long as the session."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stage")
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    try:
        with made_folder() as folder:
            opened = open_ground(folder)
            ground = run(opened.__aenter__())
            try:
                stage = Stage(loop, ground)
                yield stage
                _tell(stage.alone)
            finally:
                run(opened.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _tell(alone: list[float]) -> None:
    if len(alone) < 2:
        return
    cuts = quantiles(alone, n=100, method="inclusive")
    print(  # noqa: T201
        f"\none leg alone at the venue, wall seconds, {len(alone)} times: "
        f"p50 {cuts[49]:.3f}, p99 {cuts[98]:.3f}, max {max(alone):.3f}"
    )
    assert max(alone) <= ALONE_MAX_SECONDS
