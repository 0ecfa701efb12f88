"""The account's worth at each complete market instant, and the parts it came from."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Final

import structlog

from services.executor.bookkeeper import Bookkeeper
from services.executor.journal import Journal
from services.executor.market import Market
from services.executor.metrics import ExecutorMetrics
from shared.domain.errors import Malformed, Transient
from shared.domain.instrument import Pair
from shared.domain.money import ONE, ZERO
from shared.runtime.clock import Clock
from shared.store.ledger import (
    STABLE,
    WIDE,
    PairPnl,
    PairSums,
    Prices,
    Sums,
    insert_equity,
    valued,
)

INSTANT_GRID: Final = timedelta(minutes=1)
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
        instant = self._market.newest_instant(INSTANT_GRID)
        if not self._bookkeeper.is_open:
            return
        if instant is None or (self._last is not None and instant <= self._last):
            return
        prices = self._market.prices()
        if self._bookkeeper.is_behind:  # a settlement has just passed: its row comes first
            await self._bookkeeper.read()
        equity, pnl = appraised(self._bookkeeper.sums, prices, self._market.pairs)
        async with self._journal.transaction() as connection:
            await insert_equity(connection, instant, equity, pnl, self._clock.now())
        self._last = instant
        self._metrics.worth(equity, pnl)


def appraised(
    sums: Sums, prices: Mapping[str, Prices], pairs: Mapping[str, Pair]
) -> tuple[Decimal, PairPnl]:
    """Return the account's worth in USDT and its profit since the books were opened.

    Worth: wallet balances at spot mids plus what open perpetuals have gained at the mark and not
    yet realised. Net: worth minus what was brought in, valued alike. Fees positive are paid, and
    ``basis = net - funding + fees``. Coins that no pair trades are left out of both.
    Raises: Transient when something is held that has no price.
    """
    coins: dict[str, Decimal | None] = {STABLE: ONE}
    coins |= {pair.base: prices[name].mid for name, pair in pairs.items()}
    with localcontext(WIDE):
        worth = _value(sums.wallet, coins)
        for name in pairs:
            worth += sums.pairs.get(name, PairSums()).unrealized(prices[name].mark)
        net = worth - _value(sums.brought, coins)
        parts = sums.pairs.values()
        funding = sum((p.funding for p in parts), ZERO)
        fees = sum((p.usdt_fees + p.base_fees for p in parts), ZERO)
        return worth, PairPnl(funding, fees, net - funding + fees)


def _value(amounts: Mapping[str, Decimal], coins: Mapping[str, Decimal | None]) -> Decimal:
    return sum(
        (valued(amount, coins[coin]) for coin, amount in amounts.items() if coin in coins), ZERO
    )
