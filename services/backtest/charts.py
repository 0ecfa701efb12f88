"""Bars, waterfalls and heat-maps as shares of a box: the page draws them with plain HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor, log10
from typing import Final

GRID_LINES: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One column. ``bottom`` and ``height`` are percent of the box; ``kind`` is its class."""

    label: str
    value: str
    note: str
    kind: str
    bottom: float
    height: float

    @property
    def top(self) -> float:
        """Where it ends, percent of the box from below."""
        return self.bottom + self.height


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns with the lines behind them: (percent from below, label); ``zero`` is one of them."""

    bars: tuple[Bar, ...]
    lines: tuple[tuple[float, str], ...]
    zero: float


@dataclass(frozen=True, slots=True)
class Column:
    """What a column shows: from ``start`` to ``end`` on the value axis."""

    label: str
    value: str
    note: str
    kind: str
    start: float
    end: float


def chart(columns: Sequence[Column], *, decimals: int = 0) -> Chart:
    """Return the columns to scale; zero is always on the axis."""
    ends = [v for c in columns for v in (c.start, c.end)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    step = _step(high - low)
    low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
    if high == low:
        high = low + step
    places = max(decimals, -floor(log10(step)) if step < 1 else 0)

    def share(value: float) -> float:
        return round(100.0 * (value - low) / (high - low), 3)

    def bar(c: Column) -> Bar:
        bottom, top = share(min(c.start, c.end)), share(max(c.start, c.end))
        return Bar(c.label, c.value, c.note, c.kind, bottom, round(top - bottom, 3))

    count = round((high - low) / step)
    ticks = [low + step * i for i in range(count + 1)]
    return Chart(
        tuple(map(bar, columns)), tuple((share(t), _tick(t, places)) for t in ticks), share(0.0)
    )


def waterfall(
    parts: Sequence[tuple[str, Decimal, str, str]], total: tuple[str, Decimal, str, str]
) -> Chart:
    """Return the parts one on another and their total: (label, amount, value text, note) each."""
    columns, level = [], 0.0
    for label, amount, value, note in parts:
        after = level + float(amount)
        kind = "gain" if amount > 0 else "loss" if amount < 0 else "none"
        columns.append(Column(label, value, note, kind, level, after))
        level = after
    label, amount, value, note = total
    columns.append(Column(label, value, note, "total", 0.0, float(amount)))
    return chart(columns)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a heat-map: ``shade`` in 0 .. 100, ``kind`` gain or loss; empty without text."""

    text: str = ""
    shade: int = 0
    kind: str = "gain"
    ours: bool = False


def shades(values: Sequence[float | None]) -> list[int]:
    """Return how strong each value's colour is, 15 to 100 by its size; 0 where there is none."""
    largest = max((abs(v) for v in values if v is not None), default=0.0)
    if not largest:
        return [0 if v is None else 15 for v in values]
    return [0 if v is None else round(15 + 85 * abs(v) / largest) for v in values]


def _step(span: float) -> float:
    """Return a round distance of lines: 1, 2 or 5 times a power of ten."""
    if span <= 0:
        return 1.0
    raw = span / GRID_LINES
    power = 10.0 ** floor(log10(raw))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= raw))


def _tick(value: float, places: int) -> str:
    text = f"{abs(value):,.{places}f}"
    return text if value >= 0 or not float(text.replace(",", "")) else f"\N{MINUS SIGN}{text}"
