"""Quotes: every one by venue instant, and the newest of each book for the dashboard."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from asyncpg import Connection

from shared.store.copy import copy_new_rows
from shared.store.tables import QUOTE

_COLUMNS: Final = (
    "category, symbol, venue_at, bid, bid_size, ask, ask_size, mark, index, predicted_rate, "
    "next_funding_at, funding_interval_hours, received_at"
)
_ARRAYS: Final = (
    "unnest($1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[], "
    "$6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[], "
    "$11::timestamptz[], $12::numeric[], $13::timestamptz[])"
)
UPSERT_LATEST: Final = f"""
    INSERT INTO market.quote_latest ({_COLUMNS}) SELECT * FROM {_ARRAYS}
    ON CONFLICT (category, symbol) DO UPDATE SET
        venue_at = excluded.venue_at, bid = excluded.bid, bid_size = excluded.bid_size,
        ask = excluded.ask, ask_size = excluded.ask_size, mark = excluded.mark,
        index = excluded.index, predicted_rate = excluded.predicted_rate,
        next_funding_at = excluded.next_funding_at,
        funding_interval_hours = excluded.funding_interval_hours,
        received_at = excluded.received_at
    WHERE quote_latest.venue_at <= excluded.venue_at"""  # noqa: S608 - constants of this file
READ_LATEST: Final = f"""
    SELECT {_COLUMNS} FROM market.quote_latest
    WHERE $1::text[] IS NULL OR symbol = ANY($1)
    ORDER BY category, symbol"""  # noqa: S608 - constants of this file


@dataclass(frozen=True, slots=True)
class QuoteRow:
    """One quote as stored; the fields from ``mark`` to ``funding_interval_hours`` are linear's."""

    category: str
    symbol: str
    venue_at: datetime
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    mark: Decimal | None
    index: Decimal | None
    predicted_rate: Decimal | None
    next_funding_at: datetime | None
    funding_interval_hours: Decimal | None
    received_at: datetime


async def write_quotes(connection: Connection, quotes: Sequence[QuoteRow]) -> None:
    """Store quotes, in order of arrival, and the newest of each book; needs a transaction.

    Of several at one venue instant the first stays: what came after it belongs to a later one.
    """
    if not quotes:
        return
    await copy_new_rows(connection, QUOTE, [_record(quote) for quote in quotes])
    newest = {(quote.category, quote.symbol): quote for quote in quotes}
    records = [_record(newest[key]) for key in sorted(newest)]
    await connection.execute(UPSERT_LATEST, *map(list, zip(*records, strict=True)))


async def read_latest_quotes(
    connection: Connection, symbols: Sequence[str] | None = None
) -> list[QuoteRow]:
    """Return the newest quote of each book, of all symbols or those named."""
    names = None if symbols is None else list(symbols)
    return [QuoteRow(**dict(row)) for row in await connection.fetch(READ_LATEST, names)]


def _record(quote: QuoteRow) -> tuple[Any, ...]:
    return astuple(quote)
