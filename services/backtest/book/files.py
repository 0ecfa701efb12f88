"""The three inputs of a published run: its trades, the bars it saw, the payments it logged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any, Final, NoReturn

from services.backtest.book.bars import intervals_of, read_bars
from services.backtest.book.rates import read_rates
from services.backtest.book.records import (
    SIDES,
    STATED,
    STATED_OPENING,
    Leg,
    ListedTrade,
    Market,
    PublishedInputs,
    Rates,
    Selection,
    Span,
)
from services.backtest.book.tables import (
    amount,
    holds_doubles,
    instant,
    leg_of,
    moment,
    needed_amount,
    optional_instant,
    read_rows,
    refused,
    settled_at,
    text,
)
from shared.domain.money import ZERO
from shared.history.records import MalformedHistory

FEE_RATE_MAX: Final = Decimal("0.1")
"""A fraction of notional; a greater one was written in per cent."""
ROUNDING_RESIDUE: Final = Decimal("1e-6")
"""Quote units. A size this little below zero is what binary sums left: AHA's list has -2.9e-11."""


def read_inputs(
    trades: Path,
    bars: Sequence[str],
    funding: Sequence[Path],
    chosen: Selection,
    interval: str,
    end_ms: int | None = None,
    *,
    allow_gaps: bool = False,
) -> PublishedInputs:
    """Return the rows of a published run; raises MalformedHistory at the first bad one.

    ``bars`` are files with a column ``market``, or FILE:MARKET. ``funding`` are logs of payments
    or tables of rates, told apart by their columns. ``end_ms`` is where the run ends: bars,
    openings and payments after it are left out, and what closes after it is still open.
    A bar that is missing is refused unless ``allow_gaps``.
    """
    listed, is_binary = _trades(trades, chosen, end_ms)
    rates: dict[Leg, Rates] = {}
    payments: dict[tuple[int, Leg], Decimal] = {}
    logged = False
    needs = _needs(listed)
    for path in funding:
        if "funding_payment" in read_rows(path, ["exchange", "symbol"], ["funding_payment"])[0][1]:
            logged = True
            paid = _payments(path, chosen, listed, end_ms)
            if twice := paid.keys() & payments.keys():
                at_ms, leg = min(twice)
                _refuse_second(path, leg, f" pays at {moment(at_ms)}")
            payments |= paid
        else:
            for leg, more in read_rates(path, set(needs)).items():
                known = rates.get(leg, Rates(path, {}, {}))
                if both := known.settled.keys() & more.settled.keys():
                    _refuse_second(path, leg, f" has a rate of {moment(min(both))}")
                rates[leg] = known.joined(more)
    markets: dict[Leg, Market] = {}
    for path, market in map(_place, bars):
        for leg, found in read_bars(
            path, market, needs, rates, interval, end_ms, allow_gaps
        ).items():
            if leg in markets:
                _refuse_second(path, leg, " is")
            markets[leg] = found
    for trade in listed:
        if trade.leg not in markets:
            raise MalformedHistory(
                f"{', '.join(bars)}: no bar of {' '.join(trade.leg)}, which {trades} trades in row "
                f"{trade.row}{_intervals(bars, trade.leg, interval)}; name another --bars or "
                "choose with --exchange, --symbol, --market"
            )
    return PublishedInputs(listed, markets, payments if logged else None, is_binary)


def _refuse_second(path: Path, leg: Leg, what: str) -> NoReturn:
    raise MalformedHistory(f"{path}: {' '.join(leg)}{what} in two files; name one of them")


def _place(given: str) -> tuple[Path, str]:
    """Return the file of one --bars and the market that it is said to be of, if any."""
    name, _, market = ("", "", given) if Path(given).exists() else given.rpartition(":")
    return (Path(name), market) if name else (Path(given), "")


def _intervals(bars: Sequence[str], leg: Leg, wanted: str) -> str:
    """Return what intervals the files have of a leg of which none is as long as was wanted."""
    found = sorted({one for given in bars for one in intervals_of(*_place(given), leg)})
    others = ", ".join(found)
    return (
        f", of the interval {wanted}, but of {others}: say --interval {found[0]}" if found else ""
    )


def _needs(trades: Sequence[ListedTrade]) -> dict[Leg, Span]:
    found: dict[Leg, Span] = {}
    for trade in trades:
        first, last = trade.opened_ms, inf if trade.closed_ms is None else trade.closed_ms
        before = found.get(trade.leg, Span(first, last))
        found[trade.leg] = Span(min(first, before.first_ms), max(last, before.last_ms))
    return found


def _trades(
    path: Path, chosen: Selection, end_ms: int | None
) -> tuple[tuple[ListedTrade, ...], bool]:
    needed = ["side", "exchange", "symbol", "market", "position_size_usd", "fee_rate", "open_time"]
    rows = read_rows(path, [*needed, "close_time"], [*STATED, "margin", "closed"])
    found: list[ListedTrade] = []
    seen: dict[tuple[Any, ...], int] = {}
    for number, row in rows:
        trade = _trade(path, row, number)
        if not chosen.takes(trade.leg):
            continue
        key = (trade.leg, trade.side, trade.margin, trade.opened_ms, trade.closed_ms, trade.size)
        if key in seen:
            raise refused(path, row, number, f"is there twice, first in row {seen[key]}")
        seen[key] = number
        if end_ms is None or trade.opened_ms <= end_ms:
            found.append(_as_of(trade, end_ms))
    if not found:
        until = "" if end_ms is None else f" and opens until {moment(end_ms)}"
        raise MalformedHistory(f"{path}: no trade is chosen{until}; choose others")
    return tuple(found), holds_doubles(
        [row for _, row in rows], [*STATED, "position_size_usd", "fee_rate"]
    )


def _as_of(trade: ListedTrade, end_ms: int | None) -> ListedTrade:
    """Return the trade as it stands at ``end_ms``: open if it closes later."""
    if end_ms is None or trade.closed_ms is None or trade.closed_ms <= end_ms:
        return trade
    stated = {name: value for name, value in trade.stated.items() if name in STATED_OPENING}
    return replace(trade, closed_ms=None, stated=stated)


def _trade(path: Path, row: Mapping[str, Any], number: int) -> ListedTrade:
    side = text(path, row, "side", number)
    size = needed_amount(path, row, "position_size_usd", number)
    if size < -ROUNDING_RESIDUE:
        raise refused(path, row, number, f"has the position_size_usd {size}, which is below 0")
    fee_rate = needed_amount(path, row, "fee_rate", number)
    if abs(fee_rate) > FEE_RATE_MAX:
        problem = f"has the fee_rate {fee_rate}, more than 10 %; 0.1 % is written 0.001"
        raise refused(path, row, number, problem)
    if side not in SIDES:
        raise refused(path, row, number, f"has the side {side!r}, neither long nor short")
    opened = instant(path, row, "open_time", number)
    closed = optional_instant(path, row, "close_time", number)
    if closed is not None and closed < opened:
        raise refused(path, row, number, "closes before it opens")
    if "closed" in row and _truth(row["closed"]) != (closed is not None):
        raise refused(path, row, number, "says of itself closed or not, its close_time the reverse")
    stated = {name: amount(path, row, name, number) for name in STATED}
    for name in ("open_price", "close_price"):
        value = stated[name]
        if value is not None and value <= ZERO:
            raise refused(path, row, number, f"has the {name} {value}, which is not above 0")
    return ListedTrade(
        number, side, leg_of(path, row, number), str(row.get("margin") or ""),
        size, fee_rate, opened, closed,
        {name: value for name, value in stated.items() if value is not None},
    )  # fmt: skip


def _truth(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _payments(
    path: Path, chosen: Selection, trades: Sequence[ListedTrade], end_ms: int | None
) -> dict[tuple[int, Leg], Decimal]:
    """Return the payments logged of each leg at an instant together: it may hold many positions.

    As many may be equal as there are positions; one more is a row that is there twice.
    """
    names = ["time", "exchange", "symbol", "market", "funding_payment"]
    found: dict[tuple[int, Leg], Decimal] = {}
    seen: Counter[tuple[tuple[int, Leg], Decimal]] = Counter()
    for number, row in read_rows(path, names):
        leg = leg_of(path, row, number)
        if not chosen.takes(leg):
            continue
        key = (settled_at(path, row, "time", number), leg)
        if end_ms is not None and key[0] > end_ms:
            continue
        paid = needed_amount(path, row, "funding_payment", number)
        seen[key, paid] += 1
        if paid and seen[key, paid] > 1 and seen[key, paid] > _held(trades, *key):
            raise refused(path, row, number, "is there twice")
        found[key] = found.get(key, ZERO) + paid
    return found


def _held(trades: Sequence[ListedTrade], at_ms: int, leg: Leg) -> int:
    """Return how many positions a leg has, with those that open or close at that very instant."""
    return sum(
        t.leg == leg and t.opened_ms <= at_ms and (t.closed_ms is None or at_ms <= t.closed_ms)
        for t in trades
    )
