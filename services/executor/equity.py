"""The account's worth at each complete market instant, and the parts it came from."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import structlog

from services.executor.bookkeeper import Bookkeeper
from services.executor.journal import Journal
from services.executor.market import Market
from services.executor.metrics import ExecutorMetrics
from shared.domain.errors import Malformed, Transient
from shared.domain.money import ONE, ZERO
from shared.domain.profit import WIDE
from shared.runtime.clock import Clock
from shared.store.books import insert_equity, read_growth

INSTANT_GRID: Final = timedelta(minutes=1)
GROWTH_QUANTUM: Final = Decimal("1e-18")
LOOK_SECONDS: Final = 1.0

log = structlog.get_logger()


class EquityRecorder:
    """Stores one row per instant that all books have reached."""

    def __init__(
        self,
        bookkeeper: Bookkeeper,
        *,
        journal: Journal,
        market: Market,
        clock: Clock,
        metrics: ExecutorMetrics,
    ) -> None:
        self._bookkeeper = bookkeeper
        self._metrics = metrics
        self._journal = journal
        self._market = market
        self._clock = clock
        self._last: datetime | None = None
        self._net = ZERO
        self._growth = ONE

    async def run(self) -> None:
        """Record whenever a new instant is complete."""
        while True:
            seen = self._market.version
            try:
                await self.record()
            except (Transient, Malformed) as error:
                log.warning("equity_unknown", detail=str(error))
            if self._market.version == seen:
                await self._market.moved(LOOK_SECONDS)

    async def record(self) -> None:
        """Record the newest instant unless that was done."""
        if self._last is None:
            await self._take_up()
        instant = self._market.newest_instant(INSTANT_GRID)
        if not self._bookkeeper.is_open:
            return
        if instant is None or (self._last is not None and instant <= self._last):
            return
        prices = self._market.prices()
        if self._bookkeeper.is_behind:  # a settlement has just passed: its row comes first
            await self._bookkeeper.read()
        bases = {name: pair.base for name, pair in self._market.pairs.items()}
        equity, statement = self._bookkeeper.books.statement(prices, bases)
        pnl = statement.total
        growth = grown(self._growth, equity, WIDE.subtract(pnl.net, self._net))
        async with self._journal.transaction() as connection:
            await insert_equity(connection, instant, equity, pnl, growth, self._clock.now())
        self._last, self._net, self._growth = instant, pnl.net, growth
        self._metrics.worth(equity, pnl)

    async def _take_up(self) -> None:
        """Go on from the newest instant stored."""
        async with self._journal.pool.acquire() as connection:
            newest = await read_growth(connection)
        if newest is not None:
            self._last, self._net, self._growth = newest


def grown(growth: Decimal, equity: Decimal, gain: Decimal) -> Decimal:
    """Return the time-weighted growth after an instant that gained ``gain`` and left ``equity``.

    Equity less the gain is what worked: the equity before with what was deposited or withdrawn
    since, which so earns nothing by itself. To 18 places, half-even. Where nothing worked, nothing
    grows.
    """
    worked = WIDE.subtract(equity, gain)
    if worked <= ZERO:
        return growth
    product = WIDE.multiply(growth, WIDE.divide(equity, worked))
    return product.quantize(GROWTH_QUANTUM, context=WIDE)
