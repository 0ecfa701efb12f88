"""Any REST client behind the request budget: the one door by which calls reach the venue."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.exchange.bybit.budget import PATIENCE_SECONDS, Budget, Priority
from shared.exchange.bybit.rest import STALLED_SEND, Rest
from shared.runtime.clock import Clock


class BudgetedRest:
    """Calls ``rest`` by its turn. Raises what that raises; RateLimited also when no turn came."""

    def __init__(self, rest: Rest, budget: Budget, clock: Clock) -> None:
        self._rest = rest
        self._budget = budget
        self._clock = clock

    async def read(
        self, method: str, priority: Priority = Priority.READ, /, **query: str | int
    ) -> Mapping[str, Any]:
        """Return the ``result`` of one read."""
        async with self._budget.turn(method, query, priority):
            return await self._rest.read(method, **query)

    async def write(
        self,
        method: str,
        query: Mapping[str, str | int | bool],
        *,
        priority: Priority,
        signed_at: datetime | None = None,
        done_codes: frozenset[int] = frozenset(),
    ) -> Mapping[str, Any]:
        """Return the ``result`` of one write, sent once or, if its turn comes too late, never."""
        async with self._budget.turn(method, query, priority, self._patience(signed_at)):
            return await self._rest.write(method, query, signed_at=signed_at, done_codes=done_codes)

    async def close(self) -> None:
        """Let go of sockets and threads."""
        self._budget.close()
        await self._rest.close()

    def _patience(self, signed_at: datetime | None) -> float:
        """Return for how long what was signed may still be sent, seconds."""
        if signed_at is None:
            return PATIENCE_SECONDS
        return (signed_at + STALLED_SEND - self._clock.now()).total_seconds()
