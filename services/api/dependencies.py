"""What a route may ask for: the views, the hub, and parameters that are checked once here."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from starlette.responses import Response

from services.api.hub import Hub
from services.api.views import Views

LIMIT_MAX: Final = 500
LIMIT_DEFAULT: Final = 100
GROUP_MAX: Final = 2**63 - 1
ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:")
SYMBOL: Final = r"^[A-Z0-9]{1,32}$"


def views_of(request: Request) -> Views:
    """Return the views of this process."""
    views: Views = request.app.state.views
    return views


def hub_of(request: Request) -> Hub:
    """Return the broadcaster of this process."""
    hub: Hub = request.app.state.hub
    return hub


def in_utc(instant: datetime) -> datetime:
    """Return the same instant in UTC. Raises: ValueError when the calendar does not hold it."""
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the instant is out of range") from error


def is_iso(given: object) -> object:
    """Return what was given. Raises: ValueError for a bare number, which could mean any unit."""
    if isinstance(given, str) and not ISO.match(given):
        raise ValueError("the instant must be written like 2023-11-11T08:00:00Z")
    return given


def json_bytes(body: bytes) -> Response:
    """Return ready JSON as a response that nobody keeps."""
    return Response(body, media_type="application/json")


ViewsOf = Annotated[Views, Depends(views_of)]
HubOf = Annotated[Hub, Depends(hub_of)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="At least so many rows, if there are")]
Instant = Annotated[AwareDatetime, BeforeValidator(is_iso), AfterValidator(in_utc)]
Before = Annotated[Instant | None, Query(description="Only what is older: the last row's instant")]
BeforeGroup = Annotated[
    int | None, Query(ge=1, le=GROUP_MAX, description="Only groups below: the last row's group_id")
]
Symbol = Annotated[str | None, Query(pattern=SYMBOL, description="Only this one, as BTCUSDT")]
