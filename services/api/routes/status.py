"""Where orders go, what time it is there, who is running."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import ViewsOf, json_bytes
from services.api.problems import UNAVAILABLE
from services.api.schemas import StatusView

router = APIRouter(tags=["now"])


@router.get(
    "/status",
    summary="Read the state of the system",
    response_model=StatusView,
    responses=UNAVAILABLE,
)
async def read_status(views: ViewsOf) -> Response:
    """Venue, both clocks, the age of the data, the next settlement, and each service."""
    return json_bytes(await views.status())
