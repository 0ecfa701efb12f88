"""Public messages as they came, decoded straight into the few fields that a quote is made of.

Amounts stay the venue's own text until the board reads them: a JSON number is refused here.
"""

from typing import Any

import msgspec


class PublicData(msgspec.Struct, rename="camel"):
    """A book's levels or a ticker's fields; what was not said is None."""

    b: list[list[str]] | None = None
    a: list[list[str]] | None = None
    mark_price: str | None = None
    index_price: str | None = None
    funding_rate: str | None = None
    next_funding_time: str | None = None
    funding_interval_hour: str | None = None

    def merge(self, later: "PublicData") -> None:
        """Take over what a delta says of the ticker."""
        for field in TICKER_FIELDS:
            value = getattr(later, field)
            if value is not None:
                setattr(self, field, value)


TICKER_FIELDS = PublicData.__struct_fields__[2:]


class PublicFrame(msgspec.Struct):
    """One public message, or the venue's answer to what a socket said.

    What could not be read is a frame without data, under its topic where that is known.
    """

    topic: str = ""
    type: str = ""
    ts: int = 0
    data: PublicData | None = None
    op: str = ""
    success: bool = False
    ret_msg: str = ""


_FRAMES = msgspec.json.Decoder(PublicFrame)


def decoded(payload: bytes) -> PublicFrame:
    """Return the frame in one message's bytes; never raises."""
    try:
        return _FRAMES.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return as_frame(msgspec.json.decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return PublicFrame()


def as_frame(message: Any) -> PublicFrame:
    """Return the frame in what a library decoded by itself; never raises."""
    if isinstance(message, PublicFrame):
        return message
    try:
        return msgspec.convert(message, PublicFrame)
    except msgspec.ValidationError:
        topic = message.get("topic") if isinstance(message, dict) else None
        return PublicFrame(topic=topic if isinstance(topic, str) else "")
