"""Keeps the ledger equal to the venue's transaction log, row by row, to the last digit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import structlog
from asyncpg import Connection

from services.executor import ledger
from services.executor.balances import differences
from services.executor.desk import FOREIGN
from services.executor.guard import Guard
from services.executor.journal import Journal
from services.executor.market import wait
from services.executor.metrics import ExecutorMetrics
from shared.bus.messages import FundingBooked
from shared.domain.books import Booked, Books
from shared.domain.errors import Malformed, Misconfigured, Transient
from shared.domain.instrument import Category, Pair
from shared.domain.log import STABLE, LogRow, OwnedRow, kind_of
from shared.domain.money import ZERO, plain
from shared.exchange.ports import PositionReport, TradingGateway
from shared.runtime.clock import Clock
from shared.store.books import read_books, write_books
from shared.store.ledger import (
    Head,
    Source,
    insert_groups,
    insert_rows,
    is_complete,
    is_equal,
    read_head,
    read_keys,
    read_opened_at,
    read_sources,
    read_watermark,
)

OVERLAP: Final = timedelta(hours=2)
DEEP: Final = timedelta(days=7)
LOOK_SECONDS: Final = 2.0
HOLD_SECONDS: Final = 10.0
OPENING_TRIES: Final = 10
KEYS_MAX: Final = 20_000

Sources = Mapping[tuple[str, str], Source]
Also = Callable[[Connection], Awaitable[None]]

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
        self.books = Books()
        self.opened_at: datetime | None = None
        self.wake = wake
        self._gateway = gateway
        self._journal = journal
        self._clock = clock
        self._guard = guard
        self._metrics = metrics
        self._pairs = pairs
        self._pair_of = {("spot", p.spot.symbol): name for name, p in pairs.items()}
        self._pair_of |= {("linear", p.perp.symbol): name for name, p in pairs.items()}
        self._fetch_executions = fetch_executions
        self._funding_owner = funding_owner
        self._head = Head()
        self._keys: dict[str, datetime] = {}
        self._equal_at: datetime | None = None
        self._is_doubtful = False
        self._held_since: dict[str, float] = {}
        self._differed: set[str] = set()
        self._reading = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the books were taken up; before that they say nothing."""
        return self._equal_at is not None

    @property
    def is_behind(self) -> bool:
        """Whether a reading is asked for or under way."""
        return self.wake.is_set() or self._reading.locked()

    def stands_against(self, pair: Pair) -> bool:
        """Return whether somebody's long stands where our short would."""
        return self.books.unowned_perp(pair.perp.symbol, pair.name) > ZERO

    def spare_coin(self, pair: Pair) -> Decimal:
        """Return how much of a pair's coin the account holds that no pair owns."""
        sharing = [name for name, other in self._pairs.items() if other.base == pair.base]
        return self.books.unowned_coin(pair.base, sharing)

    async def load(self, since: datetime) -> None:
        """Take the books up where they end, or open them with what the account holds.

        ``since`` is where the first reading of a new installation starts, venue time.
        """
        async with self._reading:
            if not await self._take_up():
                await self._open_books(since)

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
            if self._is_doubtful:
                await self._take_up()
            if self._equal_at is None:
                return 0
            began = self._clock.monotonic()
            rows = await self._gateway.read_transaction_log(self._equal_at - OVERLAP)
            new, sources = await self._ready([row for row in rows if row.key not in self._keys])
            owned = await self._post(lambda books: self._owning(new, sources, books))
            for each in owned:
                await self._judge(each)
            await self._compare([row for row in rows if row.key in self._keys])
            self._metrics.ledger_lag_seconds.observe(self._clock.monotonic() - began)
            return len(new)

    async def repair(
        self, make: Callable[[Books], Sequence[OwnedRow]], also: Also
    ) -> list[OwnedRow]:
        """Book rows of our own, made from the books as they are, with ``also`` in one transaction.

        A row that is booked already is left out: its key says so.
        """
        async with self._reading:
            return await self._post(
                lambda books: (o for o in make(books) if o.row.key not in self._keys), also
            )

    async def _post(
        self, owning: Callable[[Books], Iterator[OwnedRow]], also: Also | None = None
    ) -> list[OwnedRow]:
        """Book rows in one transaction; what is in memory follows the commit.

        After a commit whose end is not known everything is read again before the next one.
        """
        books, owned = self.books.copy(), list[OwnedRow]()

        def remembered() -> Iterator[OwnedRow]:
            for each in owning(books):
                owned.append(each)
                yield each

        booked = books.book(remembered())
        if owned or also is not None:
            self._is_doubtful = True
            head = await self._store(books, booked, owned, also)
            self._is_doubtful = False
            self.books, self._head = books, head
            self._metrics.groups.inc(len(owned))
            self._keys |= {each.row.key: each.row.venue_at for each in owned}
        return owned

    async def _store(
        self, books: Books, booked: Booked, owned: Sequence[OwnedRow], also: Also | None
    ) -> Head:
        groups = [ledger.booked(each) for each in owned]
        perps = {s: p for s, p in books.perps.items() if self.books.perps.get(s) != p}
        async with self._journal.transaction() as connection:
            head = await insert_groups(connection, self._head, groups, self._clock.now())
            await insert_rows(connection, self._head.id + 1, owned)
            await write_books(connection, booked, perps)
            await self._journal.say(connection, [e for each in owned for e in _funding(each)])
            if also is not None:
                await also(connection)
        return head

    def _owning(self, rows: Sequence[LogRow], sources: Sources, books: Books) -> Iterator[OwnedRow]:
        """Say whose each row is, as the books stand when its turn comes."""
        for row in rows:
            name = self._pair_of.get((row.category, row.symbol))
            source = sources.get((row.category, row.exec_id))
            correlation_id = None if source is None else source.correlation_id
            owner = None
            match kind_of(row):
                case "trade" if correlation_id not in (None, FOREIGN):
                    owner = name
                case "funding" if name is not None and _earns(books, row.symbol, name):
                    owner = name
                    correlation_id = correlation_id or self._funding_owner(name) or None
            seen = self.opened_at is not None and row.venue_at < self.opened_at
            owned = OwnedRow(row, correlation_id=correlation_id, is_seen=seen)
            if owner is not None:
                pair = self._pairs[owner]
                price = None if source is None else source.reference_price
                owned = OwnedRow(
                    row, owner, pair.base, price, pair.common_lot, correlation_id, seen
                )
            yield owned

    async def _ready(self, rows: Sequence[LogRow]) -> tuple[list[LogRow], Sources]:
        """Return the rows whose executions are known, with those, up to the first that is not.

        An execution that the venue does not show for ten seconds is alarmed and not waited for.
        """
        traded = [r for r in rows if r.exec_id and kind_of(r) in ("trade", "funding")]
        sources = await self._sources(traded)
        missing = _without(traded, sources)
        for name in sorted({row.category for row in missing} & {"spot", "linear"}):
            start = min(row.venue_at for row in missing if row.category == name)
            start = max(start - timedelta(minutes=1), self.opened_at or start)
            await self._fetch_executions(Category(name), start)
        if missing:
            sources = await self._sources(traded)
        now = self._clock.monotonic()
        held = dict[str, float]()
        for row in _without(traded, sources):
            if kind_of(row) == "trade":
                held[row.key] = self._held_since.get(row.key, now)
        self._held_since = held
        ready: list[LogRow] = []
        for row in rows:
            if row.key in held:
                if now - held[row.key] < HOLD_SECONDS:
                    break
                await self._journal.alarm("execution_missing", row.key)
            ready.append(row)
        return ready, sources

    async def _sources(self, rows: Sequence[LogRow]) -> Sources:
        wanted = sorted({row.exec_id for row in rows})
        if not wanted:
            return {}
        async with self._journal.pool.acquire() as connection:
            return await read_sources(connection, wanted)

    async def _compare(self, rows: Sequence[LogRow]) -> None:
        """Compare with the venue's running balances; a difference forbids opening.

        While one stands the log is read from where it was last equal: a row that comes late,
        however late, is found. A difference that a second reading still shows is alarmed.
        """
        found = differences(rows, self.books.wallet)
        for coin, detail in found.items():
            self._guard.report(f"ledger of {coin}", detail)
            if detail is None:
                self._differed.discard(coin)
            elif coin in self._differed:
                await self._journal.alarm("ledger_differs", detail)
            else:
                self._differed.add(coin)
        if rows and not self._differed and not self._held_since:
            newest = max(row.venue_at for row in rows)
            self._equal_at = max(newest, self._equal_at or newest)
            self._forget()

    def _forget(self) -> None:
        if len(self._keys) > KEYS_MAX and self._equal_at is not None:
            oldest = self._equal_at - OVERLAP
            self._keys = {key: at for key, at in self._keys.items() if at >= oldest}

    async def _judge(self, owned: OwnedRow) -> None:
        """Alarm what a person should know of a row that was just booked."""
        row = owned.row
        match kind_of(row):
            case "suspense":
                await self._journal.alarm("log_row_unknown", f"{row.kind} {row.key}", owned.pair)
            case "borrow":
                detail = f"{row.kind} {plain(row.change)} {row.currency} {row.key}"
                await self._journal.alarm("borrowed", detail)
            case "funding":
                log.info(
                    "funding_booked",
                    correlation_id=owned.correlation_id,
                    pair=owned.pair,
                    amount=str(row.funding),
                    venue_at=row.venue_at.isoformat(),
                )
        if not ledger.is_consistent(row):
            await self._journal.alarm("log_row_odd", row.key, owned.pair)

    async def _take_up(self) -> bool:
        """Read the books where they end; False when there are none yet.

        Raises: Misconfigured when they were kept by a release that did not store the venue's rows.
        """
        async with (
            self._journal.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            watermark = await read_watermark(connection)
            if watermark is None:
                return False
            if not await is_complete(connection):
                raise Misconfigured(
                    "the ledger of this database was kept by an older release without the venue's "
                    "rows: start with a new database, what is held is taken up as opening"
                )
            depth = OVERLAP if await is_equal(connection) else DEEP
            self._head = await read_head(connection)
            self.opened_at = await read_opened_at(connection)
            self.books = await read_books(connection)
            self._keys = await read_keys(connection, watermark - depth - OVERLAP)
        self._equal_at = watermark - depth + OVERLAP
        self._is_doubtful = False
        return True

    async def _open_books(self, since: datetime) -> None:
        """Bring in what the account holds now; log rows up to now are seen, not booked."""
        for _ in range(OPENING_TRIES):
            rows = await self._gateway.read_transaction_log(since)
            balances = dict(await self._gateway.read_wallet())
            positions = await self._gateway.read_positions()
            again = await self._gateway.read_transaction_log(since)
            told = {row.currency: row.balance for row in rows}
            moved = {row.key for row in rows} != {row.key for row in again}
            if not moved and all(balances.get(c, ZERO) == b for c, b in told.items()):
                break
            await self._clock.sleep(LOOK_SECONDS / 10)
        else:
            raise Transient("the account does not come to rest; its opening balance is not known")
        at = max((row.venue_at for row in rows), default=since)
        owned = [OwnedRow(row, is_seen=True) for row in rows]
        owned += [
            OwnedRow(ledger.opening(coin, balance, at))
            for coin, balance in sorted(balances.items())
            if balance != ZERO or coin == STABLE
        ]
        owned += [self._carried_in(p, balances.get(STABLE, ZERO), at) for p in positions]
        if not balances:
            owned.append(OwnedRow(ledger.opening(STABLE, ZERO, at)))
        await self._post(lambda _: iter(owned))
        self.opened_at = self._equal_at = at
        held = {c: plain(b) for c, b in balances.items()}
        sizes = {p.symbol: plain(p.quantity) for p in positions}
        log.info("books_opened", balances=held, positions=sizes, rows_seen=len(rows))

    def _carried_in(self, held: PositionReport, balance: Decimal, at: datetime) -> OwnedRow:
        """Return the row of a position that somebody held before us; it stays nobody's."""
        entry = held.entry_price or held.mark_price
        if entry is None:
            raise Malformed(f"{held.symbol} is held without a price")
        row = ledger.opening_position(held.symbol, held.quantity, entry, balance, at)
        is_priced = ("linear", held.symbol) in self._pair_of
        return OwnedRow(row, reference_price=held.mark_price if is_priced else None)


def _earns(books: Books, symbol: str, pair: str) -> bool:
    """Whether funding of ``symbol`` is the pair's: it holds it, or held it and nobody else does."""
    return pair in books.lives and (
        books.perp(pair) != ZERO or books.unowned_perp(symbol, pair) == ZERO
    )


def _without(rows: Sequence[LogRow], sources: Sources) -> list[LogRow]:
    return [row for row in rows if (row.category, row.exec_id) not in sources]


def _funding(owned: OwnedRow) -> list[FundingBooked]:
    row = owned.row
    if owned.pair is None or owned.is_seen or kind_of(row) != "funding":
        return []
    return [FundingBooked(owned.pair, row.funding, row.currency, row.venue_at)]
