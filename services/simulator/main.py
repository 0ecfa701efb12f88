"""Wires the simulator: source, exchange, file, server; alone here settings become adapters."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

import uvicorn

from services.simulator.app import Door, build_app
from services.simulator.auth import AddressLimits, Key, Keyring
from services.simulator.clock import FollowingClock, Time, VenueClock
from services.simulator.connection import Visits
from services.simulator.desk import Desk
from services.simulator.faults import Faults, SkewedClock
from services.simulator.faulty import FaultyDoor, concerns
from services.simulator.live_feed import open_feed
from services.simulator.market import Market, Source
from services.simulator.script import Fault, Script, read_script
from services.simulator.settings import SimulatorSettings
from services.simulator.store import open_store
from services.simulator.streams import Hub
from services.simulator.synthetic import Synthetic
from services.simulator.topics import CHANNELS, STATUS
from services.simulator.trade_socket import TRADE, TradeSocket
from shared.config.settings import Settings
from shared.domain.errors import Misconfigured
from shared.history.files import read_history
from shared.history.records import History, MalformedHistory
from shared.history.rules import SAMPLE_RULES, read_rules, sample_rules, venue_rule
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import Loop, run_until_stopped
from shared.telemetry.logging import configure_logging
from shared.telemetry.metrics import Metrics
from shared.venue.enforcement import deleverage
from shared.venue.exchange import Exchange

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SEED: Final = 0
SYNTHETIC_START: Final = datetime(2024, 1, 1, tzinfo=UTC)
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
    faults: Faults | None = None
    more: tuple[Loop, ...] = ()

    @property
    def address(self) -> str:
        """Host and port, once the server listens."""
        host, port = self.server.servers[0].sockets[0].getsockname()[:2]
        return f"{host}:{port}"


async def run(
    settings: Settings,
    *,
    speed: Decimal | None = None,
    port: int | None = None,
    faults: Path | None = None,
) -> None:
    """Serve the venue of the settings until SIGTERM or SIGINT; what is given goes before them."""
    configure_logging("simulator", level=settings.log_level, secrets=settings.secrets)
    own = SimulatorSettings(
        database=settings.state_dir / "simulator.sqlite",
        start=settings.replay.start,
        key=(settings.exchange.api_key, settings.exchange.api_secret),
        more_keys=tuple(key for key in (settings.replay.watchdog_key,) if all(key)),
        speed=Decimal(settings.replay.speed) if speed is None else speed,
        host=settings.http.host,
        port=settings.http.port if port is None else port,
        symbols=settings.symbols,
        deposits={"USDT": settings.replay.deposit_usdt},
        autostart=settings.replay.autostart,
        admin_token=settings.replay.admin_token or None,
        faults=faults,
    )
    async with open_simulator(own, SystemClock()) as simulator:
        await run_until_stopped(*loops(simulator), _announcement(simulator))


async def run_alone(settings: SimulatorSettings, *, shows_key: bool) -> None:
    """Serve a venue for whoever likes, its time running at once; ``shows_key`` prints the key."""
    configure_logging("simulator", level="INFO", secrets=(settings.key[1],))
    async with open_simulator(settings, SystemClock()) as simulator:
        simulator.desk.start()
        key = settings if shows_key else None
        await run_until_stopped(*loops(simulator), _announcement(simulator, key))


@contextlib.asynccontextmanager
async def open_simulator(
    settings: SimulatorSettings, wall: Clock, history: History | None = None
) -> AsyncIterator[Simulator]:
    """Read source and books, and wire the venue; its loops are the caller's to run.

    ``history`` is for who has read it already.

    Raises: Misconfigured when the source cannot be had, or does not hold the start.
    """
    metrics = Metrics("simulator")
    async with (
        _opened_source(settings, wall, history) as (market, start_ms, more),
        open_store(settings.database) as store,
    ):
        script = _script(settings, start_ms)
        for fault in script.faults:
            if fault.kind == "deleveraging" and fault.symbol not in market.symbols:
                raise Misconfigured(f"{settings.faults}: {fault.symbol} is not listed.")
        state = await store.load()
        rules = [venue_rule(product) for product in market.products.values()]
        exchange = Exchange(rules, settings.deposits, start_ms)
        now_ms = state["head"]["now_ms"] if state is not None else start_ms
        if settings.live is not None and now_ms > start_ms:
            raise Misconfigured("--live: the kept books are newer than the venue's own time.")
        desk = Desk(
            exchange=exchange,
            market=market,
            clock=_clock(settings, now_ms, wall),
            store=store,
            start_ms=start_ms,
            metrics=metrics,
        )
        desk.accept_seconds = settings.accept_ms / 1000
        key = Keyring(tuple(Key(*each) for each in (settings.key, *settings.more_keys)))
        faults = Faults(script, lambda: desk.now_ms, wall) if script.faults else None
        venue_wall = SkewedClock(wall, faults) if faults else wall
        hub = Hub(desk, key, venue_wall, autostart=settings.autostart, faults=faults)
        desk.audience = hub
        await desk.open(state)
        draw = Random(SEED)  # noqa: S311 - which of many orders are cancelled, nothing secret
        pressed = faults.pressed if faults else frozenset
        door = Door(desk, key, venue_wall, metrics, AddressLimits(), draw.sample, pressed)
        trade = TradeSocket(door, key, wall, faults)
        mishap = _mishap(desk, hub, trade)
        faulty = FaultyDoor(door, faults, wall, mishap) if faults else None
        sockets = dict.fromkeys(CHANNELS, hub.serve) | {"/v5/trade": trade.serve}
        visits = Visits(wall)
        guarded = {path: visits.limited(serve) for path, serve in sockets.items()}
        app = build_app(desk, faulty or door, guarded, metrics, settings.admin_token)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            ws="websockets-sansio",
            ws_per_message_deflate=False,  # as the venue sends, and cheaper
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        if faulty is not None:
            more = (*more, faulty.run)
        yield Simulator(desk, hub, Server(config), faults, more)


def _mishap(desk: Desk, hub: Hub, trade: TradeSocket) -> Callable[[Fault], Awaitable[None]]:
    """Return what makes a restart, a cut, a revocation and the like come true."""

    async def happen(fault: Fault) -> None:
        if fault.kind == "restart":
            desk.restart()
        if fault.kind == "deleveraging":
            await desk.act(
                lambda e: deleverage(e, fault.symbol, fault.quantity, e.marks[fault.symbol])
            )
        channels = [c for c in CHANNELS.values() if c != STATUS and concerns(fault, c)]
        if channels:
            await hub.close(*channels)
        if concerns(fault, TRADE):
            await trade.close()

    return happen


def loops(simulator: Simulator) -> tuple[Loop, ...]:
    """Return the endless loops of a simulator."""

    async def serve() -> None:
        await _serve(simulator)

    desk = simulator.desk
    return serve, desk.run, desk.watch, simulator.hub.repeat, *simulator.more


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


def _announcement(simulator: Simulator, key: SimulatorSettings | None = None) -> Loop:
    async def announce() -> None:
        while not simulator.server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)
        lines = pointers(simulator.address)
        if key is not None:
            lines += f"  key: {key.key[0]}\n  secret: {key.key[1]}\n"
        sys.stdout.write(lines)
        sys.stdout.flush()

    return announce


def pointers(where: str) -> str:
    """Return the lines that point unmodified pybit and ccxt at ``where`` (host:port)."""
    rest, stream = f"http://{where}", f"ws://{where}/v5"
    public = ", ".join(f'"{c}": "{stream}/public/{c}"' for c in ("spot", "linear"))
    return (
        f"simulator: {rest}\n"
        f'  pybit REST: session = HTTP(...); session.endpoint = "{rest}"\n'
        f'  pybit WebSocket: pybit.unified_trading.PUBLIC_WSS = "{stream}/public/'
        '{CHANNEL_TYPE}"; '
        f'pybit.unified_trading.PRIVATE_WSS = "{stream}/private"; '
        f'pybit._websocket_trading.TRADE_WSS = "{stream}/trade"\n'
        '  ccxt REST: exchange.urls["api"].update(dict.fromkeys('
        f'("spot", "futures", "v2", "public", "private"), "{rest}"))\n'
        f'  ccxt WebSocket: exchange.urls["api"]["ws"] = {{"public": {{{public}}}, "private": '
        f'{{"spot": {{"unified": "{stream}/private"}}, "contract": "{stream}/private", '
        f'"usdc": "{stream}/private", "trade": "{stream}/trade"}}}}\n'
    )


@contextlib.asynccontextmanager
async def _opened_source(
    settings: SimulatorSettings, wall: Clock, history: History | None
) -> AsyncIterator[tuple[Source, int, tuple[Loop, ...]]]:
    """Return where prices come from, the first instant, and the loops that bring them."""
    if settings.live is not None:
        async with open_feed(settings.live, settings.symbols, wall) as feed:
            yield feed.market, feed.market.now_ms, (feed.run,)
    elif settings.synthetic is not None:
        yield *_synthetic(settings, settings.synthetic), ()
    else:
        yield *await _recorded(settings, history), ()


def _clock(settings: SimulatorSettings, now_ms: int, wall: Clock) -> Time:
    if settings.live is not None:
        return FollowingClock(now_ms, wall)
    return VenueClock(settings.speed, now_ms, wall)


def _synthetic(settings: SimulatorSettings, count: int) -> tuple[Source, int]:
    start_ms = _ms(settings.start or SYNTHETIC_START)
    step_ms = max(1, int(settings.speed * 1000 / settings.moves_per_second))
    happenings = _script(settings, start_ms).happenings
    try:
        return Synthetic(count, settings.seed, start_ms, step_ms, happenings), start_ms
    except ValueError as error:
        raise Misconfigured(f"--synthetic: {error}.") from error


async def _recorded(settings: SimulatorSettings, history: History | None) -> tuple[Source, int]:
    try:
        market = await _market(settings, history)
    except (MalformedHistory, ValueError) as error:
        raise Misconfigured(f"--history: {error}.") from error
    if settings.start is None:
        firsts = (bars[0].at_ms for bars in market.bars.values() if bars)
        return market, max(firsts, default=0)
    _require_recorded(market, _ms(settings.start), settings.start)
    return market, _ms(settings.start)


async def _market(settings: SimulatorSettings, history: History | None) -> Market:
    folder = settings.history
    names = list(settings.symbols) if settings.symbols is not None else None
    stated = folder / SAMPLE_RULES.name if folder is not None else SAMPLE_RULES
    products = read_rules(stated) if stated.exists() else sample_rules()
    if history is None:
        history = await asyncio.to_thread(read_history, folder, names)
    return Market(history, products)


def _script(settings: SimulatorSettings, start_ms: int) -> Script:
    """Return the script; only a market that is made up can be told what to do."""
    script = read_script(settings.faults, start_ms) if settings.faults is not None else Script()
    if script.happenings and settings.synthetic is None:
        raise Misconfigured(f"{settings.faults}: events need --synthetic: others cannot do them.")
    return script


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


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
