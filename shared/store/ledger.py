"""The double-entry ledger: hash-chained posting groups and the venue's rows that they book.

A positive entry debits its account: ``wallet`` is what is owned, ``fees`` what was paid; income and
what was brought in stand negative in ``funding``, ``realized``, ``opening`` and ``external``.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from asyncpg import Connection

from shared.domain.log import LogRow, OwnedRow
from shared.domain.money import plain
from shared.store.copy import copy_rows
from shared.store.tables import LOG_ROW

GENESIS: Final = ""
CHUNK: Final = 1000

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
READ_OPENED_AT: Final = "SELECT max(venue_at) FROM ledger.posting_group WHERE kind = 'opening'"
READ_KEYS: Final = "SELECT key, venue_at FROM ledger.posting_group WHERE venue_at >= $1"
IS_COMPLETE: Final = """
    SELECT (SELECT count(*) FROM ledger.posting_group) = (SELECT count(*) FROM ledger.log_row)"""
BALANCES: Final = """
    SELECT v.asset, coalesce(w.ours, 0) AS ours, v.venue_balance AS venue
    FROM (SELECT DISTINCT ON (asset) asset, venue_balance
          FROM ledger.posting_group ORDER BY asset, venue_at DESC, id DESC) v
    LEFT JOIN (SELECT asset, sum(amount) AS ours FROM ledger.entry
               WHERE account = 'wallet' GROUP BY asset) w ON w.asset = v.asset"""
IS_EQUAL: Final = f"SELECT coalesce(bool_and(ours = venue), true) FROM ({BALANCES}) b"  # noqa: S608 - constants of this file
READ_SOURCES: Final = """
    SELECT f.category, f.exec_id, f.correlation_id, a.reference_price
    FROM execution.fill f LEFT JOIN execution.attempt a ON a.link_id = f.link_id
    WHERE f.exec_id = ANY($1)"""
READ_CHAIN: Final = """
    SELECT g.id, g.key, g.kind, g.pair, g.exec_id, g.asset, g.venue_balance, g.venue_at,
           g.correlation_id, g.previous_hash, g.hash,
           (SELECT array_agg(e.account ORDER BY e.line) FROM ledger.entry e
            WHERE e.group_id = g.id) AS accounts,
           (SELECT array_agg(e.asset ORDER BY e.line) FROM ledger.entry e
            WHERE e.group_id = g.id) AS assets,
           (SELECT array_agg(e.amount ORDER BY e.line) FROM ledger.entry e
            WHERE e.group_id = g.id) AS amounts,
           r.key AS row_key, r.kind AS row_kind, r.category, r.symbol, r.currency, r.side,
           r.quantity, r.price, r.cash_flow, r.funding, r.fee, r.change, r.balance,
           r.exec_id AS row_exec_id, r.order_id, r.link_id, r.venue_at AS row_venue_at,
           r.pair AS row_pair, r.base, r.reference_price, r.lot,
           r.correlation_id AS row_correlation_id, r.is_seen
    FROM ledger.posting_group g LEFT JOIN ledger.log_row r ON r.group_id = g.id
    WHERE g.id > $1 ORDER BY g.id LIMIT $2"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: ``amount`` positive debits ``account``."""

    account: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PostingGroup:
    """What one row of the venue's log, or one of our own, books; entries sum to zero.

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
class Source:
    """Whose an execution is, and the mid of its order's book when that was journaled."""

    correlation_id: str
    reference_price: Decimal | None


@dataclass(frozen=True, slots=True)
class Link:
    """One stored group with what it says of the chain, and the row it was made from."""

    id: int
    previous_hash: str
    hash: str
    group: PostingGroup
    owned: OwnedRow | None


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


async def insert_rows(connection: Connection, first_id: int, rows: Sequence[OwnedRow]) -> None:
    """Store the rows that the groups from ``first_id`` on were made from, in their order."""
    records = []
    for number, owned in enumerate(rows, start=first_id):
        values = {"group_id": number, **asdict(owned.row), **asdict(owned)}
        records.append(tuple(values[column.name] for column in LOG_ROW.columns))
    await copy_rows(connection, LOG_ROW, records)


async def read_head(connection: Connection) -> Head:
    """Return the end of the chain; the empty one before the first group."""
    row = await connection.fetchrow(READ_HEAD)
    return Head() if row is None else Head(row["id"], row["hash"])


async def read_watermark(connection: Connection) -> datetime | None:
    """Return the venue instant of the newest row booked; None when nothing is."""
    at: datetime | None = await connection.fetchval(READ_WATERMARK)
    return at


async def read_opened_at(connection: Connection) -> datetime | None:
    """Return the venue instant up to which the opening balances hold everything."""
    at: datetime | None = await connection.fetchval(READ_OPENED_AT)
    return at


async def read_keys(connection: Connection, since: datetime) -> dict[str, datetime]:
    """Return the keys of the groups from venue instant ``since`` on, each with its instant."""
    return {row["key"]: row["venue_at"] for row in await connection.fetch(READ_KEYS, since)}


async def is_complete(connection: Connection) -> bool:
    """Return whether every group has the row it was made from."""
    complete: bool = await connection.fetchval(IS_COMPLETE)
    return complete


async def is_equal(connection: Connection) -> bool:
    """Return whether our balance of each coin is the venue's after its newest row."""
    equal: bool = await connection.fetchval(IS_EQUAL)
    return equal


async def read_sources(
    connection: Connection, exec_ids: Sequence[str]
) -> dict[tuple[str, str], Source]:
    """Return whose the stored executions among ``exec_ids`` are, by category and id."""
    rows = await connection.fetch(READ_SOURCES, list(exec_ids))
    return {
        (row["category"], row["exec_id"]): Source(row["correlation_id"], row["reference_price"])
        for row in rows
    }


async def read_chain(connection: Connection) -> AsyncIterator[Link]:
    """Yield every group from genesis on, in pages: each page is a statement of its own."""
    last = 0
    while page := await connection.fetch(READ_CHAIN, last, CHUNK):
        for row in page:
            yield _link(row)
        last = page[-1]["id"]


def _link(row: Mapping[str, Any]) -> Link:
    lines = zip(row["accounts"] or (), row["assets"] or (), row["amounts"] or (), strict=True)
    names = (
        "key", "kind", "pair", "exec_id", "asset", "venue_balance", "venue_at", "correlation_id",
    )  # fmt: skip
    group = PostingGroup(
        **{name: row[name] for name in names}, entries=tuple(Entry(*line) for line in lines)
    )
    owned = None
    if row["row_key"] is not None:
        owned = OwnedRow(
            LogRow(**{f.name: _raw(row, f.name) for f in fields(LogRow)}),
            **{f.name: _raw(row, f.name) for f in fields(OwnedRow) if f.name != "row"},
        )
    return Link(row["id"], row["previous_hash"], row["hash"], group, owned)


def _raw(row: Mapping[str, Any], name: str) -> Any:
    renamed = ("key", "kind", "exec_id", "venue_at", "pair", "correlation_id")
    return row[f"row_{name}" if name in renamed else name]
