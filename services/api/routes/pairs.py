"""The pairs that are held."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import ViewsOf, json_bytes
from services.api.problems import UNAVAILABLE
from services.api.schemas import PairView

router = APIRouter(tags=["now"])


@router.get(
    "/pairs", summary="List held pairs", response_model=list[PairView], responses=UNAVAILABLE
)
async def list_pairs(views: ViewsOf) -> Response:
    """Pairs that are held, opened, closed or broken, by name; money since the pair was opened."""
    return json_bytes(await views.pairs())
