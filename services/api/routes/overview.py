"""The four answers of the home page."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import ViewsOf, json_bytes
from services.api.problems import UNAVAILABLE
from services.api.schemas import OverviewView

router = APIRouter(tags=["now"])


@router.get(
    "/overview", summary="Read the four answers", response_model=OverviewView, responses=UNAVAILABLE
)
async def read_overview(views: ViewsOf) -> Response:
    """Hedged, safe, earning, and what needs a person; unknown where a number is missing."""
    return json_bytes(await views.overview())
