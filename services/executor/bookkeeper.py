"""Keeps the ledger equal to the venue's transaction log, row by row, to the last digit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import localcontext
from typing import Final

import structlog

from services.executor import ledger
from services.executor.guard import Guard
from services.executor.journal import Journal
from services.executor.market import wait
from services.executor.metrics import ExecutorMetrics
from shared.bus.messages import FundingBooked
from shared.domain.errors import InvariantViolation, Malformed, Transient
from shared.domain.instrument import Category, Pair
from shared.domain.money import ZERO, plain
from shared.domain.order import Side
from shared.exchange.ports import LogRow, TradingGateway
from shared.runtime.clock import Clock
from shared.store.ledger import (
    STABLE,
    WIDE,
    Head,
    PostingGroup,
    Sums,
    insert_groups,
    read_head,
    read_keys,
    read_sums,
    read_watermark,
)
from shared.store.orders import read_correlations

OVERLAP: Final = timedelta(hours=2)
LOOK_SECONDS: Final = 2.0
OPENING_TRIES: Final = 10

log = structlog.get_logger()


class Bookkeeper:
    """Books every row once. ``wake`` asks for a reading now; else one is made every two seconds.

    ``fetch_executions(category, start)`` must bring every execution from ``start`` on into the
    journal: a row is booked after the execution it comes from, whoever ordered it.
    """

    def __init__(
        self,
        gateway: TradingGateway,
        *,
        journal: Journal,
        clock: Clock,
        guard: Guard,
        metrics: ExecutorMetrics,
        pairs: Mapping[str, Pair],
        wake: asyncio.Event,
        fetch_executions: Callable[[Category, datetime], Awaitable[None]],
        funding_owner: Callable[[str], str],
    ) -> None:
        self.sums = Sums()
        self.wake = wake
        self._gateway = gateway
        self._journal = journal
        self._clock = clock
        self._guard = guard
        self._metrics = metrics
        self._pair_of = {("spot", p.spot.symbol): p for p in pairs.values()}
        self._pair_of |= {("linear", p.perp.symbol): p for p in pairs.values()}
        self._fetch_executions = fetch_executions
        self._funding_owner = funding_owner
        self._head = Head()
        self._keys: set[str] = set()
        self._watermark: datetime | None = None
        self._reading = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the books were taken up; before that the sums say nothing."""
        return self._watermark is not None

    @property
    def is_behind(self) -> bool:
        """Whether a reading is asked for or under way."""
        return self.wake.is_set() or self._reading.locked()

    async def load(self, since: datetime) -> None:
        """Take the books up where they end, or open them with what the account holds.

        ``since`` is where the first reading of a new installation starts, venue time.
        """
        async with self._reading:
            async with self._journal.pool.acquire() as connection:
                self._head = await read_head(connection)
                watermark = await read_watermark(connection)
                self.sums = await read_sums(connection)
                if watermark is not None:
                    self._keys = await read_keys(connection, watermark - OVERLAP)
            if watermark is None:
                await self._open_books(since)
            else:
                self._watermark = watermark

    async def run(self) -> None:
        """Read the log whenever woken, and every two seconds."""
        while True:
            await wait(self.wake, LOOK_SECONDS)
            try:
                await self.read()
            except (Transient, Malformed) as error:
                log.warning("ledger_unreadable", detail=str(error))
                await self._clock.sleep(LOOK_SECONDS / 10)

    async def read(self) -> int:
        """Book what is new in the venue's log and return how many rows that was."""
        async with self._reading:
            self.wake.clear()
            if self._watermark is None:
                return 0
            began = self._clock.monotonic()
            rows = await self._gateway.read_transaction_log(self._watermark - OVERLAP)
            new = [row for row in rows if row.key not in self._keys]
            if new:
                await self._book(new)
            self._metrics.ledger_lag_seconds.observe(self._clock.monotonic() - began)
            return len(new)

    async def _book(self, rows: Sequence[LogRow]) -> None:
        owners = await self._owners(rows)
        groups = [self._group(row, owners) for row in rows]
        async with self._journal.transaction() as connection:
            head = await insert_groups(connection, self._head, groups, self._clock.now())
            await self._journal.say(connection, [e for r in rows for e in self._funding(r)])
        self._head = head
        self._metrics.groups.inc(len(groups))
        for row, group in zip(rows, groups, strict=True):
            self._remember(group)
            self._add_trade(row, group)
            await self._judge(row, group)

    def _remember(self, group: PostingGroup) -> None:
        self.sums.post(group.pair, group.entries, brought=group.kind in ("opening", "external"))
        self._keys.add(group.key)
        if self._watermark is None or group.venue_at > self._watermark:
            self._watermark = group.venue_at

    def _group(self, row: LogRow, owners: Mapping[str, str]) -> PostingGroup:
        pair = self._pair_of.get((row.category, row.symbol))
        name = None if pair is None else pair.name
        owner = owners.get(row.exec_id)
        if not owner and name is not None and ledger.kind_of(row) == "funding":
            owner = self._funding_owner(name)
        return ledger.booked(row, name, owner or None)

    def _add_trade(self, row: LogRow, group: PostingGroup) -> None:
        """Add to the sums what only price and quantity of the row tell."""
        pair = self._pair_of.get((row.category, row.symbol))
        if group.kind != "trade" or pair is None:
            return
        price = row.price
        if price is None:
            raise InvariantViolation(f"log row {row.key} trades without a price")
        with localcontext(WIDE):
            if row.category == "linear":
                sign = Side(row.side).sign
                self.sums.traded(
                    pair.name,
                    perp_cash=-(sign * row.quantity * price),
                    perp_quantity=sign * row.quantity,
                )
            elif row.currency == pair.base and row.fee != ZERO:
                self.sums.traded(pair.name, base_fees=row.fee * price)

    async def _judge(self, row: LogRow, group: PostingGroup) -> None:
        """Compare with the venue's running balance; a difference forbids opening."""
        ours = self.sums.wallet.get(row.currency, ZERO)
        name = f"ledger of {row.currency}"
        if ours == row.balance:
            self._guard.report(name, None)
        else:
            detail = f"{row.currency}: ours {plain(ours)}, the venue's {plain(row.balance)}"
            if self._guard.report(name, detail):
                await self._journal.alarm("ledger_differs", f"{row.key} {detail}", group.pair)
        if group.kind == "suspense":
            await self._journal.alarm("log_row_unknown", f"{row.kind} {row.key}", group.pair)
        if not ledger.is_consistent(row):
            await self._journal.alarm("log_row_odd", row.key, group.pair)
        if group.kind == "funding":
            log.info(
                "funding_booked",
                correlation_id=group.correlation_id,
                pair=group.pair,
                amount=str(row.funding),
                venue_at=row.venue_at.isoformat(),
            )

    def _funding(self, row: LogRow) -> list[FundingBooked]:
        pair = self._pair_of.get((row.category, row.symbol))
        if ledger.kind_of(row) != "funding" or pair is None:
            return []
        return [FundingBooked(pair.name, row.funding, row.currency, row.venue_at)]

    async def _owners(self, rows: Sequence[LogRow]) -> dict[str, str]:
        """Return whose each row's execution is, reading from the venue those we do not have."""
        traded = [r for r in rows if r.exec_id and ledger.kind_of(r) in ("trade", "funding")]
        wanted = {row.exec_id for row in traded}
        if not wanted:
            return {}
        owners = await self._read_owners(wanted)
        missing = [row for row in traded if row.exec_id not in owners]
        for name in sorted({row.category for row in missing} & {"spot", "linear"}):
            start = min(row.venue_at for row in missing if row.category == name)
            await self._fetch_executions(Category(name), start - timedelta(minutes=1))
        if missing:
            owners = await self._read_owners(wanted)
        for row in missing:
            if row.exec_id not in owners and ledger.kind_of(row) == "trade":
                await self._journal.alarm("execution_missing", row.key)
        return owners

    async def _read_owners(self, exec_ids: set[str]) -> dict[str, str]:
        async with self._journal.pool.acquire() as connection:
            return await read_correlations(connection, sorted(exec_ids))

    async def _open_books(self, since: datetime) -> None:
        """Bring in what the account holds now; log rows up to now are seen, not booked."""
        for _ in range(OPENING_TRIES):
            rows = await self._gateway.read_transaction_log(since)
            balances = dict(await self._gateway.read_wallet())
            again = await self._gateway.read_transaction_log(since)
            told = {row.currency: row.balance for row in rows}
            moved = {row.key for row in rows} != {row.key for row in again}
            if not moved and all(balances.get(c, ZERO) == b for c, b in told.items()):
                break
            await self._clock.sleep(LOOK_SECONDS / 10)
        else:
            raise Transient("the account does not come to rest; its opening balance is not known")
        at = max((row.venue_at for row in rows), default=since)
        groups = [ledger.seen(row) for row in rows]
        groups += [
            ledger.opening(coin, balance, at)
            for coin, balance in sorted(balances.items())
            if balance != ZERO
        ]
        if not groups:
            groups = [ledger.opening(STABLE, ZERO, at)]
        async with self._journal.transaction() as connection:
            self._head = await insert_groups(connection, self._head, groups, self._clock.now())
        for group in groups:
            self._remember(group)
        held = {c: plain(b) for c, b in balances.items()}
        log.info("books_opened", balances=held, rows_seen=len(rows))
