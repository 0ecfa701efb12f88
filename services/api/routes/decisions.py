"""One decision in full."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from starlette.responses import Response

from services.api.dependencies import ViewsOf, json_bytes
from services.api.problems import INVALID, MISSING, UNAVAILABLE
from services.api.schemas import DecisionView

router = APIRouter(tags=["now"])

DecisionId = Annotated[str, Path(pattern=r"^[0-9a-z]{1,64}$")]


@router.get(
    "/decisions/{decision_id}",
    summary="Read one decision",
    response_model=DecisionView,
    responses=UNAVAILABLE | INVALID | MISSING,
)
async def read_decision(views: ViewsOf, decision_id: DecisionId) -> Response:
    """Verdicts, best first, and targets with the plans made of them, by correlation id."""
    body = await views.decision(decision_id)
    if body is None:
        raise HTTPException(404, "There is no decision of that id")
    return json_bytes(body)
