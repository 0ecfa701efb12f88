"""The insurance pools behind the perpetuals: whether winners are deleveraged there (F:A10)."""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from shared.domain.errors import Malformed, Rejected, Transient
from shared.domain.market import Pool
from shared.exchange.ports import MarketFeed
from shared.runtime.clock import Clock

LOOK_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 5.0
LOST_SECONDS: Final = 180.0
"""The venue makes the list anew each minute: two may fail."""

log = structlog.get_logger()


class PoolWatch:
    """Asks for the pools twice a minute; whoever wants to know asks ``of``, which never waits."""

    def __init__(self, feed: MarketFeed, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self._short: Mapping[str, bool] = {}
        self._told_at: float | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the venue has not told of late, or never."""
        told = self._told_at
        return told is None or self._clock.monotonic() - told > LOST_SECONDS

    def of(self, symbol: str) -> Pool:
        """Return what is known of one perpetual's pool."""
        if self.is_lost:
            return Pool.LOST
        short = self._short.get(symbol)
        if short is None:
            return Pool.UNWATCHED
        return Pool.SHORT if short else Pool.SOUND

    async def look(self, symbols: Sequence[str]) -> None:
        """Ask once; what does not come leaves what is known, until that is too old."""
        try:
            told = await self._feed.fetch_short_pools(symbols)
        except (Transient, Malformed, Rejected) as error:
            log.error("pools_not_told", detail=str(error), lost=self.is_lost)
            return
        for symbol in sorted(told):
            if told[symbol] != self._short.get(symbol, False):
                log.error("pool_changed", symbol=symbol, short=told[symbol])
        self._short, self._told_at = told, self._clock.monotonic()

    async def follow(self, symbols: Sequence[str]) -> None:
        """Look twice a minute, more often while they are lost, for ever."""
        while True:
            await self._clock.sleep(AGAIN_SECONDS if self.is_lost else LOOK_SECONDS)
            await self.look(symbols)
