"""Adds rows to a folder of recorded history: sorted, each once, and never another value in place.

Files keep the layout that ``files.read_history`` reads; each is replaced as a whole or not at all.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.history.files import (
    FUNDING_FILE,
    MARK_FILE,
    PERP_FILE,
    SPOT_FILE,
    in_milliseconds,
)
from shared.history.records import MalformedHistory

BARS: Final = pa.schema(
    [
        ("exchange", pa.string()),
        ("symbol", pa.string()),
        ("interval", pa.string()),
        ("open_time", pa.int64()),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.float64()),
        ("source", pa.string()),
    ]
)
RATES: Final = pa.schema(
    [
        ("exchange", pa.string()),
        ("symbol", pa.string()),
        ("funding_time", pa.int64()),
        ("rate_str", pa.string()),
        ("rate", pa.float64()),
        ("interval_hours", pa.int16()),
        ("note", pa.string()),
        ("source", pa.string()),
    ]
)
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    FUNDING_FILE: RATES, SPOT_FILE: BARS, PERP_FILE: BARS, MARK_FILE: BARS,
}  # fmt: skip
KEYS: Final[Mapping[str, list[str]]] = {
    name: [
        "exchange",
        "symbol",
        *(["funding_time"] if name == FUNDING_FILE else ["interval", "open_time"]),
    ]
    for name in SCHEMAS
}
VALUES: Final[Mapping[str, str]] = {
    name: "rate_str" if name == FUNDING_FILE else "close" for name in SCHEMAS
}
"""What must not differ where a row is there already."""


def rows_of(
    folder: Path, name: str, exchange: str, symbols: Sequence[str] | None = None
) -> pa.Table:
    """Return one file's hourly rows of one exchange, in the layout of ``SCHEMAS``.

    Columns that the file lacks are null. Raises: MalformedHistory without the file or a column.
    """
    path = folder / name
    wanted: list[tuple[str, str, Any]] = [("exchange", "==", exchange)]
    if name != FUNDING_FILE:
        wanted.append(("interval", "==", "1h"))
    if symbols is not None:
        wanted.append(("symbol", "in", list(symbols)))
    try:
        held = pq.read_schema(path).names
        columns = [column for column in SCHEMAS[name].names if column in held]
        table = pq.read_table(path, columns=columns, filters=wanted)
    except FileNotFoundError as error:
        raise MalformedHistory(f"{path}: no such file; name another folder") from error
    except (pa.ArrowException, KeyError, OSError) as error:
        raise MalformedHistory(f"{path}: {error}; write the file again") from error
    return _shaped(path, table, name)


def exchanges_of(folder: Path) -> set[str]:
    """Return the exchanges that any of the files names; a row without one is refused."""
    found: set[str] = set()
    for name in SCHEMAS:
        path = folder / name
        try:
            column = pq.read_table(path, columns=["exchange"])["exchange"]
        except FileNotFoundError as error:
            raise MalformedHistory(f"{path}: no such file; name another folder") from error
        except (pa.ArrowException, KeyError, OSError) as error:
            raise MalformedHistory(f"{path}: {error}; write the file again") from error
        if column.null_count:
            place = pc.index(pc.is_null(column), True).as_py() + 1
            raise MalformedHistory(f"{path}: row {place} names no exchange; name one")
        found |= set(pc.unique(column).to_pylist())
    return found


def merge_rows(folder: Path, name: str, new: pa.Table) -> int:
    """Add rows to a file, sorted by key, and return how many were not there.

    Raises: MalformedHistory when a row is there with another value: a settled rate, or the close
        of an hour, never changes.
    """
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    known = (
        _shaped(path, pq.read_table(path), name) if path.exists() else SCHEMAS[name].empty_table()
    )
    both = pa.concat_tables([known, new])
    frame = both.to_pandas()
    repeated = frame.duplicated(subset=KEYS[name], keep="first")
    firsts = frame.drop_duplicates(subset=KEYS[name], keep="first").set_index(KEYS[name])
    again = frame[repeated].set_index(KEYS[name])[VALUES[name]]
    stands = firsts.loc[again.index, VALUES[name]]
    differs = again.to_numpy() != stands.to_numpy()
    if differs.any():
        at = list(differs).index(True)
        exchange, symbol, *when = again.index[at]
        raise MalformedHistory(
            f"{path}: {exchange} {symbol} {when[-1]} stands there with {VALUES[name]} "
            f"{stands.iloc[at]}, and comes again with {again.iloc[at]}; find out which is right"
        )
    added = len(firsts) - int(known.num_rows)
    if added:
        order = firsts.sort_index().reset_index()
        _write(path, pa.Table.from_pandas(order, schema=SCHEMAS[name], preserve_index=False))
    return added


def _shaped(path: Path, table: pa.Table, name: str) -> pa.Table:
    columns = []
    for field in SCHEMAS[name]:
        if field.name == KEYS[name][-1] and field.name in table.column_names:
            columns.append(in_milliseconds(path, field.name, table[field.name]))
        elif field.name in table.column_names:
            try:
                columns.append(pc.cast(table[field.name], field.type))
            except pa.ArrowException as error:
                raise MalformedHistory(
                    f"{path}: column {field.name}: {error}; write it again"
                ) from error
        elif field.name in (*KEYS[name], VALUES[name], "interval_hours"):
            raise MalformedHistory(f"{path}: no column {field.name}; write the file again")
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.table(columns, schema=SCHEMAS[name])


def _write(path: Path, table: pa.Table) -> None:
    beside = path.with_name(f".{path.name}.new")
    pq.write_table(table, beside, compression="zstd")
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)
