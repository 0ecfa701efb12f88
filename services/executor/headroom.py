"""How near the account is to its liquidation, as the venue said last, and what that forbids."""

from decimal import Decimal
from typing import Final

from services.executor.metrics import UNKNOWN, ExecutorMetrics
from shared.domain.money import ONE, plain
from shared.runtime.clock import Clock

STALE_SECONDS: Final = 30.0
ROOM_SHARE: Final = Decimal("0.8")
"""Of the trim line: below it there is room to acquire. Between the two nothing is done either way,
so that what was trimmed is not bought back and trimmed again."""


class Headroom:
    """The newest maintenance rate, of which one is liquidation; ``trim_line`` is the policy's."""

    def __init__(self, trim_line: Decimal, clock: Clock, metrics: ExecutorMetrics) -> None:
        self.room_below = trim_line * ROOM_SHARE
        self._clock = clock
        self._metrics = metrics
        self._rate: Decimal | None = None
        self._read_at: float | None = None
        self._waits_since = clock.monotonic()

    @property
    def unread_seconds(self) -> float:
        """For how long the account has said nothing, wall seconds."""
        since = self._waits_since if self._read_at is None else self._read_at
        return self._clock.monotonic() - since

    def read(self, rate: Decimal, balance: Decimal | None) -> None:
        """Take in what the venue said: ``balance`` is what backs the account, USD, if it did."""
        self._rate, self._read_at = rate, self._clock.monotonic()
        self._metrics.margin(rate, UNKNOWN if balance is None else balance)

    def unread(self) -> None:
        """Show that nothing is known; what was said counts until it is stale."""
        self._metrics.margin()

    def forbids(self) -> str | None:
        """Return why nothing may be acquired; None: there is room.

        A rate that is missing or stale is no rate: what is held stays, and nothing is added.
        """
        if self._rate is None or self._read_at is None:
            return "the account's margin is not known"
        if self.unread_seconds > STALE_SECONDS:
            return f"the account's margin was not read for {STALE_SECONDS:.0f} s"
        if self._rate >= self.room_below:
            return f"maintenance rate {plain(self._rate)}, {plain(self.room_below)} allowed"
        return None


def shown(rate: Decimal) -> str:
    """Return a rate to four places."""
    return plain(rate.quantize(ONE.scaleb(-4)))
