"""The double-entry ledger: hash-chained posting groups, sums over them, profit and loss.

A positive entry debits its account: ``wallet`` is what is owned, ``fees`` what was paid; income and
what was brought in stand negative in ``funding``, ``realized``, ``opening`` and ``external``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from hashlib import sha256
from typing import Any, Final

from asyncpg import Connection

from shared.domain.errors import Transient
from shared.domain.money import ZERO, plain

STABLE: Final = "USDT"
GENESIS: Final = ""
WIDE: Final = Context(prec=60)
BROUGHT: Final = ("opening", "external")

INSERT_GROUPS: Final = """
    INSERT INTO ledger.posting_group (id, key, kind, pair, exec_id, asset, venue_balance, venue_at,
                                      correlation_id, previous_hash, hash, booked_at)
    SELECT *, $12::timestamptz
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                $7::numeric[], $8::timestamptz[], $9::text[], $10::text[], $11::text[])"""
INSERT_ENTRIES: Final = """
    INSERT INTO ledger.entry (group_id, line, account, asset, amount)
    SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::numeric[])"""
READ_HEAD: Final = "SELECT id, hash FROM ledger.posting_group ORDER BY id DESC LIMIT 1"
READ_WATERMARK: Final = "SELECT max(venue_at) FROM ledger.posting_group"
READ_KEYS: Final = "SELECT key FROM ledger.posting_group WHERE venue_at >= $1"
READ_SUMS: Final = """
    SELECT g.pair, g.kind IN ('opening', 'external') AS brought, e.account, e.asset,
           sum(e.amount) AS amount
    FROM ledger.entry e JOIN ledger.posting_group g ON g.id = e.group_id
    GROUP BY 1, 2, 3, 4"""
READ_PERP: Final = """
    SELECT f.pair, sum(CASE f.side WHEN 'Sell' THEN f.value ELSE -f.value END) AS cash,
           sum(CASE f.side WHEN 'Sell' THEN -f.quantity ELSE f.quantity END) AS quantity
    FROM execution.fill f JOIN ledger.posting_group g ON g.exec_id = f.exec_id
    WHERE f.category = 'linear' AND f.exec_type <> 'Funding' GROUP BY f.pair"""
READ_BASE_FEES: Final = """
    SELECT f.pair, sum(f.fee * f.price) AS value
    FROM execution.fill f
    JOIN execution.position p ON p.pair = f.pair AND p.base = f.fee_currency
    JOIN ledger.posting_group g ON g.exec_id = f.exec_id AND g.asset = f.fee_currency
    WHERE f.category = 'spot' GROUP BY f.pair"""
READ_PRICES: Final = """
    SELECT p.pair, p.base, (s.bid + s.ask) / 2 AS mid, l.mark
    FROM execution.position p
    LEFT JOIN market.symbol_identity i ON i.pair = p.pair
    LEFT JOIN market.quote_latest s
           ON s.category = 'spot' AND s.symbol = coalesce(i.spot_symbol, p.pair)
    LEFT JOIN market.quote_latest l ON l.category = 'linear' AND l.symbol = p.pair"""
INSERT_EQUITY: Final = """
    INSERT INTO ledger.equity (venue_at, equity, net, funding, fees, basis, recorded_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (venue_at) DO NOTHING"""
READ_CHAIN: Final = """
    SELECT g.id, g.key, g.kind, g.pair, g.exec_id, g.asset, g.venue_balance, g.venue_at,
           g.correlation_id, g.previous_hash, g.hash
    FROM ledger.posting_group g ORDER BY g.id"""
READ_ENTRIES: Final = """
    SELECT group_id, account, asset, amount FROM ledger.entry ORDER BY group_id, line"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: ``amount`` positive debits ``account``."""

    account: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PostingGroup:
    """What one row of the venue's log, or one opening balance, books; entries sum to zero.

    ``venue_balance`` is the coin's balance after it, as the venue says.
    """

    key: str
    kind: str
    pair: str | None
    exec_id: str | None
    asset: str
    venue_balance: Decimal
    venue_at: datetime
    correlation_id: str | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain."""

    id: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Prices:
    """What the holdings of one pair are worth: spot mid and perpetual mark, in USDT."""

    mid: Decimal | None
    mark: Decimal | None


@dataclass(frozen=True, slots=True)
class PairPnl:
    """USDT. ``fees`` positive are paid; ``net = funding - fees + basis``."""

    funding: Decimal = ZERO
    fees: Decimal = ZERO
    basis: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """What the pair has earned."""
        with localcontext(WIDE):
            return self.funding - self.fees + self.basis


@dataclass(frozen=True)
class PnlStatement:
    """Profit and loss of every pair, and of the account in total; pairs are valued at once."""

    pairs: Mapping[str, PairPnl]
    total: PairPnl


@dataclass(frozen=True, slots=True)
class PairSums:
    """Everything booked for one pair.

    ``spot_cash``: USDT of the spot trades, fees apart. ``coin``: base coin, net of fees in it.
    ``base_fees``: those fees at the price of their fills. ``perp_cash``: signed values of the
    perpetual's fills, received positive. ``other``: USDT of unknown kinds.
    """

    funding: Decimal = ZERO
    usdt_fees: Decimal = ZERO
    base_fees: Decimal = ZERO
    spot_cash: Decimal = ZERO
    coin: Decimal = ZERO
    realized: Decimal = ZERO
    perp_cash: Decimal = ZERO
    perp_quantity: Decimal = ZERO
    other: Decimal = ZERO

    def add(self, **amounts: Decimal) -> "PairSums":
        """Return the sums with ``amounts`` added."""
        with localcontext(WIDE):
            return replace(self, **{n: getattr(self, n) + a for n, a in amounts.items()})

    def pnl(self, prices: Prices) -> PairPnl:
        """Return the profit at ``prices``.

        ``basis`` is what both legs' prices brought: spot cash, the coins at their mid, the
        perpetual's cash and its open quantity at the mark, and the fees taken in coins, which are
        told as fees. Raises: Transient when something is held that has no price.
        """
        with localcontext(WIDE):
            spot = self.spot_cash + valued(self.coin, prices.mid) + self.base_fees
            perp = self.perp_cash + valued(self.perp_quantity, prices.mark)
            fees = self.usdt_fees + self.base_fees
            return PairPnl(self.funding, fees, spot + perp + self.other)

    def unrealized(self, mark: Decimal | None) -> Decimal:
        """Return what the open perpetual would bring at ``mark`` beyond what is realised."""
        with localcontext(WIDE):
            return self.perp_cash + valued(self.perp_quantity, mark) - self.realized


@dataclass
class Sums:
    """The whole ledger, added up: wallet and what was brought per asset, sums per pair.

    ``pairs`` holds under ``""`` what belongs to no pair.
    """

    wallet: dict[str, Decimal] = field(default_factory=dict)
    brought: dict[str, Decimal] = field(default_factory=dict)
    pairs: dict[str, PairSums] = field(default_factory=dict)

    def post(self, pair: str | None, entries: Iterable[Entry], *, brought: bool) -> None:
        """Add one group's entries."""
        for entry in entries:
            if entry.account == "wallet":
                self._add(self.wallet, entry.asset, entry.amount)
            if brought and entry.account in BROUGHT:
                self._add(self.brought, entry.asset, -entry.amount)
            if not brought:
                self._attribute(pair or "", entry)

    def traded(self, pair: str, **amounts: Decimal) -> None:
        """Add what only the fill tells: ``base_fees``, ``perp_cash``, ``perp_quantity``."""
        self.pairs[pair] = self.pairs.get(pair, PairSums()).add(**amounts)

    def _attribute(self, pair: str, entry: Entry) -> None:
        names = {"funding": "funding", "trade": "spot_cash", "realized": "realized"}
        stable = entry.asset == STABLE
        if entry.account == "wallet" and not stable:
            self.traded(pair, coin=entry.amount)
        elif entry.account == "fees" and stable:
            self.traded(pair, usdt_fees=entry.amount)
        elif entry.account in names and stable:
            self.traded(pair, **{names[entry.account]: -entry.amount})
        elif entry.account == "suspense" and stable:
            self.traded(pair, other=-entry.amount)

    @staticmethod
    def _add(totals: dict[str, Decimal], asset: str, amount: Decimal) -> None:
        with localcontext(WIDE):
            totals[asset] = totals.get(asset, ZERO) + amount


def valued(quantity: Decimal, price: Decimal | None) -> Decimal:
    """Return quantity times price, exactly; nothing is worth nothing even without a price."""
    if quantity == ZERO:
        return ZERO
    if price is None:
        raise Transient("something is held that has no price yet")
    with localcontext(WIDE):
        return quantity * price


def chained_hash(previous: str, group: PostingGroup) -> str:
    """Return the hash that binds ``group`` to everything booked before it."""
    parts = [
        previous,
        group.key,
        group.kind,
        group.pair or "",
        group.exec_id or "",
        group.asset,
        plain(group.venue_balance),
        group.venue_at.astimezone(UTC).isoformat(),
        group.correlation_id or "",
        *(f"{e.account} {e.asset} {plain(e.amount)}" for e in group.entries),
    ]
    return sha256("\x1f".join(parts).encode()).hexdigest()


async def insert_groups(
    connection: Connection, head: Head, groups: Sequence[PostingGroup], now: datetime
) -> Head:
    """Append groups to the chain and return its new end; the caller owns the transaction."""
    rows, lines = [], []
    for group in groups:
        following = Head(head.id + 1, chained_hash(head.hash, group))
        rows.append(
            (
                following.id,
                group.key,
                group.kind,
                group.pair,
                group.exec_id,
                group.asset,
                group.venue_balance,
                group.venue_at,
                group.correlation_id,
                head.hash,
                following.hash,
            )
        )
        lines += [
            (following.id, line, e.account, e.asset, e.amount)
            for line, e in enumerate(group.entries)
        ]
        head = following
    if rows:
        await connection.execute(INSERT_GROUPS, *map(list, zip(*rows, strict=True)), now)
    if lines:
        await connection.execute(INSERT_ENTRIES, *map(list, zip(*lines, strict=True)))
    return head


async def read_head(connection: Connection) -> Head:
    """Return the end of the chain; the empty one before the first group."""
    row = await connection.fetchrow(READ_HEAD)
    return Head() if row is None else Head(row["id"], row["hash"])


async def read_watermark(connection: Connection) -> datetime | None:
    """Return the venue instant of the newest row booked; None when nothing is."""
    at: datetime | None = await connection.fetchval(READ_WATERMARK)
    return at


async def read_keys(connection: Connection, since: datetime) -> set[str]:
    """Return the keys of the groups from venue instant ``since`` on."""
    return {row["key"] for row in await connection.fetch(READ_KEYS, since)}


async def read_sums(connection: Connection) -> Sums:
    """Return the whole ledger added up; only fills whose log rows are booked count."""
    sums = Sums()
    for row in await connection.fetch(READ_SUMS):
        entry = Entry(row["account"], row["asset"], row["amount"])
        sums.post(row["pair"], [entry], brought=row["brought"])
    for row in await connection.fetch(READ_PERP):
        sums.traded(row["pair"], perp_cash=row["cash"], perp_quantity=row["quantity"])
    for row in await connection.fetch(READ_BASE_FEES):
        sums.traded(row["pair"], base_fees=row["value"])
    return sums


async def read_pnl(connection: Connection) -> PnlStatement:
    """Return profit and loss now, from entries and fills, at the newest stored prices.

    Raises: Transient when something is held that has no price.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        sums = await read_sums(connection)
        rows = await connection.fetch(READ_PRICES)
    prices = {row["pair"]: Prices(row["mid"], row["mark"]) for row in rows}
    return statement(sums, prices)


def statement(sums: Sums, prices: Mapping[str, Prices]) -> PnlStatement:
    """Return each pair's profit and the total.

    Coins that no pair trades are left out: nothing here says what they are worth.
    """
    pairs = {
        name: pair.pnl(prices.get(name, Prices(None, None)))
        for name, pair in sorted(sums.pairs.items())
        if name
    }
    loose = replace(sums.pairs.get("", PairSums()), coin=ZERO).pnl(Prices(None, None))
    with localcontext(WIDE):
        every = [*pairs.values(), loose]
        total = PairPnl(
            sum((p.funding for p in every), ZERO),
            sum((p.fees for p in every), ZERO),
            sum((p.basis for p in every), ZERO),
        )
    return PnlStatement(pairs, total)


async def insert_equity(
    connection: Connection, venue_at: datetime, equity: Decimal, pnl: PairPnl, now: datetime
) -> None:
    """Store the account's worth at one venue instant, once."""
    await connection.execute(
        INSERT_EQUITY, venue_at, equity, pnl.net, pnl.funding, pnl.fees, pnl.basis, now
    )


async def find_break(connection: Connection) -> int | None:
    """Return the id of the first group whose hash does not follow; None when the chain holds."""
    lines: dict[int, list[Entry]] = {}
    for row in await connection.fetch(READ_ENTRIES):
        entry = Entry(row["account"], row["asset"], row["amount"])
        lines.setdefault(row["group_id"], []).append(entry)
    head = Head()
    for row in await connection.fetch(READ_CHAIN):
        group = _group(row, tuple(lines.get(row["id"], ())))
        following = Head(head.id + 1, chained_hash(head.hash, group))
        if (row["id"], row["previous_hash"], row["hash"]) != (
            following.id,
            head.hash,
            following.hash,
        ):
            return int(row["id"])
        head = following
    return None


def _group(row: Any, entries: tuple[Entry, ...]) -> PostingGroup:
    names = (
        "key", "kind", "pair", "exec_id", "asset", "venue_balance", "venue_at", "correlation_id",
    )  # fmt: skip
    return PostingGroup(**{name: row[name] for name in names}, entries=entries)
