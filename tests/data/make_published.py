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
AHA_EXCHANGES: Final = ("binance", "bybit")
AHA_BARS: Final = ["exchange", "symbol", "market", "label_time", "open", "funding_rate"]
AHA_PAYMENTS: Final = ["time", "exchange", "symbol", "market", "funding_payment"]
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
    """Write the tables and the figures; say how many rows and which sha256 each has."""
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
    published = folder / "published"
    return {
        "hfchiu_funding.parquet": _rows(
            folder / "funding.parquet", RATES, ["BTCUSDT"], "funding_time", HFCHIU_MS, ["binance"]
        ),
        "aha_funding.parquet": _rows(
            folder / "funding.parquet", RATES, AHA_SYMBOLS, "funding_time", AHA_MS, AHA_EXCHANGES
        ),
        "aha_perp_open.parquet": _on_settlement_hours(
            _rows(
                folder / "klines_perp.parquet", OPENS, AHA_SYMBOLS, "open_time", AHA_MS,
                AHA_EXCHANGES, "1h",
            )
        ),
        "aha_bars.parquet": pq.read_table(
            published / "aha_8h_as_published.parquet", columns=AHA_BARS
        ),
        "aha_hold_trades.parquet": pq.read_table(published / "aha_hold_trades.parquet"),
        "aha_threshold_trades.parquet": pq.read_table(
            published / "aha_simple_threshold_trades.parquet"
        ),
        "aha_threshold_payments.parquet": pq.read_table(
            published / "aha_simple_threshold_funding_log.parquet", columns=AHA_PAYMENTS
        ),
    }  # fmt: skip


def figures(folder: Path) -> dict[str, Any]:
    """Return the published figures that belong to the selected rows, word for word."""
    path = folder / "published" / "figures.json"
    stated = json.loads(path.read_text(encoding="utf-8"))
    names = ("aha_hold", "aha_simple_threshold", "hfchiu_btcusdt_funding_threshold")
    return {name: stated[name] for name in names}


def _rows(
    path: Path,
    columns: list[str],
    symbols: Sequence[str],
    time: str,
    span: tuple[int, int],
    exchanges: Sequence[str],
    interval: str | None = None,
) -> Any:
    wanted: list[tuple[str, str, Any]] = [
        ("exchange", "in", list(exchanges)),
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
