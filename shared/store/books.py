"""The books as stored: one row per pair's life and day, moved in the posting's own transaction."""

from collections.abc import Mapping
from dataclasses import astuple
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from asyncpg import Connection

from shared.domain.books import Booked, Books, DayKey, PnlStatement, Prices
from shared.domain.log import STABLE
from shared.domain.profit import PARTS, Life, Parts, Stake

_SUMS: Final = ", ".join(f"sum({name}) AS {name}" for name in PARTS)
READ_ENTRIES: Final = """
    SELECT account, asset, sum(amount) AS amount FROM ledger.entry
    WHERE account IN ('wallet', 'opening', 'external') GROUP BY account, asset"""
READ_LIVES: Final = """
    SELECT DISTINCT ON (pair) pair, number, opened_at, closed_at, coin, coin_cost, perp, perp_cost,
           funding, basis, fees, borrow, slippage, rounding
    FROM ledger.life ORDER BY pair, number DESC"""
READ_ALL_LIVES: Final = "SELECT * FROM ledger.life"
READ_DAYS: Final = "SELECT * FROM ledger.daily"
READ_TOTALS: Final = f"SELECT pair, {_SUMS} FROM ledger.daily WHERE asset = $1 GROUP BY pair"  # noqa: S608 - names of this package
READ_PERPS: Final = "SELECT symbol, quantity, cost FROM ledger.perp"
WRITE_LIVES: Final = """
    INSERT INTO ledger.life (pair, number, opened_at, closed_at, coin, coin_cost, perp, perp_cost,
                             funding, basis, fees, borrow, slippage, rounding)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (pair, number) DO UPDATE SET closed_at = excluded.closed_at, coin = excluded.coin,
        coin_cost = excluded.coin_cost, perp = excluded.perp, perp_cost = excluded.perp_cost,
        funding = excluded.funding, basis = excluded.basis, fees = excluded.fees,
        borrow = excluded.borrow, slippage = excluded.slippage, rounding = excluded.rounding"""
WRITE_DAYS: Final = """
    INSERT INTO ledger.daily AS d (day, pair, asset, funding, basis, fees, borrow, slippage,
                                   rounding)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (day, pair, asset) DO UPDATE SET funding = d.funding + excluded.funding,
        basis = d.basis + excluded.basis, fees = d.fees + excluded.fees,
        borrow = d.borrow + excluded.borrow, slippage = d.slippage + excluded.slippage,
        rounding = d.rounding + excluded.rounding"""
WRITE_PERPS: Final = """
    INSERT INTO ledger.perp (symbol, quantity, cost) VALUES ($1, $2, $3)
    ON CONFLICT (symbol) DO UPDATE SET quantity = excluded.quantity, cost = excluded.cost"""
READ_PRICES: Final = """
    SELECT p.pair, p.base, (s.bid + s.ask) / 2 AS mid, l.mark
    FROM execution.position p
    LEFT JOIN market.symbol_identity i ON i.pair = p.pair
    LEFT JOIN market.quote_latest s
           ON s.category = 'spot' AND s.symbol = coalesce(i.spot_symbol, p.pair)
    LEFT JOIN market.quote_latest l ON l.category = 'linear' AND l.symbol = p.pair"""
INSERT_EQUITY: Final = """
    INSERT INTO ledger.equity (venue_at, equity, net, funding, fees, basis, recorded_at, growth)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (venue_at) DO NOTHING"""
READ_GROWTH: Final = """
    SELECT venue_at, net, growth FROM ledger.equity ORDER BY venue_at DESC LIMIT 1"""


async def read_books(connection: Connection) -> Books:
    """Return everything booked so far; the caller gives one snapshot."""
    books = Books()
    for row in await connection.fetch(READ_ENTRIES):
        if row["account"] == "wallet":
            books.wallet[row["asset"]] = row["amount"]
        else:
            known = books.brought.get(row["asset"], Decimal(0))
            books.brought[row["asset"]] = known - row["amount"]
    books.lives = await read_newest_lives(connection)
    for row in await connection.fetch(READ_TOTALS, STABLE):
        books.totals[row["pair"]] = _parts(row)
    for row in await connection.fetch(READ_PERPS):
        books.perps[row["symbol"]] = Stake(row["quantity"], row["cost"])
    return books


async def write_books(connection: Connection, booked: Booked, perps: Mapping[str, Stake]) -> None:
    """Store the lives that a batch touched, what its days earned, and ``perps`` as they are."""
    lives = [(pair, *_life_values(life)) for (pair, _), life in sorted(booked.lives.items())]
    days = [(*key, *astuple(parts)) for key, parts in sorted(booked.days.items())]
    held = [(symbol, stake.quantity, stake.cost) for symbol, stake in sorted(perps.items())]
    for statement, rows in ((WRITE_LIVES, lives), (WRITE_DAYS, days), (WRITE_PERPS, held)):
        if rows:
            await connection.executemany(statement, rows)


async def read_lives(connection: Connection) -> dict[tuple[str, int], Life]:
    """Return every life of every pair, by pair and number."""
    rows = await connection.fetch(READ_ALL_LIVES)
    return {(row["pair"], row["number"]): _life(row) for row in rows}


async def read_newest_lives(connection: Connection) -> dict[str, Life]:
    """Return each pair's newest life, open or closed."""
    return {row["pair"]: _life(row) for row in await connection.fetch(READ_LIVES)}


async def read_days(connection: Connection) -> dict[DayKey, Parts]:
    """Return what each day earned, by owner and asset."""
    rows = await connection.fetch(READ_DAYS)
    return {(row["day"], row["pair"], row["asset"]): _parts(row) for row in rows}


async def read_pnl(connection: Connection) -> PnlStatement:
    """Return profit and loss now, at the newest stored prices.

    Raises: Transient when something is held that has no price.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        books = await read_books(connection)
        rows = await connection.fetch(READ_PRICES)
    prices = {row["pair"]: Prices(row["mid"], row["mark"]) for row in rows}
    return books.statement(prices, {row["pair"]: row["base"] for row in rows})[1]


async def insert_equity(
    connection: Connection,
    venue_at: datetime,
    equity: Decimal,
    pnl: Parts,
    growth: Decimal,
    now: datetime,
) -> None:
    """Store the account's worth at one venue instant, once.

    ``fees`` are stored positive when paid, and ``basis`` holds whatever is neither funding nor fee.
    ``growth`` is what one unit of capital brought in at the start is worth, deposits excluded.
    """
    basis = pnl.net - pnl.funding - pnl.fees
    paid = pnl.fees.copy_negate()
    values = (venue_at, equity, pnl.net, pnl.funding, paid, basis, now, growth)
    await connection.execute(INSERT_EQUITY, *values)


async def read_growth(connection: Connection) -> tuple[datetime, Decimal, Decimal] | None:
    """Return instant, net and growth of the newest valued instant; None before the first."""
    row = await connection.fetchrow(READ_GROWTH)
    return None if row is None else (row["venue_at"], row["net"], row["growth"])


def _life(row: Mapping[str, Any]) -> Life:
    return Life(
        row["number"],
        row["opened_at"],
        row["closed_at"],
        Stake(row["coin"], row["coin_cost"]),
        Stake(row["perp"], row["perp_cost"]),
        _parts(row),
    )


def _life_values(life: Life) -> tuple[object, ...]:
    return (
        life.number,
        life.opened_at,
        life.closed_at,
        life.coin.quantity,
        life.coin.cost,
        life.perp.quantity,
        life.perp.cost,
        *astuple(life.parts),
    )


def _parts(row: Mapping[str, Any]) -> Parts:
    return Parts(*(row[name] for name in PARTS))
