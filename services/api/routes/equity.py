"""Equity and funding over time."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import ViewsOf, json_bytes
from services.api.problems import UNAVAILABLE
from services.api.schemas import EquityView

router = APIRouter(tags=["money"])


@router.get(
    "/equity", summary="Read equity over time", response_model=EquityView, responses=UNAVAILABLE
)
async def read_equity(views: ViewsOf) -> Response:
    """Equity since the start, oldest first, thinned evenly to about a thousand points."""
    return json_bytes(await views.equity())
