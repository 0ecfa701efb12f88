"""Ledger entries."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.dependencies import LIMIT_DEFAULT, BeforeGroup, Limit, ViewsOf, json_bytes
from services.api.problems import INVALID, UNAVAILABLE
from services.api.schemas import LedgerEntryView

router = APIRouter(tags=["money"])


@router.get(
    "/ledger",
    summary="List ledger entries",
    response_model=list[LedgerEntryView],
    responses=UNAVAILABLE | INVALID,
)
async def list_ledger(
    views: ViewsOf, limit: Limit = LIMIT_DEFAULT, before: BeforeGroup = None
) -> Response:
    """Entries, newest group first; a group is never cut, so a page may be a few rows longer."""
    return json_bytes(await views.ledger(limit, before))
