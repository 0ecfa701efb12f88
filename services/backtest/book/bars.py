"""Reads the bars that a published run saw, of the legs that it traded."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from services.backtest.book.rates import own_rates
from services.backtest.book.records import SPOT, Leg, Market, Rates, Span
from services.backtest.book.tables import (
    Row,
    amount,
    instant,
    leg_of,
    modal_step,
    moment,
    read_rows,
    refuse_disorder,
    refused,
)
from shared.domain.money import ZERO
from shared.history.records import MalformedHistory


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of bars; a price that its file leaves empty is None."""

    number: int
    row: Row
    open: Decimal | None
    close: Decimal | None
    rate: Decimal | None


def read_bars(
    path: Path,
    market: str,
    needs: Mapping[Leg, Span],
    rates: Mapping[Leg, Rates],
    interval: str,
    end_ms: int | None,
    allow_gaps: bool,
) -> dict[Leg, Market]:
    """Return the bars of each leg that is needed, with its rates: those given, or the bars' own.

    Only what lies in a leg's span is held to be whole: a bad row elsewhere is left out.
    """
    rows = read_rows(
        path,
        ["exchange", "symbol", "open"],
        ["market", "interval", "label_time", "open_time", "close", "funding_rate"],
        {leg[1] for leg in needs},
    )
    if not rows:
        return {}
    columns = rows[0][1]
    label = "label_time" if "label_time" in columns else "open_time"
    if not market and "market" not in columns:
        raise MalformedHistory(f"{path}: no column market; say which it is: {path}:linear")
    series: dict[Leg, dict[int, Bar]] = {}
    for number, row in rows:
        if "interval" in row and row["interval"] != interval:
            continue
        leg = leg_of(path, {**row, "market": market or row.get("market")}, number)
        if leg not in needs:
            continue
        at = instant(path, row, label, number)
        if end_ms is not None and at > end_ms:
            continue
        bars = series.setdefault(leg, {})
        try:
            refuse_disorder(path, row, number, bars, at)
            bars[at] = _bar(path, row, number)
        except MalformedHistory:
            if needs[leg].covers(at):
                raise
    return {
        leg: _market(path, leg, bars, needs[leg], rates.get(leg), allow_gaps=allow_gaps)
        for leg, bars in series.items()
    }


def intervals_of(path: Path, market: str, leg: Leg) -> set[str]:
    """Return the intervals of which a file has bars of a leg; none where it does not say."""
    rows = read_rows(path, ["exchange", "symbol"], ["market", "interval"], [leg[1]])
    return {
        str(row["interval"])
        for _, row in rows
        if "interval" in row and (row["exchange"], market or row.get("market")) == leg[::2]
    }


def _bar(path: Path, row: Row, number: int) -> Bar:
    opened, closed = (amount(path, row, name, number) for name in ("open", "close"))
    for name, price in (("open", opened), ("close", closed)):
        if price is not None and price <= ZERO:
            raise refused(path, row, number, f"has the {name} {price}, which is not above 0")
    return Bar(number, row, opened, closed, amount(path, row, "funding_rate", number))


def _market(
    path: Path,
    leg: Leg,
    bars: Mapping[int, Bar],
    need: Span,
    rates: Rates | None,
    *,
    allow_gaps: bool,
) -> Market:
    step = _grid(path, leg, bars, need, allow_gaps)
    opens: dict[int, Decimal] = {}
    taken = 0
    for at, bar in bars.items():
        opened = _open(leg, bars, at, step)
        if opened is not None:
            opens[at] = opened
            taken += bar.open is None and need.covers(at)
        elif need.covers(at):
            other = ", nor is there a close just before it" if leg[2] == SPOT else ""
            raise refused(path, bar.row, bar.number, f"has no open{other}")
    closes = {at: bar.close for at, bar in bars.items() if bar.close is not None}
    paid = {at: bar.rate for at, bar in bars.items() if bar.rate is not None}
    return Market(opens, closes, rates or own_rates(path, paid), step, taken)


def _open(leg: Leg, bars: Mapping[int, Bar], at: int, step: int) -> Decimal | None:
    """Return a bar's open; of a spot bar with a close alone, the close of the bar before it.

    Source: data/README.md, which found the two equal in all 4,999 hours where both are known.
    """
    bar, before = bars[at], bars.get(at - step)
    if bar.open is not None or leg[2] != SPOT or bar.close is None or before is None:
        return bar.open
    return before.close


def _grid(path: Path, leg: Leg, bars: Mapping[int, Bar], need: Span, allow_gaps: bool) -> int:
    """Return the distance of the bars; raises MalformedHistory at the first needed one off it."""
    step = modal_step(list(bars))
    if not step:
        raise MalformedHistory(f"{path}: {' '.join(leg)} has one bar alone; add what follows")
    for before, after in pairwise(bars):
        if after <= need.first_ms or before >= need.last_ms:
            continue
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
