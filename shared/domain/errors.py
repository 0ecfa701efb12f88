"""Failures named after their remedy."""


class CarryError(Exception):
    """The root of every error of ours."""


class Transient(CarryError):
    """Nothing happened; try again with backoff until the deadline, a write under its own id."""


class RateLimited(Transient):
    """The venue asks us to wait."""


class ExchangeUnavailable(Transient):
    """The venue did not answer a read."""


class StoreUnavailable(Transient):
    """The database did not answer."""


class Rejected(CarryError):
    """The venue said no; record it, publish it, never send it again unchanged."""


class OrderRejected(Rejected):
    """A definite refusal of an order on its first send."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class InsufficientMargin(OrderRejected):
    """The account cannot carry the order."""


class OutcomeUnknown(CarryError):
    """A write may have happened: look for its client order id; no new id before proof."""


class Malformed(CarryError):
    """Bytes that are no domain value; counted and set aside, never filled in with a default."""


class Misconfigured(CarryError):
    """Refuse to start; the text is one sentence that names the thing and the remedy."""


class InvariantViolation(CarryError):
    """Our logic or our stored state is wrong; halt trading and come back through recovery."""


def require(condition: bool, message: str) -> None:
    """Raise InvariantViolation with ``message`` unless ``condition`` holds."""
    if not condition:
        raise InvariantViolation(message)
