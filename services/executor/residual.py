"""What stands alone and is nobody's work: seen each second, taken back, and told while it lasts."""

import asyncio
from decimal import Decimal
from typing import Final

import structlog

from services.executor.desk import Desk
from services.executor.executor import Executor
from services.executor.journal import Journal
from services.executor.kill import BY, CANCELS
from services.executor.last_resort import LastResort
from shared.domain.money import ZERO, plain
from shared.domain.policy import ExecutionPolicy
from shared.runtime.clock import Clock
from shared.store.kill import press_kill_once

LOOK_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 15.0

log = structlog.get_logger()


class Residuals:
    """Looks at what is owned, never at what was seen happening; once ``armed`` it acts.

    So it does not matter who shrank a leg (a deleveraging, a liquidation, a person) or which event
    was lost: the other leg follows (R:H5, F:R6).
    """

    def __init__(
        self,
        executor: Executor,
        *,
        armed: asyncio.Event,
        journal: Journal,
        clock: Clock,
        policy: ExecutionPolicy,
        last_resort: LastResort,
    ) -> None:
        self._executor = executor
        self._armed = armed
        self._journal = journal
        self._clock = clock
        self._policy = policy
        self._last_resort = last_resort
        self._warned: set[str] = set()
        self._tried: dict[str, tuple[Decimal, Decimal, float]] = {}

    async def run(self) -> None:
        """Look each second, for ever."""
        await self._armed.wait()
        while True:
            await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Take back what no plan works on, and tell of what has stood alone too long."""
        for name, desk in self._executor.desks.items():
            desk.follow_hedge()
            await self._tell(desk)
            if not desk.is_hedged and self._executor.workers[name].is_idle:
                await self._take_back(desk)

    async def _take_back(self, desk: Desk) -> None:
        """Plan it; the same thing that a plan has just failed to remove only after a while."""
        position, now = desk.position, self._clock.monotonic()
        owned = (position.spot_quantity, position.perp_quantity)
        spot, perp, again_at = self._tried.get(desk.pair.name, (ZERO, ZERO, 0.0))
        if (spot, perp) == owned and now < again_at:
            return
        self._tried[desk.pair.name] = (*owned, now + AGAIN_SECONDS)
        await self._last_resort.look(desk)  # not at a price from before the feed was lost
        await self._executor.repair(desk)

    async def _tell(self, desk: Desk) -> None:
        """Warn, page and, past the last deadline, let nothing new begin anywhere (R:H1)."""
        name, seconds = desk.pair.name, desk.unhedged_for
        if seconds < self._policy.warn_after_seconds:
            self._warned.discard(name)
            return
        detail = f"{plain(desk.position.net_delta)} {desk.pair.base} alone for {seconds:.1f} s"
        if name not in self._warned:
            self._warned.add(name)
            log.warning("leg_alone", pair=name, correlation_id=desk.correlation_id, detail=detail)
        if seconds >= self._policy.flat_after_seconds:
            await self._journal.alarm("naked_too_long", detail, name)
            async with self._journal.transaction() as connection:  # what reduces goes on
                await press_kill_once(connection, CANCELS, f"naked: {name}: {detail}", BY)
        elif seconds >= self._policy.unwind_after_seconds:
            await self._journal.alarm("leg_alone", detail, name)
