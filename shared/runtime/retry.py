"""Waiting between attempts: jittered, growing, bounded; only ``Transient`` failures are retried."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from shared.domain.errors import Transient
from shared.runtime.clock import Clock

T = TypeVar("T")


def backoff_delays(
    draw: Callable[[], float], *, first: float = 0.1, ceiling: float = 5.0, factor: float = 2.0
) -> Iterator[float]:
    """Yield seconds to wait before each further attempt, without end.

    Each is uniform between half and all of ``first * factor**n``, capped at ``ceiling``, so that
    clients that failed together do not return together. ``draw`` returns uniforms in [0, 1).
    """
    bound = min(first, ceiling)
    while True:
        yield bound * (0.5 + 0.5 * draw())
        bound = min(bound * factor, ceiling)


async def retry_transient(
    operation: Callable[[], Awaitable[T]],
    *,
    clock: Clock,
    draw: Callable[[], float],
    deadline_seconds: float,
    first: float = 0.1,
    ceiling: float = 5.0,
) -> T:
    """Return what ``operation`` returns, trying again after each ``Transient`` failure.

    A write passed here must be idempotent under its own id. Any other exception passes at once.

    Raises:
        Transient: the last failure, when the next wait would end after ``deadline_seconds``.
    """
    started = clock.monotonic()
    for delay in backoff_delays(draw, first=first, ceiling=ceiling):
        try:
            return await operation()
        except Transient:
            if clock.monotonic() - started + delay > deadline_seconds:
                raise
        await clock.sleep(delay)
    raise AssertionError("backoff_delays has no end")
