"""What the collector needs of the bus: only that, so that tests can stand in for it."""

from collections.abc import Sequence
from typing import Protocol

from shared.bus.messages import QuoteUpdated


class Doorbell(Protocol):
    """Wakes whoever publishes what a transaction left in the outbox."""

    def notify(self) -> None:
        """Say that something was committed."""


class QuoteSink(Protocol):
    """Publishes quotes to whoever listens now; what nobody heard is gone."""

    async def publish(self, quotes: Sequence[QuoteUpdated]) -> None:
        """Publish in this order, in one round trip."""
        ...
