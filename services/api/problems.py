"""Errors as RFC 9457 problem details: what went wrong and what to do, never a trace."""

from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.api.hub import TooManyListeners
from services.api.schemas import Problem
from services.api.views import encoded
from shared.domain.errors import StoreUnavailable

MEDIA_TYPE: Final = "application/problem+json"

UNAVAILABLE: Final[dict[int | str, dict[str, Any]]] = {
    503: {"model": Problem, "description": "The store does not answer"}
}
INVALID: Final[dict[int | str, dict[str, Any]]] = {
    422: {"model": Problem, "description": "A parameter is wrong"}
}
MISSING: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Problem, "description": "There is no such thing"}
}

log = structlog.get_logger()


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return a problem as a response."""
    title = "Unprocessable Content" if status == 422 else HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail)  # Python renamed 422 in 3.13
    return Response(encoded(body), status, headers, MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every failure of ``app`` with a problem."""
    app.add_exception_handler(StoreUnavailable, _unavailable)
    app.add_exception_handler(TooManyListeners, _crowded)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _failed)


async def _unavailable(request: Request, error: Exception) -> Response:
    return problem(503, str(error), {"retry-after": "2"})


async def _crowded(request: Request, error: Exception) -> Response:
    return problem(503, "Too many pages listen already.", {"retry-after": "10"})


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return problem(422, f"{name}: {first['msg']}.")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    return problem(error.status_code, f"{error.detail}.".replace("..", "."), headers)


async def _failed(request: Request, error: Exception) -> Response:
    log.error("request_failed", path=request.url.path, error=type(error).__name__, exc_info=error)
    return problem(500, "The answer could not be made; the log says why.")
