"""What is forecast of one symbol's funding, and what past forecasts were worth."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.api.dependencies import SYMBOL, ViewsOf, json_bytes
from services.api.problems import INVALID, UNAVAILABLE
from services.api.schemas import ForecastsView

router = APIRouter(tags=["research"])

Days = Annotated[int, Query(ge=1, le=366, description="Scored so far back, in days of venue time")]
OneSymbol = Annotated[str, Query(pattern=SYMBOL, description="Whose, as BTCUSDT")]


@router.get(
    "/forecasts",
    summary="Read the forecasts of one symbol and their score",
    response_model=ForecastsView,
    responses=UNAVAILABLE | INVALID,
)
async def read_forecasts(views: ViewsOf, symbol: OneSymbol, days: Days = 90) -> Response:
    """The next 1, 3 and 9 ends of eight hours, as stored before their outcome; none yet: empty."""
    return json_bytes(await views.forecasts(symbol, days))
