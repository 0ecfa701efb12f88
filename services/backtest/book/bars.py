"""Reads the bars that a published run saw, of the legs that it traded."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from services.backtest.book.rates import own_rates
from services.backtest.book.records import Leg, Market, Rates
from services.backtest.book.tables import (
    amount,
    instant,
    is_absent,
    leg_of,
    moment,
    needed_amount,
    read_rows,
    refuse_disorder,
)
from shared.domain.money import ZERO
from shared.history.records import MalformedHistory


def read_bars(
    path: Path,
    market: str,
    wanted: set[Leg],
    rates: Mapping[Leg, Rates],
    interval: str,
    end_ms: int | None,
    allow_gaps: bool,
) -> dict[Leg, Market]:
    rows = read_rows(
        path,
        ["exchange", "symbol", "open"],
        ["market", "interval", "label_time", "open_time", "close", "funding_rate"],
        {leg[1] for leg in wanted},
    )
    if not rows:
        return {}
    columns = rows[0][1]
    label = "label_time" if "label_time" in columns else "open_time"
    if not market and "market" not in columns:
        raise MalformedHistory(f"{path}: no column market; say which it is: {path}:linear")
    series: dict[Leg, tuple[dict[int, Decimal], dict[int, Decimal], dict[int, Decimal]]] = {}
    for number, row in rows:
        if "interval" in row and row["interval"] != interval:
            continue
        leg = leg_of(path, {**row, "market": market or row.get("market")}, number)
        if leg not in wanted:
            continue
        opens, closes, paid = series.setdefault(leg, ({}, {}, {}))
        at = instant(path, row, label, number)
        refuse_disorder(path, row, number, opens, at)
        if end_ms is not None and at > end_ms:
            continue
        opens[at] = needed_amount(path, row, "open", number, above=ZERO)
        if not is_absent(row.get("close")):
            closes[at] = needed_amount(path, row, "close", number, above=ZERO)
        rate = amount(path, row, "funding_rate", number)
        if rate is not None:
            paid[at] = rate
    return {
        leg: Market(
            opens,
            closes,
            rates.get(leg) or own_rates(path, paid),
            _grid(path, leg, opens, allow_gaps),
        )
        for leg, (opens, closes, paid) in series.items()
    }


def _grid(path: Path, leg: Leg, opens: Mapping[int, Decimal], allow_gaps: bool) -> int:
    """Return the distance of the bars; raises MalformedHistory at the first that is off it."""
    times = list(opens)
    if len(times) < 2:
        raise MalformedHistory(f"{path}: {' '.join(leg)} has one bar alone; add what follows")
    step = min(after - before for before, after in pairwise(times))
    for before, after in pairwise(times):
        if (after - before) % step:
            raise MalformedHistory(
                f"{path}: {' '.join(leg)} at {moment(after)} is off the grid of {step // 60_000} "
                "minutes; write bars of one interval"
            )
        if after - before > step and not allow_gaps:
            raise MalformedHistory(
                f"{path}: {' '.join(leg)} at {moment(before + step)} is missing; add the bar "
                "or say --allow-gaps"
            )
    return step
