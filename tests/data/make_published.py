"""Cuts the inputs of the published runs out of a folder of recorded history.

Run with ``--help``. Rows are copied, never altered; so are the published figures.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

SETTLEMENT_HOURS_MS: Final = 8 * 3_600_000
HFCHIU_MS: Final = (1_568_102_400_000, 1_750_233_600_000)  # 2019-09-10 08:00, 2025-06-18 08:00
AHA_MS: Final = (1_672_531_200_000, 1_719_792_000_000)  # 2023-01-01 00:00, 2024-07-01 00:00
AHA_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
AHA_LEGS: Final = ("binance:BTCUSDT:linear", "binance:ETHUSDT:linear")
RATES: Final = [
    "exchange",
    "symbol",
    "funding_time",
    "rate_str",
    "interval_hours",
    "raw_ms",
    "note",
    "source",
]
OPENS: Final = ["exchange", "symbol", "interval", "open_time", "open", "source"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the four tables and the figures; say how many rows and which sha256 each has."""
    parser = argparse.ArgumentParser(description="Cut out the inputs of the published runs.")
    parser.add_argument("source", type=Path, help="folder with the full files and published/")
    parser.add_argument("target", type=Path, nargs="?", default=Path(__file__).parent / "published")
    given = parser.parse_args(arguments)
    given.target.mkdir(parents=True, exist_ok=True)
    for name, table in tables(given.source).items():
        path = given.target / name
        pq.write_table(
            table.replace_schema_metadata(None), path, compression="zstd", compression_level=19
        )
        _report(path, f"{table.num_rows} rows")
    path = given.target / "figures.json"
    path.write_text(json.dumps(figures(given.source), indent=1) + "\n", encoding="utf-8")
    _report(path, "figures")


def tables(folder: Path) -> dict[str, Any]:
    """Return the selected rows as arrow tables, by the name of their file."""
    return {
        "hfchiu_funding.parquet": _rows(
            folder / "funding.parquet", RATES, ["BTCUSDT"], "funding_time", HFCHIU_MS
        ),
        "aha_funding.parquet": _rows(
            folder / "funding.parquet", RATES, AHA_SYMBOLS, "funding_time", AHA_MS
        ),
        "aha_perp_open.parquet": _on_settlement_hours(
            _rows(folder / "klines_perp.parquet", OPENS, AHA_SYMBOLS, "open_time", AHA_MS, "1h")
        ),
        "aha_hold_trades.parquet": pq.read_table(
            folder / "published" / "aha_hold_trades.parquet",
            filters=[("exchange", "==", "binance"), ("market", "==", "linear")],
        ),
    }


def figures(folder: Path) -> dict[str, Any]:
    """Return the published figures that belong to the selected rows, word for word."""
    path = folder / "published" / "figures.json"
    stated = json.loads(path.read_text(encoding="utf-8"))
    legs = stated["aha_hold"]["funding_by_leg"]
    name = "hfchiu_btcusdt_funding_threshold"
    return {
        "aha_hold": {"funding_by_leg": {leg: legs[leg] for leg in AHA_LEGS}},
        name: stated[name],
    }


def _rows(
    path: Path,
    columns: list[str],
    symbols: Sequence[str],
    time: str,
    span: tuple[int, int],
    interval: str | None = None,
) -> Any:
    wanted: list[tuple[str, str, Any]] = [
        ("exchange", "==", "binance"),
        ("symbol", "in", list(symbols)),
        ("source", "in", ["hfchiu", "pietroc21"]),
        (time, ">=", span[0]),
        (time, "<=", span[1]),
    ]
    if interval is not None:
        wanted.append(("interval", "==", interval))
    return pq.read_table(path, columns=columns, filters=wanted)


def _on_settlement_hours(table: Any) -> Any:
    times = table["open_time"]
    whole = pc.multiply(pc.divide(times, SETTLEMENT_HOURS_MS), SETTLEMENT_HOURS_MS)
    return table.filter(pc.equal(times, whole))


def _report(path: Path, held: str) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sys.stdout.write(f"{path.name}\t{held}\t{digest}\n")


if __name__ == "__main__":
    main()
