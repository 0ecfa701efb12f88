"""Settled funding rates."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import LIMIT_DEFAULT, Before, Limit, Symbol, ViewsOf, json_bytes
from services.api.problems import INVALID, UNAVAILABLE
from services.api.schemas import FundingRateView

router = APIRouter(tags=["market"])


@router.get(
    "/funding-rates",
    summary="List settled rates",
    response_model=list[FundingRateView],
    responses=UNAVAILABLE | INVALID,
)
async def list_funding_rates(
    views: ViewsOf, limit: Limit = LIMIT_DEFAULT, before: Before = None, symbol: Symbol = None
) -> Response:
    """Settled rates, newest first (venue time); all rates of one instant are on one page."""
    return json_bytes(await views.funding_rates(limit, before, symbol))
