"""What a transaction has to tell others: rows that commit with it, published afterwards."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.bus.messages import Message, encode
from shared.bus.redis import UNAVAILABLE as REDIS_UNAVAILABLE
from shared.bus.redis import stop_if_cancelled
from shared.bus.streams import BODY, LENGTH_DEFAULT, LENGTHS, entry_id, parse_entry_id
from shared.domain.errors import Misconfigured
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached
from shared.runtime.retry import backoff_delays
from shared.store.pool import UNAVAILABLE as STORE_UNAVAILABLE
from shared.store.pool import WritePool

TAKE_SEQUENCES: Final = """
    INSERT INTO ops.outbox_sequence (stream, last) VALUES ($1, $2)
    ON CONFLICT (stream) DO UPDATE SET last = outbox_sequence.last + excluded.last
    RETURNING last"""
INSERT_ROWS: Final = """
    INSERT INTO ops.outbox (stream, sequence, body, created_at)
    SELECT $1, sequence, body, now() FROM unnest($2::bigint[], $3::bytea[]) AS t (sequence, body)"""
READ_ROWS: Final = """
    SELECT sequence, body FROM ops.outbox WHERE stream = $1 AND sequence > $2
    ORDER BY sequence LIMIT $3"""
READ_LAST: Final = "SELECT last FROM ops.outbox_sequence WHERE stream = $1"

BATCH: Final = 500
POLL_SECONDS: Final = 1.0

log = structlog.get_logger()


async def enqueue(connection: Any, stream: str, messages: Sequence[Message]) -> list[int]:
    """Store ``messages`` for ``stream`` in the caller's transaction; return their sequences.

    Sequences are gapless: a rollback gives them back, and until the caller commits no other
    transaction gets one of this stream, so call it last.
    """
    if not messages:
        return []
    last: int = await connection.fetchval(TAKE_SEQUENCES, stream, len(messages))
    sequences = list(range(last - len(messages) + 1, last + 1))
    bodies = [encode(message) for message in messages]
    await connection.execute(INSERT_ROWS, stream, sequences, bodies)
    return sequences


class Relay:
    """Publishes committed outbox rows of ``streams`` in order, each under its own stream id.

    Redis refuses a copy by that id, so the relay may publish a row as often as it likes: it keeps
    no state and finds its place from what Redis holds, at least once every second.
    """

    def __init__(
        self, pool: WritePool, redis: Redis, epoch: int, streams: Sequence[str], clock: Clock
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._epoch = epoch
        self._streams = tuple(streams)
        self._clock = clock
        self._bell = asyncio.Event()
        self._places: dict[str, int] = {}

    def notify(self) -> None:
        """Say that a transaction with outbox rows has just committed."""
        self._bell.set()

    async def run(self) -> None:
        """Publish until cancelled, however often Redis or the database is away.

        Raises: Misconfigured when Redis holds the streams of a newer installation.
        """
        delays, looked = _delays(), self._clock.monotonic()
        while True:
            stop_if_cancelled()
            self._bell.clear()
            try:
                for stream in self._streams:
                    await self._publish(stream)
            except (*REDIS_UNAVAILABLE, *STORE_UNAVAILABLE) as error:
                self._places.clear()
                log.warning("relay_waits", error=str(error))
                await self._clock.sleep(next(delays))
                continue
            delays = _delays()
            rang, now = await _rang(self._bell, self._clock), self._clock.monotonic()
            if not rang or now - looked >= POLL_SECONDS:  # a bell that never rests hides nothing
                self._places.clear()  # a Redis emptied between two commands shows up here
                looked = now

    async def _publish(self, stream: str) -> None:
        if stream not in self._places:
            self._places[stream] = await self._place(stream)
        full = True
        while full:
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(READ_ROWS, stream, self._places[stream], BATCH)
            if rows:
                reached(CrashPoint.INTENT_STORED)
                await self._add(stream, rows)
                reached(CrashPoint.RELAYED)
                self._places[stream] = rows[-1]["sequence"]
            full = len(rows) == BATCH

    async def _place(self, stream: str) -> int:
        """Return the sequence up to which Redis needs nothing."""
        epoch, held = await self._last_entry(stream)
        if epoch > self._epoch:
            raise Misconfigured(
                f"Redis holds {stream} of a newer installation (epoch {epoch}, ours is "
                f"{self._epoch}): give each installation a Redis database of its own"
            )
        async with self._pool.acquire() as connection:
            newest = await connection.fetchval(READ_LAST, stream) or 0
        # What MAXLEN would drop at once need not be sent; consumers find it in the table.
        oldest_wanted = newest - LENGTHS.get(stream, LENGTH_DEFAULT)
        return max(held if epoch == self._epoch else 0, oldest_wanted)

    async def _last_entry(self, stream: str) -> tuple[int, int]:
        try:
            info = await self._redis.xinfo_stream(stream)
        except ResponseError as error:
            if "no such key" in str(error):
                return 0, 0
            raise
        return parse_entry_id(info["last-generated-id"])

    async def _add(self, stream: str, rows: Sequence[Any]) -> None:
        length = LENGTHS.get(stream, LENGTH_DEFAULT)
        pipeline = self._redis.pipeline(transaction=False)
        for row in rows:
            name = entry_id(self._epoch, row["sequence"])
            pipeline.xadd(stream, {BODY: row["body"]}, id=name, maxlen=length, approximate=True)
        for answer in await pipeline.execute(raise_on_error=False):
            if isinstance(answer, Exception) and not _is_there(answer):
                raise answer


def _is_there(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "equal or smaller" in str(error)


def _delays() -> Iterator[float]:
    return backoff_delays(lambda: 1.0, first=0.05, ceiling=1.0)


async def _rang(bell: asyncio.Event, clock: Clock) -> bool:
    """Wait for the bell, at most ``POLL_SECONDS``; return whether it rang."""
    ringing = asyncio.create_task(bell.wait())
    timer = asyncio.ensure_future(clock.sleep(POLL_SECONDS))
    try:
        await asyncio.wait({ringing, timer}, return_when=asyncio.FIRST_COMPLETED)
        return ringing.done()
    finally:
        ringing.cancel()
        timer.cancel()
