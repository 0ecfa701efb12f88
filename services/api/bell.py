"""Listens to what other services say, only to look at the store at once; it may well be absent."""

from collections.abc import Callable
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from shared.bus.redis import BLOCK_MILLISECONDS, UNAVAILABLE
from shared.bus.streams import EXECUTION_EVENTS, STRATEGY_INTENTS
from shared.runtime.clock import Clock

AWAY_SECONDS: Final = 1.0

log = structlog.get_logger()


class Bell:
    """Calls ``ring`` whenever an entry is added to ``strategy.intents`` or ``execution.events``."""

    def __init__(self, redis: Redis, clock: Clock, ring: Callable[[], None]) -> None:
        self._redis = redis
        self._clock = clock
        self._ring = ring

    async def run(self) -> None:
        """Listen for ever; while Redis is away the looks by timer go on."""
        places = _newest()
        was_up = True
        while True:
            try:
                heard: Any = await self._redis.xread(places, count=100, block=BLOCK_MILLISECONDS)
                was_up = True
            except UNAVAILABLE as error:
                if was_up:
                    log.warning("bus_unavailable", detail=str(error))
                was_up = False
                places = _newest()
                await self._clock.sleep(AWAY_SECONDS)
                continue
            for stream, entries in heard or ():
                places[stream] = entries[-1][0]
            if heard:
                self._ring()


def _newest() -> dict[Any, Any]:
    return {STRATEGY_INTENTS.encode(): b"$", EXECUTION_EVENTS.encode(): b"$"}
