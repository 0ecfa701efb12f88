"""What was passed over, and what it would have earned."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.api.dependencies import ViewsOf, json_bytes
from services.api.problems import INVALID, UNAVAILABLE
from services.api.schemas import SkippedView

router = APIRouter(tags=["research"])

Days = Annotated[int, Query(ge=1, le=366, description="How far back, in days of venue time")]


@router.get(
    "/skipped",
    summary="Read what was passed over and would have earned",
    response_model=SkippedView,
    responses=UNAVAILABLE | INVALID,
)
async def read_skipped(views: ViewsOf, days: Days = 30) -> Response:
    """By reason: would-be holds, those that are over, and what they would have earned."""
    return json_bytes(await views.skipped(days))
