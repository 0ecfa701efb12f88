"""The application: routes under /v1, probes and metrics beside them, the pages under everything."""

from typing import Any, Final

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.dashboard import Dashboard
from services.api.guard import ApiMetrics, Guard
from services.api.hub import Hub
from services.api.options import ApiOptions
from services.api.problems import MEDIA_TYPE, add_problem_handlers
from services.api.reader import Connections, Reader
from services.api.routes import (
    decisions,
    equity,
    events,
    forecasts,
    funding_rates,
    ledger,
    opportunities,
    orders,
    overview,
    pairs,
    runs,
    skipped,
    status,
)
from services.api.views import Views
from shared.domain.errors import Misconfigured, StoreUnavailable
from shared.runtime.clock import Clock
from shared.telemetry.health import METRICS_TYPE

TITLE: Final = "Carrydesk"
CONTRACT_VERSION: Final = "1"
RESOURCES: Final = (
    status, overview, equity, pairs, opportunities, orders, ledger, funding_rates, decisions,
    skipped, forecasts, runs, events,
)  # fmt: skip

log = structlog.get_logger()


def create_app(
    *, pool: Connections, clock: Clock, options: ApiOptions, metrics: ApiMetrics | None = None
) -> FastAPI:
    """Return the application over ``pool``; its ``state.hub`` is to be run by the caller.

    /healthz, /readyz and /metrics answer on the same port, outside of /v1: a proxy that publishes
    /v1 and the pages keeps the metrics inside.
    """
    metrics = ApiMetrics() if metrics is None else metrics
    app = FastAPI(
        title=TITLE,
        version=CONTRACT_VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    reader = Reader(pool)
    app.state.views = Views(reader, clock, options)
    app.state.hub = Hub(app.state.views, clock, metrics.listeners, metrics.dropped)
    for resource in RESOURCES:
        app.include_router(resource.router, prefix="/v1")
    app.include_router(_probes(reader, metrics))
    add_problem_handlers(app)
    app.router.default = _Fallback(_pages(options))
    app.add_middleware(Guard, metrics=metrics, clock=clock)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, in which every error is a problem."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            routes=app.routes,
            summary="Reads of one Carrydesk installation.",
            description="Amounts are decimal strings, instants ISO 8601 in UTC.",
        )
        for path in made["paths"].values():
            for operation in path.values():
                _name_problems(operation["responses"])
        app.openapi_schema = made
    return app.openapi_schema


def _name_problems(responses: dict[str, Any]) -> None:
    for code, response in responses.items():
        content = response.get("content", {})
        if code >= "400" and (shape := _only(content)) is not None:
            response["content"] = {MEDIA_TYPE: shape}


def _only(content: dict[str, Any]) -> Any:
    """Return the one shape that an error has, whatever type of answer its route gives."""
    shapes = [shape for shape in content.values() if shape.get("schema")]
    return shapes[-1] if shapes else None


def _probes(reader: Reader, metrics: ApiMetrics) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def read_health() -> Response:
        return JSONResponse({"status": "alive", "service": "api"})

    @router.get("/readyz")
    async def read_readiness() -> Response:
        try:
            await reader.check()
        except (StoreUnavailable, Misconfigured) as error:
            return JSONResponse({"status": "not ready", "reasons": [str(error)]}, 503)
        return JSONResponse({"status": "ready"})

    @router.get("/metrics")
    async def read_metrics() -> Response:
        return Response(metrics.registry.render(), headers={"content-type": METRICS_TYPE})

    return router


def _pages(options: ApiOptions) -> Dashboard | None:
    folder = options.dashboard
    if folder is None:
        return None
    if not (folder / "index.html").is_file():
        log.warning("dashboard_not_built", folder=str(folder))
        return None
    return Dashboard(folder)


class _Fallback:
    """Where no route fits: a page, or a problem when it was meant for /v1 or there are no pages."""

    def __init__(self, pages: ASGIApp | None) -> None:
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or self._pages is None or path.startswith("/v1"):
            raise HTTPException(404, "There is nothing here")
        await self._pages(scope, receive, send)
