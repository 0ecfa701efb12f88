"""The ground for a session, and the stage on which all selected stories run."""

import asyncio
import threading
from collections.abc import Iterator
from statistics import quantiles
from typing import Any

import pytest

from tests.crash.checks import ALONE_MAX_SECONDS
from tests.crash.ground import open_ground
from tests.crash.stage import Stage
from tests.support.servers import made_folder


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
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
                for item in request.session.items:
                    if isinstance(item, pytest.Function) and "stage" in item.fixturenames:
                        stage.begin(item.callspec.params["case"])
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
