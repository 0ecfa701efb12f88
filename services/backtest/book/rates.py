"""Reads tables of settled funding rates, of the legs that a published run traded."""

from decimal import Decimal
from pathlib import Path

from services.backtest.book.records import SPOT, Leg
from services.backtest.book.tables import (
    instant,
    is_absent,
    needed_amount,
    read_rows,
    refuse_disorder,
)


def read_rates(path: Path, legs: set[Leg]) -> dict[Leg, dict[int, Decimal]]:
    """Return settled rates by leg; a table of rates has no market: every perpetual shares them."""
    rows = read_rows(
        path,
        ["exchange", "symbol", "funding_time"],
        ["rate", "rate_str"],
        {leg[1] for leg in legs},
    )
    found: dict[Leg, dict[int, Decimal]] = {}
    for number, row in rows:
        for leg in [x for x in legs if x[2] != SPOT and x[:2] == (row["exchange"], row["symbol"])]:
            series = found.setdefault(leg, {})
            at = instant(path, row, "funding_time", number)
            refuse_disorder(path, row, number, series, at)
            name = "rate" if is_absent(row.get("rate_str")) else "rate_str"
            series[at] = needed_amount(path, row, name, number)
    return found
