"""From the commit of a kill to the last order on the wire (K1), without Redis, API and strategy.

PostgreSQL, fsync on, and the simulator are processes of their own; the executor is assembled here.
Two pairs open and close without a pause; at a drawn moment another connection commits a kill of
level 3. An order counts as on the wire when its call has returned, which is later than its last
byte. What is timed:

- the last order that is not the kill's own: openings, and hedges of openings in flight;
- an order resting at the venue is cancelled;
- the first order that flattens, and the last one: both legs of both pairs are out.
"""

import asyncio
import logging
import math
import random
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import asyncpg
import structlog

from services.carry.embedded import EmbeddedServers
from services.executor.assembly import Parts, assemble
from services.executor.market import Freshness, Market
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Pace
from services.executor.worker import Rules
from shared.bus.messages import QuoteUpdated
from shared.domain.instrument import Category, Pair
from shared.domain.order import OrderTicket, Side
from shared.domain.policy import ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.exchange.bybit.budget import Priority
from shared.exchange.bybit.endpoints import trading_endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.rest import Credentials
from shared.runtime.clock import SystemClock
from shared.store.kill import press_kill
from shared.store.pool import open_pool
from tests.support.bus import until
from tests.support.executor import FEES, SilentBell
from tests.support.servers import Postgres, made_folder, wait
from tests.support.simulator import Simulator, simulator

SYMBOLS = ("BTCUSDT", "ETHUSDT")
ROUNDS = 100
SEED = 4
QUIET_SECONDS = 0.25
PAUSE_SECONDS = 0.3
"""Between two plans of a pair: the venue takes ten linear orders a second, and refuses more."""
START = datetime.fromisoformat("2023-11-11T00:00:00Z")
QUANTITIES = {"BTCUSDT": Decimal("0.01"), "ETHUSDT": Decimal("0.2")}
NEVER = 10**9
UNLIMITED = RiskLimits(
    orders_per_hour=NEVER,
    plans_per_hour=NEVER,
    round_trips_per_hour=NEVER,
    fees_per_hour=Decimal(NEVER),
    daily_loss=Decimal(NEVER),
    rejects_per_minute=NEVER,
)


class TimedGateway(BybitGateway):
    """Notes when each order was on its way, and whether it added to a position."""

    sent: list[tuple[float, bool]]

    async def place_order(self, ticket: OrderTicket, signed_at: datetime) -> str:
        try:
            return await super().place_order(ticket, signed_at)
        finally:
            adds = (ticket.category is Category.SPOT) == (ticket.side is Side.BUY)
            self.sent.append((time.monotonic(), adds))

    async def rest(self, name: str) -> None:
        """Let an order rest far below the market."""
        query: dict[str, str | int | bool] = {
            "category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
            "timeInForce": "GTC", "qty": "0.001", "price": "30000", "orderLinkId": name,
        }  # fmt: skip
        await self._rest.write("place_order", query, priority=Priority.OPEN)


@dataclass
class Timed:
    """Seconds from the commit, one per round in which there was such a thing."""

    last_other: list[float] = field(default_factory=list)
    cancelled: list[float] = field(default_factory=list)
    first_flattening: list[float] = field(default_factory=list)
    last_flattening: list[float] = field(default_factory=list)

    def sentences(self) -> list[str]:
        late = sum(seconds > 0 for seconds in self.last_other)
        return [
            f"kill to last order not its own: {_figures(self.last_other, 0.25)}",
            f"  (one left after the commit in {late} of {len(self.last_other)} rounds)",
            f"kill to resting order cancelled: {_figures(self.cancelled, 1.0)}",
            f"kill to first flattening order: {_figures(self.first_flattening, 2.0)}",
            f"kill to last flattening order: {_figures(self.last_flattening, None)}",
        ]


def kill(rounds: int = ROUNDS) -> Timed:
    """Measure with servers and a simulator of its own."""
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=silent)
    with made_folder() as state, simulator(speed=60) as venue:
        venue.release()
        servers = EmbeddedServers(state, keep=False)
        wait(servers.start())
        try:
            postgres = Postgres(servers.owner_dsn)
            postgres.make_template()
            with postgres.database() as database:
                dsns = database.dsn_for("carry_executor"), database.owner_dsn
                return asyncio.run(_measured(*dsns, venue, rounds))
        finally:
            wait(servers.stop())


async def _measured(dsn: str, owner_dsn: str, venue: Simulator, rounds: int) -> Timed:
    clock, draw = SystemClock(), random.Random(SEED)
    endpoints = trading_endpoints("replay", venue.rest, venue.stream)
    credentials = Credentials(venue.api_key, venue.api_secret)
    gateway = TimedGateway(endpoints, credentials, venue="replay", clock=clock, draw=draw.random)
    gateway.sent = []
    feed = BybitFeed(endpoints, clock=clock, draw=draw.random)
    market = Market(await _pairs(feed), clock, Freshness(timedelta(days=1), 3600.0))
    owner = await asyncpg.connect(owner_dsn)
    async with open_pool(dsn, application="bench", max_size=12) as pool:
        parts = assemble(
            gateway,
            pool=pool,
            doorbell=SilentBell(),
            market=market,
            clock=clock,
            metrics=ExecutorMetrics(),
            rules=Rules(UNLIMITED, ExecutionPolicy(), FEES, "r1"),
            pace=Pace(),
            epoch=1,
            owner="bench",
            history_start=START - timedelta(days=1),
        )
        await parts.lease.take()
        tasks = [asyncio.create_task(loop()) for loop in (*parts.loops, _quoting(feed, market))]
        try:
            await parts.reconciler.start()
            timed = Timed()
            await until(lambda: _is_quoted(market), True)
            for number in range(rounds):
                await _round(number, parts, gateway, owner, draw, timed)
                for task in tasks:
                    if task.done():
                        task.result()
            return timed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await gateway.close()
            await feed.close()
            await owner.close()


async def _round(
    number: int,
    parts: Parts,
    gateway: TimedGateway,
    owner: asyncpg.Connection,
    draw: random.Random,
    timed: Timed,
) -> None:
    working = [asyncio.create_task(_trade(parts, symbol)) for symbol in SYMBOLS]
    await gateway.rest(f"resting-{number}")
    await asyncio.sleep(draw.uniform(0.3, 1.0))
    await press_kill(owner, 3, "bench", "bench")
    pressed = time.monotonic()
    for task in working:
        task.cancel()
    await until(gateway.read_open_orders, [])
    timed.cancelled.append(time.monotonic() - pressed)
    await until(lambda: _is_flat(parts), True)
    await asyncio.sleep(QUIET_SECONDS)
    after = [(at - pressed, adds) for at, adds in gateway.sent if at > pressed]
    others = [at for at, adds in after if adds]
    timed.last_other.append(max(others, default=0.0))
    own = [at for at, adds in after if not adds]
    if own:
        timed.first_flattening.append(own[0])
        timed.last_flattening.append(own[-1])
    await owner.execute("UPDATE execution.kill SET lifted_at = now() WHERE lifted_at IS NULL")
    await asyncio.sleep(0.05)


async def _trade(parts: Parts, symbol: str) -> None:
    """Open and close one pair, again and again."""
    desk, worker = parts.executor.desks[symbol], parts.executor.workers[symbol]

    async def is_idle() -> bool:
        return worker.is_idle

    with suppress(asyncio.CancelledError):
        for number in count():
            target = Decimal(0) if number % 2 else QUANTITIES[symbol]
            await parts.executor.aim(desk, target, "bench")
            await until(is_idle, True)
            await asyncio.sleep(PAUSE_SECONDS)


async def _is_quoted(market: Market) -> bool:
    return all(market.is_fresh(symbol) for symbol in SYMBOLS)


async def _is_flat(parts: Parts) -> bool:
    held = parts.executor.desks.values()
    return parts.executor.is_idle and all(abs(d.short) < d.pair.perp.step for d in held)


async def _pairs(feed: BybitFeed) -> list[Pair]:
    spot, perp = [
        {i.symbol: i for i in await feed.fetch_instruments(category)}
        for category in (Category.SPOT, Category.LINEAR)
    ]
    return [Pair(spot[symbol], perp[symbol]) for symbol in SYMBOLS]


def _quoting(feed: BybitFeed, market: Market) -> Callable[[], Coroutine[Any, Any, None]]:
    async def run() -> None:
        async for batch in feed.quotes(SYMBOLS):
            market.quoted(
                [
                    QuoteUpdated(
                        **{
                            **{n: getattr(quote, n) for n in quote.__slots__},
                            "category": quote.category.value,
                            "received_at": START,
                        }
                    )
                    for quote in batch
                ]
            )

    return run


def _figures(seconds: Sequence[float], goal: float | None) -> str:
    ordered = sorted(seconds)
    p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
    said = (
        f"p50 {statistics.median(ordered) * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, "
        f"max {ordered[-1] * 1e3:.0f} ms of {len(ordered)}"
    )
    if goal is None:
        return said
    return f"{said} ({'holds' if p99 <= goal else 'MISSES'} {goal * 1e3:.0f} ms)"
