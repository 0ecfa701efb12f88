"""The venue's codes, sorted by remedy.

A code that is in no table here leaves a write in doubt, so that a new code of the venue can never
make us send twice. So does "duplicate client id" (110072, 170141): an earlier send arrived, and
what became of it is read.
"""

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pybit.exceptions import FailedRequestError, InvalidRequestError

from shared.domain.errors import (
    CarryError,
    ExchangeUnavailable,
    InsufficientMargin,
    Malformed,
    Misconfigured,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    Rejected,
)
from shared.exchange.bybit.parse import instant

NOT_TAKEN_CODES: Final = frozenset({-1, 10002, 10006, 170005, 170222})
"""Refused for this send alone: clock, window or rate."""

DISARM_CODES: Final = frozenset(
    {
        -2015, 10003, 10004, 10005, 10007, 10008, 10009, 10010, 10024, 10027, 33004,
        110066, 110067, 110123, 110124, 110125,
    }
)  # fmt: skip
"""The key or the account may not trade: a person has to look."""

MARGIN_CODES: Final = frozenset(
    {110004, 110006, 110007, 110012, 110044, 110045, 170033, 170131}
)  # fmt: skip

REFUSAL_CODES: Final = MARGIN_CODES | frozenset(
    {
        10001, 10028, 10029, 30208, 30209, 30228,
        110003, 110009, 110011, 110013, 110017, 110020, 110021, 110022, 110023, 110039, 110040,
        110042, 110046, 110063, 110074, 110080, 110086, 110089, 110090, 110092, 110093, 110094,
        110103, 110108, 110109, 110120, 110121,
        170036, 170037, 170121, 170124, 170130, 170132, 170133, 170134, 170136, 170137, 170140,
        170148, 170151, 170157, 170192, 170193, 170194, 170207, 170210, 170217, 170218, 170226,
        170227, 170341, 170344, 170371, 170372, 170381, 170382, 170810,
        176002, 176008, 176009, 176019, 176022, 176026, 176027, 176028, 176029,
    }
)  # fmt: skip
"""A definite no to this order: nothing rests and nothing traded."""

CANCEL_DONE_CODES: Final = frozenset(
    {110001, 110008, 110010, 170139, 170142, 170143, 170190, 170213}
)
"""Nothing is left to cancel: the order is final, which says nothing of what it filled."""

BAD_READ_CODES: Final = frozenset({10001, 10017, 181010})
"""A read that asks wrongly; asking again gives the same."""

TOO_MANY: Final = 10006
RESETS_AT: Final = "x-bapi-limit-reset-timestamp"
HTTP_BANNED: Final = 403
NO_JSON: Final = 409


class Disarmed(Misconfigured):
    """The venue refuses the key or the account: open nothing new and call a person."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Bybit refuses this key or account ({code}: {message}); check the key.")
        self.code = code


class Throttled(RateLimited):
    """Too many calls of one kind: not taken, and none of it before ``resets_at`` (venue clock)."""

    def __init__(self, message: str, resets_at: datetime | None) -> None:
        super().__init__(message)
        self.resets_at = resets_at


class Banned(RateLimited):
    """The venue answers this address nothing at all: send nothing for ten minutes."""


def write_failure(error: Exception) -> CarryError:
    """Return the failure whose remedy fits a failed order write, judged for this send alone.

    On a repeated send the caller may not take a refusal as proof that nothing stands.
    """
    match error:
        case CarryError():
            return error
        case InvalidRequestError(status_code=code):
            return refused_write(code, error.message, error.resp_headers)
        case FailedRequestError(status_code=code) if code == HTTP_BANNED:
            return Banned(_text(error))
        case _:  # time-outs, resets, server errors
            return OutcomeUnknown(_text(error))


def refused_write(code: int, message: str, headers: Mapping[str, str] | None = None) -> CarryError:
    """Return what the venue's ``code`` means for a write; unlisted ones leave it in doubt."""
    if code in NOT_TAKEN_CODES:
        return _not_taken(code, message, headers)
    if code in DISARM_CODES:
        return Disarmed(code, message)
    if code in MARGIN_CODES:
        return InsufficientMargin(code, message)
    if code in REFUSAL_CODES:
        return OrderRejected(code, message)
    return OutcomeUnknown(f"{code}: {message}")


def read_failure(error: Exception) -> CarryError:
    """Return the failure whose remedy fits a failed read."""
    match error:
        case CarryError():
            return error
        case InvalidRequestError(status_code=code):
            return refused_read(code, error.message, error.resp_headers)
        case FailedRequestError(status_code=code) if code == HTTP_BANNED:
            return Banned(_text(error))
        case FailedRequestError(status_code=code) if code == NO_JSON:
            return Malformed(_text(error))
        case _:
            return ExchangeUnavailable(_text(error))


def refused_read(code: int, message: str, headers: Mapping[str, str] | None = None) -> CarryError:
    """Return what the venue's ``code`` means for a read."""
    if code in NOT_TAKEN_CODES:
        return _not_taken(code, message, headers)
    if code in DISARM_CODES:
        return Disarmed(code, message)
    if code in BAD_READ_CODES:
        return Rejected(f"{code}: {message}")
    return ExchangeUnavailable(f"{code}: {message}")


def _not_taken(code: int, message: str, headers: Mapping[str, str] | None) -> RateLimited:
    said = f"{code}: {message}"
    if code != TOO_MANY:
        return RateLimited(said)
    raw = {name.lower(): value for name, value in (headers or {}).items()}.get(RESETS_AT, "")
    with contextlib.suppress(Malformed):
        return Throttled(said, instant(raw))
    return Throttled(said, None)


def venue_code(error: Exception) -> int | None:
    """Return the venue's retCode; None when it did not get that far."""
    return error.status_code if isinstance(error, InvalidRequestError) else None


def _text(error: Exception) -> str:
    """What is said without the request, which pybit puts into its own text."""
    if isinstance(error, InvalidRequestError | FailedRequestError):
        return f"{error.status_code}: {error.message}"
    return f"{type(error).__name__}: {error}"
