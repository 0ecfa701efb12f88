"""Orders we sent."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import LIMIT_DEFAULT, Before, Limit, Symbol, ViewsOf, json_bytes
from services.api.problems import INVALID, UNAVAILABLE
from services.api.schemas import OrderView

router = APIRouter(tags=["money"])


@router.get(
    "/orders",
    summary="List orders",
    response_model=list[OrderView],
    responses=UNAVAILABLE | INVALID,
)
async def list_orders(
    views: ViewsOf, limit: Limit = LIMIT_DEFAULT, before: Before = None, pair: Symbol = None
) -> Response:
    """Orders, newest first by when they were made (wall time)."""
    return json_bytes(await views.orders(limit, before, pair))
