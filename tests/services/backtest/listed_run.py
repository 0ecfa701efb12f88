"""A published run worked by hand, and ``carry backtest book`` upon it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
from typer.testing import CliRunner

from services.carry.cli import app

HOUR = 3_600_000
T0 = 1_672_531_200_000  # 2023-01-01 00:00 UTC

# A run worked by hand: 1,000 at 10 %, one price of 100 then 110, a rate of 1 % every hour.
TRADE = {
    "side": "short", "exchange": "x", "symbol": "AAAUSD", "market": "linear", "margin": "usd",
    "position_size_usd": "1000", "fee_rate": "0.1", "open_time": T0, "close_time": T0 + 2 * HOUR,
}  # fmt: skip
PRICES = ("100", "110", "120", "130")


def made(folder: Path, trade: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    bars = [
        {
            "exchange": "x", "symbol": "AAAUSD", "market": "linear", "label_time": T0 + n * HOUR,
            "open": price, "close": price, "funding_rate": "0.01",
        }
        for n, price in enumerate(PRICES)
    ]  # fmt: skip
    trades = [{**TRADE, **(trade or {})}]
    change: Callable[[list[Any], list[Any]], None] | None = changed.get("change")
    if change is not None:
        change(trades, bars)
    for name, rows in (("trades", trades), ("bars", bars)):
        pa.csv.write_csv(pa.Table.from_pylist(rows), folder / f"{name}.csv")
    return {"trades": folder / "trades.csv", "bars": folder / "bars.csv"}


def book(*arguments: str, **files: Any) -> dict[str, Any]:
    named = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    done = CliRunner().invoke(app, ["backtest", "book", *named, *arguments, "--json"])
    if done.exception is not None:
        raise done.exception
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def checks(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["figure"]: check for check in said["checks"]}
