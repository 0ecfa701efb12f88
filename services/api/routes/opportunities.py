"""The ranking of the last decision."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import ViewsOf, json_bytes
from services.api.problems import UNAVAILABLE
from services.api.schemas import OpportunitiesView

router = APIRouter(tags=["now"])


@router.get(
    "/opportunities",
    summary="Read the ranking",
    response_model=OpportunitiesView,
    responses=UNAVAILABLE,
)
async def read_opportunities(views: ViewsOf) -> Response:
    """Every pair as the last decision saw it, best first, with its reason in words."""
    return json_bytes(await views.opportunities())
