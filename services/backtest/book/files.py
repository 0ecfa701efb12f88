"""The three inputs of a published run: its trades, the bars it saw, the payments it logged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from services.backtest.book.tables import (
    amount,
    holds_doubles,
    instant,
    is_absent,
    moment,
    needed_amount,
    optional_instant,
    read_rows,
    refused,
    text,
)
from shared.domain.money import ZERO
from shared.history.records import HOUR_MS, MalformedHistory

Leg = tuple[str, str, str]
"""Exchange, symbol, market."""

SIDES: Final = ("long", "short")
SPOT: Final = "spot"
STATED: Final = (
    "open_price", "quantity", "open_fee", "open_value",
    "close_price", "close_fee", "close_value", "pnl",
)  # fmt: skip
"""What a trade list may state of each trade; a cell that is empty is not compared."""
INTERVALS: Final = {"15m": HOUR_MS // 4, "1h": HOUR_MS, "4h": 4 * HOUR_MS, "8h": 8 * HOUR_MS}


@dataclass(frozen=True, slots=True)
class ListedTrade:
    """One trade as its list gives it; ``stated`` holds what was published of it, quote units.

    ``size`` is what was put in before the fee, ``fee_rate`` a fraction. ``row`` counts from one.
    """

    row: int
    side: str
    leg: Leg
    margin: str
    size: Decimal
    fee_rate: Decimal
    opened_ms: int
    closed_ms: int | None
    stated: Mapping[str, Decimal]

    @property
    def sign(self) -> int:
        """+1 for a long, -1 for a short."""
        return 1 if self.side == "long" else -1


@dataclass(frozen=True, slots=True)
class Market:
    """One leg's bars: opens by the instant at which they start, closes by the same, rates by t."""

    opens: Mapping[int, Decimal]
    closes: Mapping[int, Decimal]
    rates: Mapping[int, Decimal]
    interval_ms: int


@dataclass(frozen=True, slots=True)
class PublishedInputs:
    """Everything that was read; ``payments`` is None where no log was given."""

    trades: tuple[ListedTrade, ...]
    markets: Mapping[Leg, Market]
    payments: Mapping[tuple[int, Leg], Decimal] | None
    is_binary: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows count; an empty set means all of them."""

    exchanges: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    markets: frozenset[str] = frozenset()

    def takes(self, leg: Leg) -> bool:
        """Whether a leg is among them."""
        chosen = zip((self.exchanges, self.symbols, self.markets), leg, strict=True)
        return all(not names or name in names for names, name in chosen)


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
    or tables of rates, told apart by their columns. Bars that start after ``end_ms`` are left out.
    A bar that is missing is refused unless ``allow_gaps``.
    """
    listed, is_binary = _trades(trades, chosen)
    rates: dict[Leg, dict[int, Decimal]] = {}
    payments: dict[tuple[int, Leg], Decimal] | None = None
    for path in funding:
        if "funding_payment" in read_rows(path, ["exchange", "symbol"], ["funding_payment"])[0][1]:
            payments = {**(payments or {}), **_payments(path, chosen)}
        else:
            rates |= _rates(path, {t.leg for t in listed})
    wanted = {trade.leg for trade in listed}
    markets: dict[Leg, Market] = {}
    for given in bars:
        name, _, market = ("", "", given) if Path(given).exists() else given.rpartition(":")
        path, market = (Path(name), market) if name else (Path(given), "")
        for leg, found in _bars(path, market, wanted, rates, interval, end_ms, allow_gaps).items():
            if leg in markets:
                raise MalformedHistory(f"{path}: {' '.join(leg)} is in two files; name one of them")
            markets[leg] = found
    for trade in listed:
        if trade.leg not in markets:
            raise MalformedHistory(
                f"{', '.join(bars)}: no bar of {' '.join(trade.leg)}, which {trades} trades in row "
                f"{trade.row}; name another --bars or choose with --exchange, --symbol, --market"
            )
    return PublishedInputs(listed, markets, payments, is_binary)


def _trades(path: Path, chosen: Selection) -> tuple[tuple[ListedTrade, ...], bool]:
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
        found.append(trade)
    if not found:
        raise MalformedHistory(f"{path}: no trade is chosen; choose others")
    return tuple(found), holds_doubles(
        [row for _, row in rows], [*STATED, "position_size_usd", "fee_rate"]
    )


def _trade(path: Path, row: Mapping[str, Any], number: int) -> ListedTrade:
    side = text(path, row, "side", number)
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
        number, side, _leg(path, row, number), str(row.get("margin") or ""),
        needed_amount(path, row, "position_size_usd", number),
        needed_amount(path, row, "fee_rate", number), opened, closed,
        {name: value for name, value in stated.items() if value is not None},
    )  # fmt: skip


def _truth(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _leg(path: Path, row: Mapping[str, Any], number: int) -> Leg:
    exchange, symbol, market = (
        text(path, row, name, number) for name in ("exchange", "symbol", "market")
    )
    return exchange, symbol, market


def _payments(path: Path, chosen: Selection) -> dict[tuple[int, Leg], Decimal]:
    names = ["time", "exchange", "symbol", "market", "funding_payment"]
    found: dict[tuple[int, Leg], Decimal] = {}
    seen: set[tuple[tuple[int, Leg], Decimal]] = set()
    for number, row in read_rows(path, names):
        leg = _leg(path, row, number)
        if not chosen.takes(leg):
            continue
        key = (instant(path, row, "time", number), leg)
        paid = needed_amount(path, row, "funding_payment", number)
        if paid and (key, paid) in seen:
            raise refused(path, row, number, "is there twice")
        seen.add((key, paid))
        found[key] = found.get(key, ZERO) + paid  # of two positions in one leg
    return found


def _rates(path: Path, legs: set[Leg]) -> dict[Leg, dict[int, Decimal]]:
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
            _refuse_disorder(path, row, number, series, at)
            name = "rate" if is_absent(row.get("rate_str")) else "rate_str"
            series[at] = needed_amount(path, row, name, number)
    return found


def _bars(
    path: Path,
    market: str,
    wanted: set[Leg],
    rates: Mapping[Leg, Mapping[int, Decimal]],
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
        leg = _leg(path, {**row, "market": market or row.get("market")}, number)
        if leg not in wanted:
            continue
        opens, closes, paid = series.setdefault(leg, ({}, {}, {}))
        at = instant(path, row, label, number)
        _refuse_disorder(path, row, number, opens, at)
        if end_ms is not None and at > end_ms:
            continue
        opens[at] = needed_amount(path, row, "open", number, above=ZERO)
        if not is_absent(row.get("close")):
            closes[at] = needed_amount(path, row, "close", number, above=ZERO)
        rate = amount(path, row, "funding_rate", number)
        if rate is not None:
            paid[at] = rate
    return {
        leg: Market(opens, closes, rates.get(leg, paid), _grid(path, leg, opens, allow_gaps))
        for leg, (opens, closes, paid) in series.items()
    }


def _refuse_disorder(
    path: Path, row: Mapping[str, Any], number: int, before: Mapping[int, Decimal], at: int
) -> None:
    if not before:
        return
    last = next(reversed(before.keys()))  # type: ignore[call-overload]
    if at == last:
        raise refused(path, row, number, "is there twice")
    if at < last:
        raise refused(path, row, number, f"is out of order: {moment(last)} stands before it")


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
