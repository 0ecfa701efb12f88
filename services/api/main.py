"""The API's process: adapters built, the server and the broadcaster started."""

import asyncio
import contextlib
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, cast

import structlog
import uvicorn

from services.api.app import create_app
from services.api.bell import Bell
from services.api.hub import Hub
from services.api.options import ApiOptions, Venue
from shared.bus.redis import open_redis
from shared.config.settings import Settings
from shared.domain.errors import Misconfigured
from shared.runtime.clock import SystemClock
from shared.runtime.service import Loop, run_until_stopped
from shared.store.migrate import check_schema
from shared.store.pool import ReadPool, open_read_pool
from shared.telemetry.logging import configure_logging

SERVICE: Final = "api"
POOL_MAX: Final = 8
STOP_SECONDS: Final = 3
REQUESTS_MAX: Final = 512
READ_INSTALLATION: Final = "SELECT venue, account FROM ops.installation"

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Serve until told to stop; the first loop to fail ends the process."""
    configure_logging(SERVICE, level=settings.log_level, secrets=settings.secrets)
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_read_pool(settings.database.dsn, application=SERVICE, max_size=POOL_MAX)
        )
        await require_our_database(pool, settings)
        app = create_app(pool=pool, clock=clock, options=options_of(settings))
        hub: Hub = app.state.hub
        loops: list[Loop] = [Server(app, hub, settings).run, hub.run]
        if settings.redis.url:
            redis = await stack.enter_async_context(open_redis(settings.redis.url))
            loops.append(Bell(redis, clock, hub.wake).run)
        log.info("api_started", host=settings.http.host, port=settings.http.port)
        await run_until_stopped(*loops)


def options_of(settings: Settings) -> ApiOptions:
    """Return what the API needs of the settings."""
    return ApiOptions(
        venue=cast(Venue, settings.venue),
        version=_version(),
        replay_speed=Decimal(settings.replay.speed),
        limits=settings.policy.limits,
        dashboard=settings.dashboard_dir,
    )


async def require_our_database(pool: ReadPool, settings: Settings) -> None:
    """Raise Misconfigured when the schema is another's, or the venue or account is."""
    async with pool.acquire() as connection:
        await check_schema(connection)
        found = await connection.fetchrow(READ_INSTALLATION)
    if found is not None and tuple(found) != (settings.venue, settings.account):
        raise Misconfigured(
            f"this database belongs to venue {found['venue']!r}, account {found['account']!r}, not "
            f"to venue {settings.venue!r}, account {settings.account!r}: use one of its own"
        )


class Server:
    """uvicorn as one of our loops: stopped like the others, signals are ours."""

    def __init__(self, app: Any, hub: Hub, settings: Settings) -> None:
        self._hub = hub
        self._server = _QuietServer(
            uvicorn.Config(
                app,
                host=settings.http.host,
                port=settings.http.port,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=REQUESTS_MAX,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    async def run(self) -> None:
        """Serve until cancelled, then end every stream and finish what is being answered."""
        serving = asyncio.ensure_future(self._server.serve())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self._server.should_exit = True
            self._hub.close()
            await serving
            raise


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to ``run_until_stopped``."""
        yield


def _version() -> str:
    try:
        return version("carrydesk")
    except PackageNotFoundError:
        return "unknown"
