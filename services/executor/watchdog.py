"""Looks after the executor: what rests is cancelled and what stands alone is removed without it."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

import structlog

from services.executor.kill import FLATTENS
from services.executor.lease import LEASE_SECONDS, NAME
from services.executor.reconcile import cancel_resting
from shared.domain.errors import Malformed, OutcomeUnknown, Rejected, Transient
from shared.exchange.ports import TradingGateway
from shared.runtime.clock import Clock
from shared.store.pool import UNAVAILABLE, WritePool

LOOK_SECONDS: Final = 1.0
CANCEL_AFTER_SECONDS: Final = 5.0
TAKE_OVER_AFTER_SECONDS: Final = 15.0
AGAIN_SECONDS: Final = 60.0

READ_SILENCE: Final = """
    SELECT extract(epoch FROM clock_timestamp() - expires_at)::float8
           + CASE WHEN owner = '' THEN 0 ELSE $2::float8 END
    FROM execution.lease WHERE name = $1"""

log = structlog.get_logger()


def must_flatten(kill_level: int, maintenance_rate: Decimal | None, margin_line: Decimal) -> bool:
    """Return whether hedged pairs are to be closed too, and not only what stands alone (R:K5).

    ``maintenance_rate``: the account's, 1 is liquidation; None where the account has none.
    """
    if kill_level >= FLATTENS:
        return True
    return maintenance_rate is not None and maintenance_rate >= margin_line


class Watchdog:
    """Acts on the silence of the lease, by the database's clock (R:K5).

    After five seconds it cancels what we left resting; after fifteen ``take_over`` is to take the
    lease, remove what stands alone, and give the lease back. Hedged pairs are left alone unless
    ``must_flatten``.
    """

    def __init__(
        self,
        pool: WritePool,
        gateway: TradingGateway,
        clock: Clock,
        take_over: Callable[[], Awaitable[None]],
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.silent_seconds = 0.0
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._take_over = take_over
        self._lease_seconds = lease_seconds
        self._took_at: float | None = None

    async def run(self) -> None:
        """Look each second, for ever."""
        while True:
            try:
                await self.look()
            except (Transient, Malformed, OutcomeUnknown, Rejected) as error:
                log.warning("watchdog_hindered", detail=str(error))
            except UNAVAILABLE as error:  # without the store nothing may be sent
                log.warning("watchdog_blind", detail=str(error))
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read how long the executor has been silent, and do what that asks for."""
        async with self._pool.acquire() as connection:
            silence = await connection.fetchval(READ_SILENCE, NAME, self._lease_seconds)
        self.silent_seconds = 0.0 if silence is None else max(0.0, silence)
        if self.silent_seconds < CANCEL_AFTER_SECONDS:
            self._took_at = None
            return
        await cancel_resting(self._gateway)
        if self.silent_seconds >= TAKE_OVER_AFTER_SECONDS and self._is_time():
            log.error("executor_silent", seconds=round(self.silent_seconds, 1))
            self._took_at = self._clock.monotonic()
            await self._take_over()

    def _is_time(self) -> bool:
        """Whether to take over: at once, and then each minute while nobody comes back."""
        now = self._clock.monotonic()
        return self._took_at is None or now - self._took_at >= AGAIN_SECONDS
