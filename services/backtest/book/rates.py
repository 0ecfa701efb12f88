"""Reads tables of settled funding rates, of the legs that a published run traded."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from services.backtest.book.records import SPOT, Leg, Rates
from services.backtest.book.tables import (
    amount,
    is_absent,
    modal_step,
    read_rows,
    refuse_disorder,
    refused,
    settled_at,
)
from shared.domain.money import ZERO
from shared.history.records import HOUR_MS


def read_rates(path: Path, legs: set[Leg]) -> dict[Leg, Rates]:
    """Return settled rates by leg; a table of rates has no market: every perpetual shares them."""
    rows = read_rows(
        path,
        ["exchange", "symbol", "funding_time"],
        ["rate", "rate_str", "interval_hours"],
        {leg[1] for leg in legs},
    )
    found: dict[Leg, tuple[dict[int, int | None], dict[int, Decimal]]] = {}
    for number, row in rows:
        for leg in [x for x in legs if x[2] != SPOT and x[:2] == (row["exchange"], row["symbol"])]:
            stated, settled = found.setdefault(leg, ({}, {}))
            at = settled_at(path, row, "funding_time", number)
            refuse_disorder(path, row, number, stated, at)
            stated[at] = _interval_ms(path, row, number)
            rate = amount(path, row, _rate_column(row), number)
            if rate is not None:  # one that is absent is missed where a trade needs it
                settled[at] = rate
    return {leg: Rates(path, settled, _steps(stated)) for leg, (stated, settled) in found.items()}


def own_rates(path: Path, settled: Mapping[int, Decimal]) -> Rates:
    """Return the rates that stand in the bars themselves; bars between two settlements have none.

    A bar does not say which interval it ended, so the commonest distance is taken for all.
    """
    return Rates(path, settled, _steps(dict.fromkeys(settled)))


def _rate_column(row: Mapping[str, object]) -> str:
    return "rate" if is_absent(row.get("rate_str")) else "rate_str"


def _interval_ms(path: Path, row: Mapping[str, object], number: int) -> int | None:
    hours = amount(path, row, "interval_hours", number)
    if hours is not None and hours <= ZERO:
        raise refused(path, row, number, f"has the interval_hours {hours}, which is not above 0")
    return None if hours is None else int(hours * HOUR_MS)


def _steps(stated: Mapping[int, int | None]) -> dict[int, int]:
    """Return the interval of each settlement: its own, or the commonest distance of them all."""
    usual = modal_step(list(stated))
    steps = {at: own or usual for at, own in stated.items()}
    return {at: step for at, step in steps.items() if step}
