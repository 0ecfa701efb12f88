"""A whole executor on a real database and a venue in memory: what its tests drive."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from services.executor.assembly import Parts, assemble
from services.executor.market import Freshness, Market
from services.executor.metrics import ExecutorMetrics
from services.executor.orders import Pace
from services.executor.worker import Rules
from shared.bus.messages import PairWanted, QuoteUpdated
from shared.domain.costs import FeeRates
from shared.domain.instrument import Pair
from shared.domain.policy import ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.runtime.clock import SystemClock
from shared.store.pool import WritePool
from shared.venue.exchange import Exchange
from shared.venue.rules import Rule
from tests.support.fake_gateway import FakeGateway
from tests.support.markets import EIGHT_HOURS, INSTANT, MIDNIGHT, pair

EPOCH = 7
FEES = FeeRates(Decimal("0.001"), Decimal("0.00055"))
QUICK = Pace(
    ack_seconds=0.05,
    poll_seconds=0.05,
    receive_window_seconds=0.1,
    skew_seconds=0.0,
    read_lag_seconds=0.1,
    rest_poll_seconds=0.1,
    probe_seconds=0.1,
    proof_gap_seconds=0.05,
    stalled_seconds=5.0,
)
MS = int(INSTANT.timestamp() * 1000)


def rule(category: str, base: str = "BTC") -> Rule:
    of = pair(base)
    product = of.spot if category == "spot" else of.perp
    return Rule(
        category=category,
        symbol=product.symbol,
        base=base,
        quote="USDT",
        tick=product.tick,
        step=product.step,
        min_qty=product.min_quantity,
        max_qty=product.max_quantity,
        min_notional=product.min_notional,
        taker_fee=Decimal("0.001") if category == "spot" else Decimal("0.00055"),
        maker_fee=Decimal(0),
    )


def venue(*bases: str, deposit: str = "100000") -> Exchange:
    """A venue where every asset trades at 9,999.5 / 10,000.5 on both legs, mark 10,000."""
    names = bases or ("BTC",)
    rules = [rule(category, base) for base in names for category in ("spot", "linear")]
    exchange = Exchange(rules, {"USDT": Decimal(deposit)}, MS)
    for base in names:
        for category in ("spot", "linear"):
            books(exchange, category, base)
        exchange.set_mark(f"{base}USDT", Decimal(10_000), Decimal(10_000))
    exchange.drain()
    return exchange


def books(
    exchange: Exchange,
    category: str,
    base: str = "BTC",
    *,
    bid: str = "9999.5",
    ask: str = "10000.5",
    size: str | None = None,
) -> None:
    """Set one book of one level; by default the spot's is the thinner, so it goes first."""
    depth = Decimal(size or ("50" if category == "spot" else "100"))
    exchange.set_book(category, f"{base}USDT", [(Decimal(bid), depth)], [(Decimal(ask), depth)])


@dataclass
class Rig:
    """One running executor."""

    parts: Parts
    exchange: Exchange
    gateway: FakeGateway
    pool: WritePool
    market: Market
    metrics: ExecutorMetrics
    count: int = 0
    at: datetime = INSTANT
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def quote(self, at: datetime | None = None) -> None:
        """Publish what the venue's books show."""
        self.at = at or self.at
        self.market.quoted([q for p in self.market.pairs.values() for q in self.quotes(p)])

    async def want(self, quantity: str, base: str = "BTC", *, minutes: int = 0) -> None:
        """Say a target as the strategy does, decided ``minutes`` after the first instant."""
        await self.deliver(self.message(quantity, base, minutes=minutes))

    def message(self, quantity: str, base: str = "BTC", *, minutes: int = 0) -> PairWanted:
        self.count += 1
        return PairWanted(
            intent_id=f"intent-{base}-{quantity}-{minutes}-{self.count}",
            decision_id="decision",
            correlation_id="correlation",
            pair=f"{base}USDT",
            quantity=Decimal(quantity),
            reason="worth_opening",
            decided_at=INSTANT + timedelta(minutes=minutes),
        )

    async def deliver(self, message: PairWanted) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await self.parts.executor.handle(connection, message, self.count)
        self.parts.executor.committed(message, self.count)

    async def finished(
        self, count: int = 1, seconds: float = 10.0, *, idle: bool = True
    ) -> list[dict[str, object]]:
        """Return the plans, oldest first, once ``count`` have ended and all is booked."""
        async with asyncio.timeout(seconds):
            while True:
                plans = await self.rows("SELECT * FROM execution.plan ORDER BY created_at")
                ended = [p for p in plans if p["finished_at"] is not None]
                if len(ended) >= count and (self.parts.executor.is_idle or not idle):
                    break
                self.raise_failures()
                await asyncio.sleep(0.01)
        if idle:
            await self.parts.bookkeeper.read()
        return plans

    async def until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait until ``holds``."""
        async with asyncio.timeout(seconds):
            while not holds():
                self.raise_failures()
                await asyncio.sleep(0.01)

    async def rows(self, query: str, *values: object) -> list[dict[str, object]]:
        async with self.pool.acquire() as connection:
            return [dict(row) for row in await connection.fetch(query, *values)]

    async def ledger_difference(self) -> dict[str, Decimal]:
        """Return, per coin, the stored ledger's wallet minus the venue's; empty when equal."""
        rows = await self.rows(
            "SELECT asset, sum(amount) AS held FROM ledger.entry "
            "WHERE account = 'wallet' GROUP BY 1"
        )
        ours = {str(r["asset"]): Decimal(str(r["held"])) for r in rows}
        theirs = self.exchange.wallet
        return {
            coin: ours.get(coin, Decimal(0)) - theirs.get(coin, Decimal(0))
            for coin in {*ours, *theirs}
            if ours.get(coin, Decimal(0)) != theirs.get(coin, Decimal(0))
        }

    async def alarms(self) -> list[str]:
        """Return the names of the alarms raised so far."""
        rows = await self.rows(
            "SELECT DISTINCT convert_from(body, 'UTF8')::jsonb ->> 'name' AS name FROM ops.outbox "
            "WHERE convert_from(body, 'UTF8')::jsonb ->> 'type' = 'alarm_raised.v1' ORDER BY 1"
        )
        return [str(row["name"]) for row in rows]

    def stop_reading(self) -> None:
        """Let the log be read only when the test says so."""
        self.tasks[self.parts.loops.index(self.parts.bookkeeper.run)].cancel()

    def raise_failures(self) -> None:
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise AssertionError("a loop ended") from task.exception()

    def quotes(self, of: Pair) -> list[QuoteUpdated]:
        found = []
        for category in ("spot", "linear"):
            bids, asks = self.exchange.book(category, of.name)
            if not bids or not asks:
                continue
            is_linear = category == "linear"
            found.append(
                QuoteUpdated(
                    category=category,
                    symbol=of.name,
                    bid=bids[0][0],
                    bid_size=bids[0][1],
                    ask=asks[0][0],
                    ask_size=asks[0][1],
                    venue_at=self.at,
                    received_at=self.at,
                    mark=self.exchange.marks[of.name] if is_linear else None,
                    index=self.exchange.indexes[of.name] if is_linear else None,
                    next_funding_at=MIDNIGHT + EIGHT_HOURS if is_linear else None,
                )
            )
        return found


class SilentBell:
    """Nobody listens."""

    def notify(self) -> None:
        return None


@asynccontextmanager
async def running(
    pool: WritePool,
    exchange: Exchange,
    gateway: FakeGateway | None = None,
    *,
    owner: str = "one",
    limits: RiskLimits | None = None,
    release: bool = True,
    safe_mode: bool = False,
    execution: ExecutionPolicy | None = None,
    renewed: Sequence[Pair] = (),
) -> AsyncIterator[Rig]:
    """Run an armed executor; ``release`` false ends it as a crash would.

    ``renewed`` are the pairs whose rules are others than usual from the start.
    """
    clock = SystemClock()
    gateway = gateway or FakeGateway(exchange)
    bases = sorted({r.base for r in exchange.rules.values()})
    pairs = [pair(base) for base in bases]
    market = Market(pairs, clock, Freshness(timedelta(hours=2), 60.0))
    for changed in renewed:
        market.renew(changed)
    metrics = ExecutorMetrics()
    parts = assemble(
        gateway,
        pool=pool,
        doorbell=SilentBell(),
        market=market,
        clock=clock,
        metrics=metrics,
        rules=Rules(limits or RiskLimits(), execution or ExecutionPolicy(), FEES, "t1"),
        pace=QUICK,
        epoch=EPOCH,
        owner=owner,
        history_start=MIDNIGHT - timedelta(days=1),
        safe_mode=safe_mode,
    )
    rig = Rig(parts, exchange, gateway, pool, market, metrics)
    rig.quote()
    await parts.lease.take()
    rig.tasks = [asyncio.create_task(loop()) for loop in parts.loops]
    try:
        await parts.reconciler.start()
        yield rig
        rig.raise_failures()
    finally:
        for task in rig.tasks:
            task.cancel()
        await asyncio.gather(*rig.tasks, return_exceptions=True)
        if release:
            await parts.lease.release()
