"""``market.quotes``: the latest wins, nothing is durable, and nobody waits for a slow reader."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
import structlog
from redis.asyncio import Redis

from shared.bus.messages import QuoteUpdated, decode, encode
from shared.bus.redis import BLOCK_MILLISECONDS, UNAVAILABLE, stop_if_cancelled
from shared.bus.streams import BODY, LENGTHS, MARKET_QUOTES, parse_entry_id
from shared.runtime.clock import Clock

FIRST_LOOK_MILLISECONDS: Final = 5_000
FIRST_LOOK_ENTRIES: Final = 5_000
BATCH: Final = 1_000
DEAF_SECONDS: Final = 0.2

Position = tuple[int, int]

log = structlog.get_logger()


class QuotePublisher:
    """Adds quotes to the stream; what Redis does not take is gone, and counted in ``lost``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.lost = 0

    async def publish(self, quotes: Sequence[QuoteUpdated]) -> None:
        """Publish in this order, in one round trip; never raises for an absent Redis."""
        if not quotes:
            return
        pipeline = self._redis.pipeline(transaction=False)
        length = LENGTHS[MARKET_QUOTES]
        for quote in quotes:
            pipeline.xadd(MARKET_QUOTES, {BODY: encode(quote)}, maxlen=length, approximate=True)
        try:
            await pipeline.execute()
        except UNAVAILABLE as error:
            self.lost += len(quotes)
            log.warning("quotes_not_published", count=len(quotes), error=str(error))


class QuoteReader:
    """Reads the newest quotes, then every one that follows, across restarts of Redis.

    ``malformed`` counts entries that are no quotes; they are passed over.
    """

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self.malformed = 0

    async def batches(self) -> AsyncIterator[list[QuoteUpdated]]:
        """Yield quotes in the order of publication, never an empty batch, without end."""
        position: Position | None = None
        while True:
            stop_if_cancelled()
            try:
                if position is None:
                    entries = await self._newest()
                    position = parse_entry_id(entries[-1][0]) if entries else (0, 0)
                else:
                    entries = await self._following(position)
                    if not entries and await self._was_emptied(position):
                        position = None
                    elif entries:
                        position = parse_entry_id(entries[-1][0])
            except UNAVAILABLE as error:
                log.warning("quotes_not_heard", error=str(error))
                await self._clock.sleep(DEAF_SECONDS)
                continue
            if quotes := self._decoded(entries):
                yield quotes

    async def _newest(self) -> list[Any]:
        """Return the entries of the last seconds, oldest first."""
        newest: Any = await self._redis.xrevrange(MARKET_QUOTES, count=1)
        if not newest:
            return []
        since = max(parse_entry_id(newest[0][0])[0] - FIRST_LOOK_MILLISECONDS, 0)
        entries: Any = await self._redis.xrevrange(
            MARKET_QUOTES, min=since, count=FIRST_LOOK_ENTRIES
        )
        return list(reversed(entries))

    async def _following(self, position: Position) -> list[Any]:
        after = f"{position[0]}-{position[1]}"
        answer: Any = await self._redis.xread(
            {MARKET_QUOTES: after}, count=BATCH, block=BLOCK_MILLISECONDS
        )
        return [entry for _, entries in answer or [] for entry in entries]

    async def _was_emptied(self, position: Position) -> bool:
        """Return whether Redis came back with less than we read, so that its ids begin lower."""
        newest: Any = await self._redis.xrevrange(MARKET_QUOTES, count=1)
        return bool(newest) and parse_entry_id(newest[0][0]) < position

    def _decoded(self, entries: list[Any]) -> list[QuoteUpdated]:
        quotes = []
        for name, fields in entries:
            try:
                message = decode(fields[BODY])
            except (KeyError, msgspec.DecodeError) as error:
                self.malformed += 1
                log.error("quote_malformed", entry=str(name), error=str(error))
                continue
            if isinstance(message, QuoteUpdated):
                quotes.append(message)
            else:
                self.malformed += 1
        return quotes
