"""The live table in the terminal: what is held, what it has earned, what time it is there."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from asyncpg import Pool
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.domain.books import PnlStatement
from shared.domain.profit import Parts
from shared.store.books import read_pnl

READ_PAIRS = """
    SELECT pair, state, spot_quantity, perp_quantity FROM execution.position
    WHERE perp_quantity <> 0 OR state IN ('Opening', 'Unwinding', 'Broken') ORDER BY pair"""
READ_COUNTS = """
    SELECT (SELECT count(*) FROM strategy.decision) AS decisions,
           (SELECT count(*) FROM strategy.late_instant) AS late,
           (SELECT count(*) FROM execution.fill WHERE exec_type = 'Trade') AS fills,
           (SELECT count(*) FROM ledger.posting_group WHERE kind = 'funding') AS settlements"""


@dataclass(frozen=True, slots=True)
class Picture:
    """What one refresh shows."""

    venue_at: datetime
    pairs: list[Any]
    pnl: PnlStatement | None
    counts: Any


async def take(pool: Pool, venue_ms: int) -> Picture:
    """Read one picture from the store; ``venue_ms`` is the simulator's clock."""
    async with pool.acquire() as connection:
        return Picture(
            datetime.fromtimestamp(venue_ms / 1000, UTC),
            await connection.fetch(READ_PAIRS),
            await read_pnl(connection),
            await connection.fetchrow(READ_COUNTS),
        )


def draw(picture: Picture, address: str) -> RenderableType:
    """Return the table for the terminal."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("Pair", "State"):
        table.add_column(title)
    for title in ("Spot", "Perp", "Funding", "Fees", "Basis", "Net USDT"):
        table.add_column(title, justify="right")
    pnl = picture.pnl
    for row in picture.pairs:
        part = None if pnl is None else pnl.pairs.get(row["pair"])
        cells = ["–"] * 4
        if part is not None:
            cells = _cells(part)
        table.add_row(
            row["pair"],
            row["state"],
            _quantity(row["spot_quantity"]),
            _quantity(row["perp_quantity"]),
            *cells,
        )
    if pnl is not None and pnl.pairs:
        table.add_row("Total", "", "", "", *_cells(pnl.total), style="bold")
    return Group(Text(f"{address}   Ctrl-C stops", style="dim"), Text(sentence(picture)), table)


def sentence(picture: Picture) -> str:
    """Return how far the run is, on one line."""
    counts = picture.counts
    line = (
        f"{picture.venue_at:%Y-%m-%d %H:%M} at the venue · {counts['decisions']} decisions · "
        f"{counts['fills']} fills · {counts['settlements']} settlements booked"
    )
    return line + (f" · {counts['late']} instants late" if counts["late"] else "")


def _cells(parts: Parts) -> list[str]:
    """Return funding, fees, what prices and executions brought, and the sum."""
    prices = parts.net - parts.funding - parts.fees
    return [_usdt(amount) for amount in (parts.funding, parts.fees, prices, parts.net)]


def _usdt(amount: Decimal) -> str:
    rounded = amount.quantize(Decimal("0.01"))
    return "0.00" if rounded == 0 else f"{rounded:+,}".replace("-", "−")


def _quantity(value: Decimal) -> str:
    """Return seven digits of a quantity: the rest is dust, and terminals are narrow."""
    return f"{Decimal(f'{value:.7g}').normalize():f}".replace("-", "−")
