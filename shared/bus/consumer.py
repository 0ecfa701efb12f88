"""Each entry of a stream exactly once, in order: its effect and the cursor commit together.

Redis only rings: entries heard there must follow the cursor without a gap, anything else is read
from the outbox table. So is everything on start, once a second in silence, and without Redis.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec
import structlog
from redis.asyncio import Redis

from shared.bus.messages import Message, decode
from shared.bus.outbox import READ_ROWS
from shared.bus.redis import BLOCK_MILLISECONDS, stop_if_cancelled
from shared.bus.redis import UNAVAILABLE as REDIS_UNAVAILABLE
from shared.bus.streams import BODY, entry_id, parse_entry_id
from shared.domain.errors import InvariantViolation, Malformed, require
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff_delays
from shared.store.pool import UNAVAILABLE as STORE_UNAVAILABLE
from shared.store.pool import WritePool

# A new consumer begins with the oldest row that the table still has.
MAKE_CURSOR: Final = """
    INSERT INTO ops.cursor (consumer, stream, sequence, updated_at)
    SELECT $1, $2, coalesce(
        (SELECT min(sequence) - 1 FROM ops.outbox WHERE stream = $2),
        (SELECT last FROM ops.outbox_sequence WHERE stream = $2), 0), $3
    ON CONFLICT (consumer, stream) DO NOTHING"""
READ_CURSOR: Final = "SELECT sequence FROM ops.cursor WHERE consumer = $1 AND stream = $2"
MOVE_CURSOR: Final = """
    UPDATE ops.cursor SET sequence = $3, updated_at = $4
    WHERE consumer = $1 AND stream = $2 AND sequence = $3 - 1"""
DEAD_LETTER: Final = """
    INSERT INTO ops.dead_letter (consumer, stream, entry, body, error, created_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (consumer, stream, entry) DO NOTHING"""

BATCH: Final = 200
DEAF_SECONDS: Final = 0.2  # between two looks at the table while Redis is away
SKIPPABLE: Final = "market."

Handle = Callable[[Any, Message, int], Awaitable[None]]
AfterCommit = Callable[[Message, int], None]

log = structlog.get_logger()


class Consumer:
    """One named reader of one durable stream; the name owns the cursor: one process at a time."""

    def __init__(
        self, pool: WritePool, redis: Redis, epoch: int, name: str, stream: str, clock: Clock
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._epoch = epoch
        self._name = name
        self._stream = stream
        self._clock = clock
        self._sequence: int | None = None
        self._in_doubt: tuple[int, Message | None] | None = None

    async def run(self, handle: Handle, after_commit: AfterCommit | None = None) -> None:
        """Consume until cancelled: ``handle(connection, message, sequence)`` for every entry.

        ``handle`` runs inside the transaction that moves the cursor; it is called again when that
        transaction did not commit, so what it changes in memory belongs into ``after_commit``,
        which is called once per committed message, in order.

        Raises:
            Malformed: an undecodable entry outside ``market.*``, where it is dead-lettered.
            InvariantViolation: a gap in the table, or another process moved the cursor.
            Exception: what ``handle`` raises, but for a database that is away: that is tried again.
        """
        delays = _delays()
        while True:
            stop_if_cancelled()
            try:
                await self._step(handle, after_commit or _nothing)
                delays = _delays()
            except STORE_UNAVAILABLE as error:
                self._sequence = None  # the last commit may or may not have happened
                log.warning("consumer_waits", stream=self._stream, error=str(error))
                await self._clock.sleep(next(delays))

    async def _step(self, handle: Handle, after_commit: AfterCommit) -> None:
        if self._sequence is None:
            self._sequence = await self._restored(after_commit)
            await self._catch_up(handle, after_commit)
        try:
            entries = await self._heard(self._sequence)
        except REDIS_UNAVAILABLE as error:
            log.warning("consumer_deaf", stream=self._stream, error=str(error))
            await self._catch_up(handle, after_commit)
            await self._clock.sleep(DEAF_SECONDS)
            return
        if self._follow(entries):
            for sequence, body in entries:
                await self._take(sequence, body, handle, after_commit)
        elif not await self._catch_up(handle, after_commit) and entries:
            await self._clock.sleep(DEAF_SECONDS)  # entries of another installation: do not spin

    async def _restored(self, after_commit: AfterCommit) -> int:
        """Return the committed cursor; settle whether the transaction in doubt was committed."""
        async with self._pool.acquire() as connection:
            await connection.execute(MAKE_CURSOR, self._name, self._stream, self._clock.now())
            stored: int = await connection.fetchval(READ_CURSOR, self._name, self._stream)
        if self._in_doubt is not None:
            sequence, message = self._in_doubt
            if stored not in (sequence - 1, sequence):
                raise InvariantViolation(self._moved(sequence))
            self._in_doubt = None
            if stored == sequence and message is not None:
                after_commit(message, sequence)
        return stored

    async def _heard(self, after: int) -> list[tuple[int, bytes]]:
        """Return (sequence, body) of what Redis has after the cursor; -1 for a foreign epoch."""
        answer: Any = await self._redis.xread(
            {self._stream: entry_id(self._epoch, after)}, count=BATCH, block=BLOCK_MILLISECONDS
        )
        heard = []
        for _, entries in answer or []:
            for name, fields in entries:
                epoch, sequence = parse_entry_id(name)
                heard.append((sequence if epoch == self._epoch else -1, fields.get(BODY, b"")))
        return heard

    def _follow(self, entries: list[tuple[int, bytes]]) -> bool:
        """Return whether there are entries and they continue the cursor without a gap."""
        first = (self._sequence or 0) + 1
        sequences = [sequence for sequence, _ in entries]
        return bool(entries) and sequences == list(range(first, first + len(entries)))

    async def _catch_up(self, handle: Handle, after_commit: AfterCommit) -> int:
        """Consume what the table has after the cursor and return how many that were."""
        taken = 0
        while True:
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(READ_ROWS, self._stream, self._sequence, BATCH)
            for row in rows:
                require(
                    row["sequence"] == (self._sequence or 0) + 1,
                    f"{self._stream}: the outbox has {row['sequence']} after {self._sequence}",
                )
                await self._take(row["sequence"], row["body"], handle, after_commit)
            taken += len(rows)
            if len(rows) < BATCH:
                return taken

    async def _take(
        self, sequence: int, body: bytes, handle: Handle, after_commit: AfterCommit
    ) -> None:
        message, error = self._decoded(sequence, body)
        self._in_doubt = (sequence, message)
        async with self._pool.acquire() as connection, connection.transaction():
            await self._move_cursor(connection, sequence)
            if message is None:
                await self._bury(connection, sequence, body, error)
            else:
                await handle(connection, message, sequence)
        self._in_doubt = None
        self._sequence = sequence
        if message is not None:
            after_commit(message, sequence)

    def _decoded(self, sequence: int, body: bytes) -> tuple[Message | None, str]:
        try:
            return decode(body), ""
        except msgspec.DecodeError as error:
            if not self._stream.startswith(SKIPPABLE):
                raise Malformed(f"{self._stream} {sequence}: {error}") from error
            return None, str(error)

    async def _move_cursor(self, connection: Any, sequence: int) -> None:
        now = self._clock.now()
        status = await connection.execute(MOVE_CURSOR, self._name, self._stream, sequence, now)
        require(status == "UPDATE 1", self._moved(sequence))

    async def _bury(self, connection: Any, sequence: int, body: bytes, error: str) -> None:
        entry = entry_id(self._epoch, sequence)
        now = self._clock.now()
        await connection.execute(DEAD_LETTER, self._name, self._stream, entry, body, error, now)
        log.error("entry_dead_lettered", stream=self._stream, entry=entry, error=error)

    def _moved(self, sequence: int) -> str:
        return f"another process consumes {self._stream} as {self._name} (at {sequence})"


def _nothing(_message: Message, _sequence: int) -> None:
    """Stand in for a missing ``after_commit``."""


def _delays() -> Iterator[float]:
    return backoff_delays(lambda: 1.0, first=0.05, ceiling=1.0)
