"""The account of a published run over time, and what its publisher measured on it."""

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from services.backtest.book.booking import BookedTrade, marked_gain
from services.backtest.book.records import Market, PublishedInputs
from services.backtest.book.tables import moment
from shared.analytics.returns import drawdown, returns_of
from shared.domain.errors import Misconfigured
from shared.domain.money import ZERO

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Instant:
    """The account at one bar: ``realised`` is start value + funding + closed pnl so far.

    ``marked`` adds open positions at the bar's open, less the fee of closing them there.
    """

    at_ms: int
    realised: Decimal
    marked: Decimal


@dataclass(frozen=True, slots=True)
class Performance:
    """One horizon from the curve's first bar on; fractions. ``days`` is the horizon's whole length.

    ``annualised`` is (final / initial) ** (365 / days) - 1 of marked values; ``drawdown`` that of
    realised values at the end of each day, ``drawdown_marked`` of marked ones at every bar.
    ``sharpe`` is of daily marked returns times the root of 365, without a risk-free rate.
    """

    months: int | None
    days: int
    initial: Decimal
    final: Decimal
    annualised: float
    drawdown: float
    drawdown_marked: float
    sharpe: float | None


def curve_of(
    inputs: PublishedInputs,
    booked: Sequence[BookedTrade],
    start_value: Decimal,
    from_ms: int | None = None,
) -> list[Instant]:
    """Return the account at each bar that all legs held then share; funding at t counts at t.

    It begins at the first bar from ``from_ms`` on, None: from the first opening on. Trades of a
    bar are booked before it is valued, as they trade at its open.
    Raises: Misconfigured without two such bars.
    """
    first = min(b.trade.opened_ms for b in booked) if from_ms is None else from_ms
    instants = sorted({at for m in inputs.markets.values() for at in m.opens if at >= first})
    funding = _sums((p.at_ms, p.amount) for b in booked for p in b.payments)
    closed = _sums((b.trade.closed_ms, b.pnl) for b in booked if b.trade.closed_ms is not None)
    opening = _by_instant(booked, lambda b: b.trade.opened_ms)
    closing = _by_instant(booked, lambda b: b.trade.closed_ms)
    held: dict[int, BookedTrade] = {}
    realised = start_value
    stamps = sorted({*funding, *closed, *opening, *closing})
    place = 0
    curve = []
    for at in instants:
        while place < len(stamps) and stamps[place] <= at:
            stamp = stamps[place]
            place += 1
            realised += funding.get(stamp, ZERO) + closed.get(stamp, ZERO)
            for one in closing.get(stamp, ()):
                held.pop(one.trade.row, None)
            held |= {one.trade.row: one for one in opening.get(stamp, ())}
        if all(at in inputs.markets[one.trade.leg].opens for one in held.values()):
            curve.append(Instant(at, realised, realised + _open_worth(held, inputs.markets, at)))
    if len(curve) < 2:
        raise Misconfigured(
            f"No two bars from {moment(first)} on are shared by all legs held then: give bars of "
            "one interval and span, another --from, or leave out --start-value."
        )
    return curve


def performance(curve: Sequence[Instant], months: int | None) -> Performance | None:
    """Return what the first ``months`` (None: all) came to; None when they reach past the end.

    The last bar is the end and not part of what is measured: its day has only begun.
    """
    first, last = curve[0].at_ms, curve[-1].at_ms
    end = last if months is None else _later(first, months)
    if end > last:
        return None
    part = [point for point in curve if point.at_ms < end]
    days = round((end - first) / DAY_MS)
    if len(part) < 2 or days < 1:
        return None
    at = np.array([p.at_ms for p in part], dtype=np.int64)
    marked = np.array([float(p.marked) for p in part], dtype=np.float64)
    realised = np.array([float(p.realised) for p in part], dtype=np.float64)
    ends_day = np.append(at[1:] // DAY_MS != at[:-1] // DAY_MS, True)
    if min(marked.min(), realised.min()) <= 0.0:
        raise Misconfigured("The account falls to nothing: give a greater --start-value.")
    growth = float(marked[-1] / marked[0])
    return Performance(
        months, days, part[0].marked, part[-1].marked, growth ** (365 / days) - 1,
        float(np.max(drawdown(realised[ends_day]))), float(np.max(drawdown(marked))),
        returns_of(at, marked).sharpe,
    )  # fmt: skip


def _open_worth(
    held: Mapping[int, BookedTrade], markets: Mapping[tuple[str, str, str], Market], at: int
) -> Decimal:
    worth = ZERO
    for one in held.values():
        gain, fee = marked_gain(one, markets[one.trade.leg].opens[at])
        worth += gain - fee
    return worth


def _later(at_ms: int, months: int) -> int:
    """Return the same day of the month, ``months`` later, or that month's last day."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    years, month = divmod(at.month - 1 + months, 12)
    year, month = at.year + years, month + 1
    day = min(at.day, monthrange(year, month)[1])
    return int(at.replace(year=year, month=month, day=day).timestamp()) * 1000


def _sums(amounts: Iterable[tuple[int, Decimal]]) -> dict[int, Decimal]:
    found: dict[int, Decimal] = {}
    for at, amount in amounts:
        found[at] = found.get(at, ZERO) + amount
    return found


def _by_instant(
    booked: Sequence[BookedTrade], instant: Callable[[BookedTrade], int | None]
) -> dict[int, list[BookedTrade]]:
    found: dict[int, list[BookedTrade]] = {}
    for one in booked:
        at = instant(one)
        if at is not None:
            found.setdefault(at, []).append(one)
    return found
