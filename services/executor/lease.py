"""The fenced lease: one executor writes at a time, and a new one waits out the old one's sends."""

from datetime import timedelta
from typing import Final

import structlog
from asyncpg import Connection

from shared.domain.errors import InvariantViolation, Misconfigured
from shared.runtime.clock import Clock
from shared.store.kill import Kill, read_standing_kills
from shared.store.pool import WritePool

NAME: Final = "executor"
LEASE_SECONDS: Final = 5.0
BEATS: Final = 5
SEVERS: Final = 4

ENSURE: Final = """
    INSERT INTO execution.lease (name, owner, epoch, expires_at)
    VALUES ($1, '', 0, clock_timestamp()) ON CONFLICT (name) DO NOTHING"""
LOCK: Final = """
    SELECT owner, epoch, expires_at <= clock_timestamp() AS is_free
    FROM execution.lease WHERE name = $1 FOR UPDATE SKIP LOCKED"""
TAKE: Final = """
    UPDATE execution.lease SET owner = $2, epoch = epoch + 1,
           expires_at = clock_timestamp() + $3::interval
    WHERE name = $1 RETURNING epoch"""
EXTEND: Final = """
    UPDATE execution.lease SET expires_at = clock_timestamp() + $3::interval
    WHERE name = $1 AND epoch = $2 RETURNING epoch"""
HOLD: Final = "SELECT epoch FROM execution.lease WHERE name = $1 AND epoch = $2 FOR SHARE"
RELEASE: Final = """
    UPDATE execution.lease SET owner = '', expires_at = clock_timestamp()
    WHERE name = $1 AND epoch = $2 AND NOT EXISTS (
        SELECT 1 FROM execution.attempt
        WHERE state NOT IN ('filled', 'cancelled', 'rejected', 'absent'))
    RETURNING epoch"""

log = structlog.get_logger()


class Lease:
    """One row with an epoch; times are the database's.

    ``settle_seconds`` is how long a new holder sends nothing after another one's unclean end:
    the receive window, the clocks' bound and a second, so that no old send can still arrive. It
    runs out ``lease_seconds`` after its last extension, of which there are five in that time.

    Under a kill of level 4 only ``safe_mode`` gets it: an executor that is started again and again
    would take it each time, and the watchdog never hear the silence it waits for.
    """

    def __init__(
        self,
        pool: WritePool,
        clock: Clock,
        owner: str,
        settle_seconds: float,
        lease_seconds: float = LEASE_SECONDS,
        *,
        safe_mode: bool = False,
    ) -> None:
        self._safe_mode = safe_mode
        self._pool = pool
        self._clock = clock
        self._owner = owner
        self._settle_seconds = settle_seconds
        self._expiry = timedelta(seconds=lease_seconds)
        self._beat_seconds = lease_seconds / BEATS
        self._may_send_at = 0.0
        self.epoch = 0

    async def take(self) -> None:
        """Wait until the lease is free and take it; raises Misconfigured under a level 4."""
        waited = False
        while not await self.try_to_take():
            if not waited:
                log.info("lease_awaited", owner=self._owner)
            waited = True
            await self._clock.sleep(self._beat_seconds / 4)

    async def settled(self) -> None:
        """Wait until nothing that an earlier holder signed can reach the venue any more."""
        await self._clock.sleep(max(0.0, self._may_send_at - self._clock.monotonic()))

    async def keep(self) -> None:
        """Extend the lease in time; raises InvariantViolation when another one took it."""
        while True:
            await self._clock.sleep(self._beat_seconds)
            async with self._pool.acquire() as connection:
                kept = await connection.fetchval(EXTEND, NAME, self.epoch, self._expiry)
            if kept is None:
                raise self.lost()

    async def require(self, connection: Connection) -> None:
        """Hold the epoch until the caller's transaction ends; raises InvariantViolation."""
        if await connection.fetchval(HOLD, NAME, self.epoch) is None:
            raise self.lost()

    async def release(self) -> bool:
        """Give the lease up if no order of ours is open, and return whether that was so.

        Otherwise it runs out, and whoever comes next waits as after a crash.
        """
        async with self._pool.acquire() as connection:
            return (await connection.fetchval(RELEASE, NAME, self.epoch)) is not None

    def lost(self) -> InvariantViolation:
        """Return the failure of a holder that was overtaken."""
        return InvariantViolation(f"the executor's lease of epoch {self.epoch} is another's now")

    async def try_to_take(self) -> bool:
        """Take the lease if it is free, and return whether it was.

        Raises: Misconfigured while a kill of level 4 stands, but for the safe mode.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            kills = await read_standing_kills(connection)
            if kills and kills[0].level >= SEVERS and not self._safe_mode:
                raise severed(kills[0])
            await connection.execute(ENSURE, NAME)
            row = await connection.fetchrow(LOCK, NAME)
            if row is None or not row["is_free"]:  # held, or locked by who stood still at work
                return False
            self.epoch = await connection.fetchval(TAKE, NAME, self._owner, self._expiry)
        clean = row["owner"] == ""
        self._may_send_at = self._clock.monotonic() + (0.0 if clean else self._settle_seconds)
        log.info("lease_taken", epoch=self.epoch, after_clean_end=clean)
        return True


def severed(kill: Kill) -> Misconfigured:
    """Return the end of an executor by a kill of level 4."""
    return Misconfigured(
        f"{kill}; the executor runs no more: start it with --safe-mode, or `carry lift {kill.id}`"
    )
