"""Wires the simulator: history, exchange, file, server; alone here settings become adapters."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final

import uvicorn

from services.simulator.app import Door, build_app
from services.simulator.auth import AddressLimits, Key
from services.simulator.clock import VenueClock
from services.simulator.desk import Desk
from services.simulator.listing import venue_rule
from services.simulator.market import Market
from services.simulator.settings import SimulatorSettings
from services.simulator.store import open_store
from services.simulator.streams import Hub
from services.simulator.trade_socket import TradeSocket
from shared.config.settings import Settings
from shared.domain.errors import Misconfigured
from shared.history.files import read_history
from shared.history.records import History
from shared.history.rules import SAMPLE_RULES, read_rules, sample_rules
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import Loop, run_until_stopped
from shared.telemetry.logging import configure_logging
from shared.telemetry.metrics import Metrics
from shared.venue.exchange import Exchange

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SEED: Final = 0
STOP_SECONDS: Final = 2
KEEP_ALIVE_SECONDS: Final = 300  # a client that is idle between hours must not lose a request


class Server(uvicorn.Server):
    """Leaves signals to our own loop, which stops more than the server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@dataclass(frozen=True, slots=True)
class Simulator:
    """One wired venue; ``server`` listens once ``serve`` runs."""

    desk: Desk
    hub: Hub
    server: Server

    @property
    def address(self) -> str:
        """Host and port, once the server listens."""
        host, port = self.server.servers[0].sockets[0].getsockname()[:2]
        return f"{host}:{port}"


async def run(settings: Settings) -> None:
    """Serve the venue until SIGTERM or SIGINT; the first loop to fail stops the rest."""
    configure_logging("simulator", level=settings.log_level, secrets=settings.secrets)
    own = SimulatorSettings(
        database=settings.state_dir / "simulator.sqlite",
        start=settings.replay.start,
        api_key=settings.exchange.api_key,
        api_secret=settings.exchange.api_secret,
        speed=Decimal(settings.replay.speed),
        host=settings.http.host,
        port=settings.http.port,
        symbols=settings.symbols,
        deposits={"USDT": settings.replay.deposit_usdt},
        autostart=settings.replay.autostart,
        admin_token=settings.replay.admin_token or None,
    )
    async with open_simulator(own, SystemClock()) as simulator:
        await run_until_stopped(*loops(simulator), _announcement(simulator))


@contextlib.asynccontextmanager
async def open_simulator(
    settings: SimulatorSettings, wall: Clock, history: History | None = None
) -> AsyncIterator[Simulator]:
    """Read history and books, and wire the venue; its loops are the caller's to run.

    ``history`` is for who has read it already.

    Raises: Misconfigured when the start lies outside the recorded history.
    """
    folder = settings.history
    names = list(settings.symbols) if settings.symbols is not None else None
    stated = folder / SAMPLE_RULES.name if folder is not None else SAMPLE_RULES
    products = read_rules(stated) if stated.exists() else sample_rules()
    if history is None:
        history = await asyncio.to_thread(read_history, folder, names)
    market = Market(history, products)
    start_ms = (settings.start - EPOCH) // timedelta(milliseconds=1)
    _require_recorded(market, start_ms, settings.start)
    metrics = Metrics("simulator")
    async with open_store(settings.database) as store:
        state = await store.load()
        rules = [venue_rule(product) for product in market.products.values()]
        exchange = Exchange(rules, settings.deposits, start_ms)
        now_ms = state["head"]["now_ms"] if state is not None else start_ms
        desk = Desk(
            exchange=exchange,
            market=market,
            clock=VenueClock(settings.speed, now_ms, wall),
            store=store,
            start_ms=start_ms,
            metrics=metrics,
        )
        key = Key(settings.api_key, settings.api_secret)
        hub = Hub(desk, key, wall, autostart=settings.autostart)
        desk.audience = hub
        await desk.open(state)
        draw = Random(SEED)  # noqa: S311 - which of many orders are cancelled, nothing secret
        door = Door(desk, key, wall, metrics, AddressLimits(), draw.sample)
        sockets = {
            "/v5/public/{channel}": hub.serve,
            "/v5/private": hub.serve,
            "/v5/trade": TradeSocket(door, key).serve,
        }
        app = build_app(desk, door, sockets, metrics, settings.admin_token)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            ws="websockets-sansio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        yield Simulator(desk, hub, Server(config))


def loops(simulator: Simulator) -> tuple[Loop, ...]:
    """Return the endless loops of a simulator."""

    async def serve() -> None:
        await _serve(simulator)

    return serve, simulator.desk.run, simulator.desk.watch, simulator.hub.repeat


async def _serve(simulator: Simulator) -> None:
    """Serve until cancelled, then close the sockets and let requests in flight end."""
    serving = asyncio.create_task(simulator.server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        await simulator.hub.close()
        simulator.server.should_exit = True
        await serving
        raise


def _announcement(simulator: Simulator) -> Loop:
    async def announce() -> None:
        while not simulator.server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)
        where = simulator.address
        sys.stdout.write(
            f"simulator: http://{where}\n"
            f'  REST: session = HTTP(...); session.endpoint = "http://{where}"\n'
            f'  WebSocket: pybit.unified_trading.PUBLIC_WSS = "ws://{where}/v5/public/'
            '{CHANNEL_TYPE}"; '
            f'pybit.unified_trading.PRIVATE_WSS = "ws://{where}/v5/private"\n'
        )
        sys.stdout.flush()

    return announce


def _require_recorded(market: Market, start_ms: int, start: datetime) -> None:
    for symbol in market.symbols:
        bars = market.bars[symbol]
        if not bars or not bars[0].at_ms <= start_ms <= bars[-1].at_ms:
            first = EPOCH + timedelta(milliseconds=bars[0].at_ms) if bars else None
            last = EPOCH + timedelta(milliseconds=bars[-1].at_ms) if bars else None
            raise Misconfigured(
                f"CARRY_REPLAY_START={start.isoformat()} lies outside the history of {symbol}: "
                f"choose an hour from {first} to {last}."
            )
