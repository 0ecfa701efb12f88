"""The streams: their names, and about how many entries Redis keeps of each."""

from typing import Final

MARKET_QUOTES: Final = "market.quotes"
MARKET_FUNDING: Final = "market.funding"
MARKET_INSTRUMENTS: Final = "market.instruments"
STRATEGY_INTENTS: Final = "strategy.intents"
EXECUTION_EVENTS: Final = "execution.events"
CONTROL_COMMANDS: Final = "control.commands"

LENGTHS: Final = {
    MARKET_QUOTES: 10_000,
    MARKET_FUNDING: 10_000,
    MARKET_INSTRUMENTS: 10_000,
    STRATEGY_INTENTS: 10_000,
    EXECUTION_EVENTS: 50_000,
    CONTROL_COMMANDS: 10_000,
}
"""A consumer further behind than this reads the outbox table, which keeps everything."""

LENGTH_DEFAULT: Final = 10_000
BODY: Final = b"b"
"""The one field of an entry: the message as JSON."""


def entry_id(epoch: int, sequence: int) -> str:
    """Return the id of an outbox row in its stream; never reused, not even after a restore."""
    return f"{epoch}-{sequence}"


def parse_entry_id(entry: bytes | str) -> tuple[int, int]:
    """Return (epoch, sequence)."""
    text = entry.decode() if isinstance(entry, bytes) else entry
    epoch, _, sequence = text.partition("-")
    return int(epoch), int(sequence)
