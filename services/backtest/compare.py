"""Stored runs beside each other: what differs in them, and whether the days can tell them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from services.backtest.daily import common_days
from services.backtest.record import Record
from services.backtest.text import NONE, number, percent, usdt
from shared.analytics.bootstrap import Interval
from shared.analytics.headline import difference_interval
from shared.domain.errors import Misconfigured

RUNS_MAX: Final = 4
MONEY: Final = ("net", "funding", "basis", "fees", "slippage")
SHARES: Final = ("annualized", "drawdown_max", "time_in_market", "loss_probability")


@dataclass(frozen=True, slots=True)
class Difference:
    """What a run earned beyond the first on the days both have, USDT on the first's capital."""

    name: str
    days: int
    interval: Interval | None

    @property
    def says(self) -> str:
        """The one sentence."""
        if self.interval is None:
            return f"{self.name}: {self.days} shared days are too few to tell."
        amount = usdt(str(self.interval.estimate))
        low, high = (usdt(str(v)) for v in (self.interval.low, self.interval.high))
        span = f"{self.days} shared days, {self.interval.level:.0%} range {low} to {high}"
        if self.interval.low > 0:
            return f"{self.name} earns more than the first: {amount} USDT ({span})."
        if self.interval.high < 0:
            return f"{self.name} earns less than the first: {amount} USDT ({span})."
        return f"{self.name} cannot be told from the first: {amount} USDT ({span})."


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs by name; ``parameters`` are those that are not the same in all, missing as None."""

    names: tuple[str, ...]
    parameters: Mapping[str, tuple[str | None, ...]]
    figures: Mapping[str, tuple[Any, ...]]
    differences: tuple[Difference, ...]


def compare(records: Mapping[str, Record]) -> Comparison:
    """Return the runs side by side, each against the first.

    Raises: Misconfigured unless there are two to four.
    """
    if not 2 <= len(records) <= RUNS_MAX:
        raise Misconfigured(f"{len(records)} different runs given: compare two to {RUNS_MAX}.")
    names, runs = tuple(records), tuple(records.values())
    return Comparison(
        names,
        _parameters(runs),
        {name: tuple(_figure(run, name) for run in runs) for name in (*MONEY, *SHARES, "sharpe")},
        tuple(_difference(name, runs[0], run) for name, run in list(records.items())[1:]),
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain JSON values."""
    told = asdict(comparison)
    for row, difference in zip(told["differences"], comparison.differences, strict=True):
        row["says"] = difference.says
    return told


def as_table(comparison: Comparison) -> RenderableType:
    """Return the comparison for the terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column("", style="dim")
    for name in comparison.names:
        table.add_column(name, justify="right", overflow="fold")
    for name, given in comparison.parameters.items():
        table.add_row(name.replace("_", " "), *(NONE if v is None else v for v in given))
    table.add_section()
    for name, values in comparison.figures.items():
        table.add_row(name.replace("_", " "), *(_text(name, value) for value in values))
    return table


def _parameters(runs: Sequence[Record]) -> dict[str, tuple[str | None, ...]]:
    spans = [{"from": r["start"][:10], "to": r["end"][:10], "deposit": r["deposit"]} for r in runs]
    given = [{**span, **r["parameters"]} for span, r in zip(spans, runs, strict=True)]
    names = sorted({name for one in given for name in one})
    rows = {name: tuple(one.get(name) for one in given) for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def _figure(run: Record, name: str) -> Any:
    if name == "net":
        return run["net"]
    if name in MONEY:
        return run.get("parts", {}).get(name)
    return run.get(name)


def _difference(name: str, first: Record, other: Record) -> Difference:
    ours, theirs = common_days(other["daily"], first["daily"])
    scale = float(first["deposit"]) / float(other["deposit"])
    interval = difference_interval(np.asarray(ours * scale, np.float64), theirs)
    return Difference(name, len(ours), interval)


def _text(name: str, value: Any) -> str:
    if value is None:
        return NONE
    if name in MONEY:
        return usdt(value)
    if name in SHARES:
        return percent(-value if name == "drawdown_max" else value, sign=name == "annualized")
    return number(value)
