"""What changes, as it changes."""

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import HubOf, ViewsOf
from services.api.problems import UNAVAILABLE
from services.api.schemas import StreamEvent
from services.api.stream import EventStream

router = APIRouter(tags=["now"])

STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": StreamEvent.__doc__,
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/events",
    summary="Listen to changes",
    response_class=EventStream,
    responses=STREAM | UNAVAILABLE,
)
async def listen(views: ViewsOf, hub: HubOf) -> Response:
    """Each topic once as it is now, then again whenever it changes; comments in between."""
    hub.require_room()
    await views.version(fresh=True)
    return EventStream(hub)
