"""One class per stream entry: frozen, versioned by tag, decimals as JSON strings, instants UTC.

``venue_at``, ``settled_at``, ``decided_at`` are the exchange's time; ``received_at`` is ours.
Unknown fields are ignored on reading. A reshaped message gets a new tag, never a new meaning.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from shared.domain.market import Pool


class QuoteUpdated(msgspec.Struct, frozen=True, tag="quote_updated.v1"):
    """Stream ``market.quotes``: the conflated top of one book; key (category, symbol).

    The fields from ``mark`` on are filled for ``linear`` only; ``predicted_rate`` is the venue's
    running estimate, a fraction of notional for the interval that ends at ``next_funding_at``.
    ``venue_at`` is the older stamp of book and ticker, ``ticker_at`` the ticker's own; ``pool`` is
    the insurance pool as last told.
    """

    category: str
    symbol: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    venue_at: datetime
    received_at: datetime
    mark: Decimal | None = None
    index: Decimal | None = None
    predicted_rate: Decimal | None = None
    next_funding_at: datetime | None = None
    funding_interval_hours: Decimal | None = None
    ticker_at: datetime | None = None
    pool: Pool = Pool.UNWATCHED


class FundingSettled(msgspec.Struct, frozen=True, tag="funding_settled.v1"):
    """Stream ``market.funding``: one settled rate; key (symbol, settled_at); never changes."""

    symbol: str
    rate: Decimal
    settled_at: datetime
    interval_hours: Decimal
    received_at: datetime


class InstrumentChanged(msgspec.Struct, frozen=True, tag="instrument_changed.v1"):
    """Stream ``market.instruments``: the rules of one product after a change."""

    category: str
    symbol: str
    changed: list[str]
    fetched_at: datetime


class PairWanted(msgspec.Struct, frozen=True, tag="pair_wanted.v1"):
    """Stream ``strategy.intents``: hold ``quantity`` base units of ``pair``; zero closes it."""

    intent_id: str
    decision_id: str
    correlation_id: str
    pair: str
    quantity: Decimal
    reason: str
    decided_at: datetime
    until: datetime | None = None


class PlanStarted(msgspec.Struct, frozen=True, tag="plan_started.v1"):
    """Stream ``execution.events``: the executor took an intent up."""

    plan_id: str
    intent_id: str
    correlation_id: str
    pair: str
    target_quantity: Decimal


class FillBooked(msgspec.Struct, frozen=True, tag="fill_booked.v1"):
    """Stream ``execution.events``: one execution of ours is stored. ``fee`` positive is paid."""

    plan_id: str
    correlation_id: str
    pair: str
    category: str
    exec_id: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    venue_at: datetime


class PlanFinished(msgspec.Struct, frozen=True, tag="plan_finished.v1"):
    """Stream ``execution.events``: a plan ended; the quantities are what the pair holds now.

    ``outcome`` is hedged, flat, refused or broken; ``perp_quantity`` is signed (short negative).
    """

    plan_id: str
    intent_id: str
    correlation_id: str
    pair: str
    outcome: str
    reason: str
    spot_quantity: Decimal
    perp_quantity: Decimal
    unhedged_seconds: Decimal


class FundingBooked(msgspec.Struct, frozen=True, tag="funding_booked.v1"):
    """Stream ``execution.events``: funding in the ledger; ``amount`` positive is received."""

    pair: str
    amount: Decimal
    currency: str
    settled_at: datetime


class AlarmRaised(msgspec.Struct, frozen=True, tag="alarm_raised.v1"):
    """Stream ``execution.events``: something a person should know."""

    name: str
    detail: str
    pair: str | None
    raised_at: datetime


ExecutionEvent = PlanStarted | FillBooked | PlanFinished | FundingBooked | AlarmRaised
Message = (
    QuoteUpdated
    | FundingSettled
    | InstrumentChanged
    | PairWanted
    | PlanStarted
    | FillBooked
    | PlanFinished
    | FundingBooked
    | AlarmRaised
)

_ENCODER = msgspec.json.Encoder(decimal_format="string")
_DECODER = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return the message as JSON bytes."""
    return _ENCODER.encode(message)


def decode(body: bytes) -> Message:
    """Return the message in ``body``.

    Raises: msgspec.DecodeError, which covers wrong shapes and unknown tags.
    """
    message: Message = _DECODER.decode(body)
    return message
