"""``carry data books``: the stated book model held against books that were really there.

Each recorded book is walked with market orders of several sizes, and so is the book that the model
puts around a close on the grid there, as a run's closes are. What matters is the cost of a fill in
basis points of the middle.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from shared.domain.errors import Malformed, Misconfigured
from shared.domain.money import floor_to
from shared.history.records import MalformedHistory
from shared.history.rules import ProductRules, sample_rules
from shared.venue.books import Book, Levels, book_around

FILE: Final = "orderbook_l5_bybit.parquet"
SIZES: Final = (10_000, 50_000, 200_000)
COLUMNS: Final = ["symbol", "ts", "level", "bid_price", "bid_size", "ask_price", "ask_size"]


@dataclass(frozen=True, slots=True)
class RecordedBook:
    """One snapshot, best first; prices in quote units, sizes in base units."""

    symbol: str
    ts: int
    bids: Levels
    asks: Levels

    @property
    def mid(self) -> Decimal:
        """Half way between the touches."""
        return (self.bids[0][0] + self.asks[0][0]) / 2


@dataclass(frozen=True, slots=True)
class SizeCheck:
    """Medians over all books, bps of the middle; None where the recorded levels do not hold it."""

    notional: int
    recorded_bps: float | None
    model_bps: float
    filled: int
    books: int


@dataclass(frozen=True, slots=True)
class SymbolCheck:
    """One symbol's stated half spread beside the recorded one, and the costs of walking."""

    symbol: str
    stated_half_spread_bps: float
    model_half_spread_bps: float
    recorded_half_spread_bps: float
    sizes: tuple[SizeCheck, ...]


def books(
    data: Annotated[Path, typer.Option("--data", help="Folder with the recorded books.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Hold the stated half spreads and depths against recorded books."""
    try:
        found = check_books(read_books(data / FILE), sample_rules())
    except Malformed as error:
        raise Misconfigured(f"The recorded books cannot be used: {error}") from error
    if as_json:
        typer.echo(json.dumps({"symbols": [asdict(one) for one in found]}))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("symbol", "half spread", "recorded", "size", "model", "recorded", "in words"):
        table.add_column(name)
    for one in found:
        for place, size in enumerate(one.sizes):
            halves = (one.model_half_spread_bps, one.recorded_half_spread_bps)
            first = ("", "", "") if place else (one.symbol, *(f"{half:.4f}" for half in halves))
            table.add_row(*first, *_cells(size))
    output = Console(highlight=False)
    output.print(table)
    output.print(
        "bps of the middle, medians over all recorded books: enough to check a model, not to fit "
        "one. No spot book was recorded.",
        style="dim",
    )


def check_books(
    recorded: Iterable[RecordedBook], rules: Iterable[ProductRules], sizes: Sequence[int] = SIZES
) -> list[SymbolCheck]:
    """Return the check of every perpetual that has rules and recorded books, by symbol."""
    by_symbol: dict[str, list[RecordedBook]] = {}
    for book in recorded:
        by_symbol.setdefault(book.symbol, []).append(book)
    return [
        _check(rule, by_symbol[rule.symbol], sizes)
        for rule in sorted(rules, key=lambda r: r.symbol)
        if rule.category == "linear" and rule.symbol in by_symbol
    ]


def walk_cost_bps(levels: tuple[Levels, Levels], mid: Decimal, notional: int) -> float | None:
    """Return what a buy and a sale of ``notional`` cost beyond the middle, on average, in bps.

    None when either side does not hold it.
    """
    quantity = Decimal(notional) / mid
    costs = []
    for side, sign in (("Buy", 1), ("Sell", -1)):
        fills = Book(list(levels[0]), list(levels[1])).preview(side, None, quantity)
        taken = sum((qty for _, qty in fills), Decimal(0))
        if taken < quantity:
            return None
        value = sum((price * qty for price, qty in fills), Decimal(0))
        costs.append(sign * (value / quantity - mid) / mid * 10_000)
    return float(sum(costs, Decimal(0)) / 2)


def read_books(path: Path) -> list[RecordedBook]:
    """Return the snapshots of a file; raises MalformedHistory at the first bad row."""
    try:
        rows = pq.read_table(path, columns=COLUMNS).to_pylist()
    except FileNotFoundError as error:
        raise MalformedHistory(f"{path}: no such file; name the full history") from error
    except (pa.ArrowException, KeyError, OSError) as error:
        raise MalformedHistory(f"{path}: {error}; write the file again") from error
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for number, row in enumerate(rows, 1):
        _require(path, row, number)
        grouped.setdefault((row["symbol"], row["ts"]), []).append(row)
    return [_book(path, symbol, ts, levels) for (symbol, ts), levels in grouped.items()]


def _require(path: Path, row: dict[str, Any], number: int) -> None:
    values = [row[name] for name in COLUMNS[3:]]
    if not all(isinstance(value, float) and value > 0 for value in values):
        raise MalformedHistory(
            f"{path}: {row['symbol']}, row {number}: a price or a size is not above zero"
        )


def _book(path: Path, symbol: str, ts: int, rows: list[dict[str, Any]]) -> RecordedBook:
    ordered = sorted(rows, key=lambda row: int(row["level"]))
    sides = [
        [(_exact(row[f"{side}_price"]), _exact(row[f"{side}_size"])) for row in ordered]
        for side in ("bid", "ask")
    ]
    bids, asks = sides
    falls = all(a[0] > b[0] for a, b in pairwise(bids))
    rises = all(a[0] < b[0] for a, b in pairwise(asks))
    if not (falls and rises and bids[0][0] < asks[0][0]):
        raise MalformedHistory(f"{path}: {symbol} at {ts}: the levels are out of order or cross")
    return RecordedBook(symbol, ts, bids, asks)


def _check(rule: ProductRules, found: Sequence[RecordedBook], sizes: Sequence[int]) -> SymbolCheck:
    closes = [floor_to(b.mid, rule.tick) for b in found]
    models = [
        book_around(close, rule.tick, rule.step, rule.half_spread_bps, rule.level_notional)
        for close in closes
    ]
    return SymbolCheck(
        rule.symbol,
        float(rule.half_spread_bps),
        median(_half(bids, asks) for bids, asks in models),
        median(_half(b.bids, b.asks) for b in found),
        tuple(_size(found, models, closes, size) for size in sizes),
    )


def _size(
    found: Sequence[RecordedBook],
    models: Sequence[tuple[Levels, Levels]],
    closes: Sequence[Decimal],
    notional: int,
) -> SizeCheck:
    real = [walk_cost_bps((b.bids, b.asks), b.mid, notional) for b in found]
    held = [cost for cost in real if cost is not None]
    made = [
        cost
        for close, levels in zip(closes, models, strict=True)
        if (cost := walk_cost_bps(levels, close, notional)) is not None
    ]
    # A median over the few books deep enough would flatter: more than half must hold the size.
    known = median(held) if 2 * len(held) > len(found) else None
    return SizeCheck(notional, known, median(made), len(held), len(found))


def _half(bids: Levels, asks: Levels) -> float:
    mid = (bids[0][0] + asks[0][0]) / 2
    return float((asks[0][0] - bids[0][0]) / 2 / mid * 10_000)


def _cells(size: SizeCheck) -> tuple[str, str, str, str]:
    if size.recorded_bps is None:
        words = f"five levels hold it in {size.filled} of {size.books} books"
        return f"{size.notional:,}", f"{size.model_bps:.3f}", "–", words
    away = size.model_bps - size.recorded_bps
    words = "model dearer" if away > 0 else "model cheaper"
    return (
        f"{size.notional:,}", f"{size.model_bps:.3f}", f"{size.recorded_bps:.3f}",
        f"{words} by {abs(away):.3f} bps",
    )  # fmt: skip


def _exact(value: float) -> Decimal:
    return Decimal(repr(value))
