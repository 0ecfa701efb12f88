"""Back-test runs."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import LIMIT_DEFAULT, Before, Limit, ViewsOf, json_bytes
from services.api.problems import INVALID, UNAVAILABLE
from services.api.schemas import RunView

router = APIRouter(tags=["research"])


@router.get(
    "/runs",
    summary="List back-test runs",
    response_model=list[RunView],
    responses=UNAVAILABLE | INVALID,
)
async def list_runs(
    views: ViewsOf, limit: Limit = LIMIT_DEFAULT, before: Before = None
) -> Response:
    """Runs, newest first by when they were asked for (wall time)."""
    return json_bytes(await views.runs(limit, before))
