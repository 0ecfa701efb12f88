"""Works off queued runs, one after another; another worker takes over what a dead one left."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from shared.domain.errors import Misconfigured
from shared.runtime.clock import Clock
from shared.store.pool import UNAVAILABLE, WritePool
from shared.store.runs import ClaimedRun, Progress, claim_run, finish_run, renew_run

LOOK_SECONDS: Final = 1.0
RENEW_SECONDS: Final = 5.0

Tell = Callable[[Progress], None]
Perform = Callable[[ClaimedRun, Tell], Awaitable[Mapping[str, Any]]]
"""Does one run, tells how far it is, and returns its figures; raises Misconfigured."""

log = structlog.get_logger()


class Worker:
    """``perform`` does the work away from the event loop."""

    def __init__(self, pool: WritePool, clock: Clock, perform: Perform) -> None:
        self._pool = pool
        self._clock = clock
        self._perform = perform
        self._progress: Progress | None = None

    async def run(self) -> None:
        """Look for queued runs for ever; a store that is away is waited for."""
        while True:
            try:
                while await self.step():
                    pass
            except UNAVAILABLE as error:
                log.warning("store_unavailable", detail=type(error).__name__)
            await self._clock.sleep(LOOK_SECONDS)

    async def step(self) -> bool:
        """Work off one run; False when none is queued."""
        async with self._pool.acquire() as connection:
            run = await claim_run(connection, self._clock.now())
        if run is None:
            return False
        log.info("run_claimed", run=run.id, parameters=dict(run.parameters))
        self._progress = None
        work = asyncio.ensure_future(self._result(run))
        try:
            await self._see_through(run, work)
        finally:
            work.cancel()
        return True

    async def _see_through(
        self, run: ClaimedRun, work: "asyncio.Future[Mapping[str, Any] | str]"
    ) -> None:
        """Renew the claim until the work is done, then store what came of it."""
        while True:
            pause = asyncio.ensure_future(self._clock.sleep(RENEW_SECONDS))
            either: set[asyncio.Future[Any]] = {work, pause}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
            now = self._clock.now()
            if work.done():
                break
            async with self._pool.acquire() as connection:
                renewed = await renew_run(connection, run, now, self._progress)
            if renewed is None:
                log.warning("run_lost", run=run.id)
                return
            run = renewed
        said = work.result()
        async with self._pool.acquire() as connection:
            if isinstance(said, str):
                stored = await finish_run(
                    connection, run, now, failure=said, progress=self._progress
                )
            else:
                stored = await finish_run(
                    connection, run, now, result=said, progress=self._progress
                )
        log.info("run_finished", run=run.id, stored=stored)

    async def _result(self, run: ClaimedRun) -> Mapping[str, Any] | str:
        """Return the figures, or one sentence on why there are none."""

        def tell(progress: Progress) -> None:
            self._progress = progress

        try:
            return await self._perform(run, tell)
        except Misconfigured as error:
            return str(error)
