"""Cuts the sample out of a folder of recorded history: run with ``--help``.

The selection is the whole of it: rows are copied, never altered, filled or reordered.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

SYMBOLS: Final = ("BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
SOURCES: Final = ("pietroc21", "pietroc21_recovered")
FIRST_MS: Final = 1_656_633_600_000  # 2022-07-01 00:00 UTC, kept
END_MS: Final = 1_702_857_600_000  # 2023-12-18 00:00 UTC, left out
COLUMNS: Final = {
    "funding.parquet": (
        "funding_time",
        [
            "exchange",
            "symbol",
            "funding_time",
            "rate_str",
            "rate",
            "interval_hours",
            "raw_ms",
            "note",
            "source",
        ],
    ),
    "klines_perp.parquet": (
        "open_time",
        [
            "exchange",
            "symbol",
            "interval",
            "open_time",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "turnover",
            "source",
        ],
    ),
    "klines_spot.parquet": (
        "open_time",
        ["exchange", "symbol", "interval", "open_time", "close", "source"],
    ),
    "mark_price.parquet": (
        "open_time",
        ["exchange", "symbol", "interval", "open_time", "close", "source"],
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the sample's four files and say how many rows and which sha256 each has."""
    parser = argparse.ArgumentParser(description="Cut the sample out of recorded history.")
    parser.add_argument("source", type=Path, help="folder with the full Parquet files")
    parser.add_argument(
        "target",
        type=Path,
        nargs="?",
        default=Path(__file__).parent / "sample",
        help="folder to write to (default: the package's own sample)",
    )
    given = parser.parse_args(arguments)
    given.target.mkdir(parents=True, exist_ok=True)
    for name in COLUMNS:
        table = selected(given.source, name)
        write(table, given.target / name)
        digest = hashlib.sha256((given.target / name).read_bytes()).hexdigest()
        sys.stdout.write(f"{name}\t{table.num_rows}\t{digest}\n")


def selected(folder: Path, name: str) -> Any:
    """Return the sample's rows of one file, as an arrow table."""
    time, columns = COLUMNS[name]
    wanted: list[tuple[str, str, Any]] = [
        ("exchange", "==", "bybit"),
        ("symbol", "in", SYMBOLS),
        ("source", "in", SOURCES),
        (time, ">=", FIRST_MS),
        (time, "<", END_MS),
    ]
    if "interval" in columns:
        wanted.append(("interval", "==", "1h"))
    return pq.read_table(folder / name, columns=columns, filters=wanted)


def write(table: Any, path: Path) -> None:
    """Write ``table`` small, without metadata that differs between machines."""
    pq.write_table(
        table.replace_schema_metadata(None),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=True,
    )


if __name__ == "__main__":
    main()
