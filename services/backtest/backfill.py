"""Fetches a venue's recorded history, window by window, so that a killed run goes on where it was.

Each window is written and synced before the next is asked for; when a series is complete its
windows join the Parquet file of their kind. Running it again fetches what is newer, and asks once
more for what is missing among the rows that are there.
"""

import json
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from services.backtest.records_io import bar_table, rate_table
from shared.domain.errors import Misconfigured
from shared.domain.instrument import Category
from shared.domain.money import ZERO
from shared.exchange.ports import MarketFeed
from shared.history.files import FUNDING_FILE, MARK_FILE, PERP_FILE, SPOT_FILE
from shared.history.ledger import missing_settlements
from shared.history.merge import merge_rows, rows_of
from shared.history.records import HOUR_MS, MalformedHistory, Settlement
from shared.runtime.clock import Clock
from shared.runtime.retry import retry_transient

WINDOW_HOURS: Final = 1_000  # one page of bars; five pages of hourly rates
READ_DEADLINE_SECONDS: Final = 120.0
PARTS: Final = ".parts"
REST: Final = timedelta(minutes=59)
KINDS: Final = (FUNDING_FILE, SPOT_FILE, PERP_FILE, MARK_FILE)

Row = list[Any]
Progress = Callable[[str, int, int, int], None]
"""(series, hours done, hours in all, rows so far)"""
Keep = Callable[[str, pa.Table], Awaitable[int]]
"""Takes a finished series to a second place, by the name of its file; returns its new rows."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What came of one series."""

    name: str
    symbol: str
    new: int
    stored: int


class Backfill:
    """Fetches through the port alone; times are UTC and whole hours."""

    def __init__(
        self,
        feed: MarketFeed,
        folder: Path,
        *,
        exchange: str,
        clock: Clock,
        draw: Callable[[], float],
        keep: Keep | None = None,
        window_hours: int = WINDOW_HOURS,
    ) -> None:
        self._feed = feed
        self._folder = folder
        self._exchange = exchange
        self._clock = clock
        self._draw = draw
        self._keep = keep
        self._window_ms = window_hours * HOUR_MS

    async def run(
        self,
        symbols: Sequence[str],
        start: datetime | None,
        end: datetime,
        progress: Progress | None = None,
    ) -> list[Filled]:
        """Return what each series gained up to ``end``, oldest rows first.

        A series that has rows goes on behind its newest; ``start`` is for those that have none.
        Raises: Misconfigured when such a series meets no ``start``.
        """
        plans = [
            (name, symbol, self._from(name, symbol, start), _ms(end))
            for symbol, name in product(symbols, KINDS)
        ]
        hours = sum(max(0, last - first) // HOUR_MS for _, _, first, last in plans)
        done = rows = 0
        filled = []
        for name, symbol, first, last in plans:
            part = Part(self._folder, name, symbol)
            at = part.resume(first)
            done += (at - first) // HOUR_MS
            while at <= last:
                until = min(at + self._window_ms - HOUR_MS, last)
                fetched = await self._fetch(name, symbol, at, until)
                part.add(at, until, fetched)
                done += (until - at) // HOUR_MS + 1
                rows += len(fetched)
                at = until + HOUR_MS
                if progress is not None:
                    progress(f"{symbol} {name.removesuffix('.parquet')}", done, hours, rows)
            filled.append(await self._finish(part, await self._missing_rows(name, symbol)))
        return filled

    def _from(self, name: str, symbol: str, start: datetime | None) -> int:
        """Return where a series goes on: an hour behind its newest row, else ``start``."""
        if (self._folder / name).exists():
            column = "funding_time" if name == FUNDING_FILE else "open_time"
            held = rows_of(self._folder, name, self._exchange, [symbol])[column].to_pylist()
            if held:
                return int(max(held)) + HOUR_MS
        if start is None:
            raise Misconfigured(
                f"{self._folder / name} has no row of {symbol} yet: say --from when to begin."
            )
        return _ms(start)

    async def _missing_rows(self, name: str, symbol: str) -> list[Row]:
        """Return what the venue has of the holes among the rows that are there."""
        found: list[Row] = []
        for first, last in spans(self._holes(name, symbol), self._window_ms):
            fetched = await self._fetch(name, symbol, first, last)
            found += [row for row in fetched if first <= row[0] <= last]
        return found

    def _holes(self, name: str, symbol: str) -> list[int]:
        """Return the instants that one series lacks, oldest first."""
        if not (self._folder / name).exists():
            return []
        table = rows_of(self._folder, name, self._exchange, [symbol])
        if name != FUNDING_FILE:
            have = set(table["open_time"].to_pylist())
            hours = range(min(have), max(have), HOUR_MS) if have else range(0)
            return [at for at in hours if at not in have]
        columns = zip(
            table["funding_time"].to_pylist(), table["interval_hours"].to_pylist(), strict=True
        )
        return list(missing_settlements([Settlement(at, ZERO, hours) for at, hours in columns]))

    async def _fetch(self, name: str, symbol: str, first: int, last: int) -> list[Row]:
        begin, end = _instant(first), _instant(last)

        async def ask() -> list[Row]:
            if name == FUNDING_FILE:
                # A stamp may lie a little behind its hour; no window's end may cut it off.
                settled = await self._feed.fetch_funding_rate_history(symbol, begin, end + REST)
                return [
                    [_ms(s.settled_at), format(s.rate, "f"), s.interval // timedelta(hours=1)]
                    for s in settled
                ]
            if name == MARK_FILE:
                bars = await self._feed.fetch_mark_ohlcv(symbol, begin, end)
            else:
                category = Category.SPOT if name == SPOT_FILE else Category.LINEAR
                bars = await self._feed.fetch_ohlcv(category, symbol, begin, end)
            return [[_ms(at), *(format(x, "f") for x in rest)] for at, *rest in bars]

        fetched: list[Row] = await retry_transient(
            ask, clock=self._clock, draw=self._draw, deadline_seconds=READ_DEADLINE_SECONDS
        )
        return fetched

    async def _finish(self, part: "Part", missing: list[Row]) -> Filled:
        rows = [*missing, *part.rows()]
        made = rate_table if part.name == FUNDING_FILE else bar_table
        table = made(self._exchange, part.symbol, rows)
        new = merge_rows(self._folder, part.name, table) if rows else 0
        stored = 0 if self._keep is None else await self._keep(part.name, table)
        part.remove()
        return Filled(part.name, part.symbol, new, stored)


def spans(instants: Sequence[int], longest_ms: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of groups of instants, oldest first, none longer than allowed."""
    first = last = None
    for at in instants:
        if first is None or last is None or at - first >= longest_ms:
            if first is not None and last is not None:
                yield first, last
            first = at
        last = at
    if first is not None and last is not None:
        yield first, last


class Part:
    """The windows of one series that are fetched and not yet in its file, one JSON line each."""

    def __init__(self, folder: Path, name: str, symbol: str) -> None:
        self.name, self.symbol = name, symbol
        self._path = folder / PARTS / f"{name.removesuffix('.parquet')}-{symbol}.jsonl"

    def resume(self, first: int) -> int:
        """Return where to go on, having cut off a line that was torn; what is older is dropped."""
        lines = list(self._lines())
        if lines and lines[0]["from"] > first:
            lines = []
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        self._path.write_text(text, encoding="utf-8")
        return max([first, *(int(line["to"]) + HOUR_MS for line in lines)])

    def add(self, first: int, last: int, rows: Sequence[Row]) -> None:
        """Write one window so that it outlives the process."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"from": first, "to": last, "rows": list(rows)}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> Iterator[Row]:
        """Yield every row, oldest first."""
        for line in self._lines():
            yield from line["rows"]

    def remove(self) -> None:
        """Forget it: its rows are in the file."""
        self._path.unlink(missing_ok=True)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        for text in self._path.read_text(encoding="utf-8").splitlines(keepends=True):
            if text.endswith("\n"):
                try:
                    yield json.loads(text)
                except json.JSONDecodeError as error:
                    raise MalformedHistory(f"{self._path}: {error}; delete the file") from error


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000
