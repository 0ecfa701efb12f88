"""Reads a published run's files (Parquet or CSV) into exact rows, or refuses the first bad one."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from shared.history.records import MalformedHistory

Row = Mapping[str, Any]

ROW: Final = "row number"
MINUTE_MS: Final = 60_000

BINARY: Final = Context(prec=200, traps=[Inexact, InvalidOperation])
"""Wide enough for products of doubles, which are finite decimals; it never rounds."""


def read_rows(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    symbols: Iterable[str] | None = None,
) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of ``path`` in its order, each with its number, which counts from one.

    Of the columns it holds those that are ``needed``, or ``optional`` and there. CSV columns are
    read as text, so that no digit passes through a float. ``symbols`` None means all of them.
    Raises: MalformedHistory without a needed column, or without any row.
    """
    try:
        table = _csv(path) if path.suffix.lower() == ".csv" else pq.read_table(path)
    except FileNotFoundError as error:
        raise MalformedHistory(f"{path}: no such file; name one that exists") from error
    except (pa.ArrowException, OSError) as error:
        raise MalformedHistory(f"{path}: {error}; write the file again") from error
    absent = sorted(set(needed) - set(table.column_names))
    if absent:
        raise MalformedHistory(f"{path}: no column {', '.join(absent)}; add it to every row")
    if not table.num_rows:
        raise MalformedHistory(f"{path}: holds no row; name another file")
    table = table.select([n for n in table.column_names if n in {*needed, *optional}])
    table = table.append_column(ROW, pa.array(range(1, table.num_rows + 1)))
    if symbols is not None:
        wanted = pa.array(sorted(symbols), pa.string())
        table = table.filter(pc.is_in(pc.cast(table["symbol"], pa.string()), wanted))
    return [(row.pop(ROW), row) for row in table.to_pylist()]


def text(path: Path, row: Row, name: str, number: int) -> str:
    """Return a name; raises MalformedHistory when it is empty. Rows count from one."""
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise refused(path, row, number, f"has no {name}")
    return value


def leg_of(path: Path, row: Row, number: int) -> tuple[str, str, str]:
    """Return exchange, symbol, market; raises MalformedHistory when one is empty."""
    exchange, symbol, market = (
        text(path, row, name, number) for name in ("exchange", "symbol", "market")
    )
    return exchange, symbol, market


def instant(path: Path, row: Row, name: str, number: int) -> int:
    """Return UTC ms; raises MalformedHistory when it is absent or no whole number."""
    found = optional_instant(path, row, name, number)
    if found is None:
        raise refused(path, row, number, f"has no {name}")
    return found


def settled_at(path: Path, row: Row, name: str, number: int) -> int:
    """Return UTC ms on a full minute, the nearest: venues stamp settlements some ms late."""
    return (instant(path, row, name, number) + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS


def optional_instant(path: Path, row: Row, name: str, number: int) -> int | None:
    """Return UTC ms, None where the row has none."""
    value: Any = row.get(name)
    if is_absent(value):
        return None
    try:
        ms = Decimal(str(value))
    except (InvalidOperation, TypeError, ValueError):
        ms = Decimal("0.5")
    if ms != ms.to_integral_value() or ms <= 0:
        raise refused(path, row, number, f"has the {name} {value!r}, which is no UTC millisecond")
    return int(ms)


def amount(path: Path, row: Row, name: str, number: int) -> Decimal | None:
    """Return a number exactly as stored (a double with all its binary digits), None if absent."""
    value: Any = row.get(name)
    if is_absent(value):
        return None
    try:
        exact = Decimal(cast("float | str", value))
    except (InvalidOperation, TypeError, ValueError):
        exact = Decimal("NaN")
    if not exact.is_finite():
        raise refused(path, row, number, f"has the {name} {value!r}, which is no number")
    return exact


def needed_amount(
    path: Path, row: Row, name: str, number: int, *, above: Decimal | None = None
) -> Decimal:
    """Return a number that must be there and, with ``above``, greater than that."""
    found = amount(path, row, name, number)
    if found is None:
        raise refused(path, row, number, f"has no {name}")
    if above is not None and found <= above:
        raise refused(path, row, number, f"has the {name} {found}, which is not above {above}")
    return found


def is_absent(value: Any) -> bool:
    """Whether a cell is empty: null, NaN or an empty text."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def refused(path: Path, row: Row, number: int, problem: str) -> MalformedHistory:
    """Return the refusal of one row: file, symbol, place and instant, what is wrong, the remedy."""
    symbol = row.get("symbol") or "no symbol"
    at = next((row[n] for n in ("label_time", "open_time", "time", "funding_time") if n in row), "")
    when = f" at {moment(int(at))}" if str(at).isdecimal() else ""
    return MalformedHistory(
        f"{path}: {symbol}, row {number}{when}: {problem}; correct the row or leave it out"
    )


def refuse_disorder(
    path: Path, row: Row, number: int, before: Mapping[int, object], at: int
) -> None:
    """Raise MalformedHistory unless ``at`` is later than the last of ``before``."""
    if not before:
        return
    last = next(reversed(before.keys()))  # type: ignore[call-overload]
    if at == last:
        raise refused(path, row, number, "is there twice")
    if at < last:
        raise refused(path, row, number, f"is out of order: {moment(last)} stands before it")


def modal_step(times: Sequence[int]) -> int:
    """Return the commonest distance of neighbours, the least of equals; 0 with fewer than two."""
    steps = Counter(after - before for before, after in pairwise(times))
    return min(steps, key=lambda step: (-steps[step], step), default=0)


def moment(at_ms: int) -> str:
    """Return an instant in words."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def holds_doubles(rows: Sequence[Row], names: Iterable[str]) -> bool:
    """Whether any of the named cells is a binary fraction."""
    columns = tuple(names)
    return any(isinstance(row.get(name), float) for row in rows for name in columns)


def _csv(path: Path) -> Any:
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
    as_text = {name.strip('"'): pa.string() for name in header}
    options = pa.csv.ConvertOptions(column_types=as_text, strings_can_be_null=True)
    return pa.csv.read_csv(path, convert_options=options)
