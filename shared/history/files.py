"""Reads a folder of recorded Bybit history (Parquet) into exact records, or refuses it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.history.records import (
    HOUR_MS,
    Bar,
    History,
    MalformedHistory,
    Settlement,
    SymbolHistory,
)

SAMPLE: Final = Path(__file__).parent / "sample"
EXCHANGE: Final = "bybit"
SPOT_FILE: Final = "klines_spot.parquet"
PERP_FILE: Final = "klines_perp.parquet"
MARK_FILE: Final = "mark_price.parquet"
FUNDING_FILE: Final = "funding.parquet"
PRICE_FILES: Final = (SPOT_FILE, PERP_FILE, MARK_FILE)
RATE_MOST: Final = Decimal("0.1")
"""No venue settles more at once (the most recorded is 2.5 %): such a rate is a percentage."""

UTC_NAMES: Final = ("UTC", "Etc/UTC", "+00:00")
PRICE_TYPES: Final = (
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_decimal,
    pa.types.is_integer,
)

Closes = dict[int, Decimal]  # open time, UTC ms, to close


def read_history(
    folder: Path | None = None,
    symbols: Sequence[str] | None = None,
    *,
    exchange: str = EXCHANGE,
    allow_gaps: bool = False,
) -> History:
    """Return one exchange's history of ``folder`` (None: the sample that comes with the package).

    ``symbols`` None means every symbol that all four files hold. Bars cover the hours for which
    spot, perpetual and mark are all recorded; from the first such hour to the last none may be
    missing, and no settlement, unless ``allow_gaps``: ``ledger.ledgers_of`` counts them then.
    Prices may be stored as float64 (its shortest text is the published price), text, integer or
    decimal; times as whole UTC milliseconds or as UTC timestamps; rates are read from the text
    column ``rate_str``, and a column ``rate`` must say the same.

    Raises:
        MalformedHistory: a file, column, symbol, hour or settlement is missing, a row is
            repeated, out of order or nobody's, or a value is no positive price or no rate.
    """
    place = SAMPLE if folder is None else folder
    of = Selected(exchange, symbols, allow_gaps)
    prices = {name: _prices(place / name, of) for name in PRICE_FILES}
    funding = _funding(place / FUNDING_FILE, of)
    wanted = symbols if symbols is not None else _in_all([*prices.values(), funding])
    if not wanted:
        raise MalformedHistory(f"{place}: no symbol is in all four files; name another folder")
    for name, closes in prices.items():
        _refuse_absent(place / name, wanted, closes, of)
    _refuse_absent(place / FUNDING_FILE, wanted, funding, of)
    return History(
        {
            symbol: _joined(
                place, symbol, {n: prices[n][symbol] for n in prices}, funding[symbol], allow_gaps
            )
            for symbol in wanted
        }
    )


@dataclass(frozen=True, slots=True)
class Selected:
    """Which rows are wanted; ``symbols`` None means all of them."""

    exchange: str
    symbols: Sequence[str] | None
    allow_gaps: bool


def _joined(
    place: Path,
    symbol: str,
    closes: Mapping[str, Closes],
    paid: Sequence[Settlement],
    allow_gaps: bool,
) -> SymbolHistory:
    spot, perp, mark = (closes[name] for name in PRICE_FILES)
    first = max(next(iter(series)) for series in closes.values())
    last = min(next(reversed(series)) for series in closes.values())
    if first > last:
        raise MalformedHistory(
            f"{place}: {symbol} has no hour in which spot, perpetual and mark are all recorded; "
            "leave the symbol out"
        )
    if not allow_gaps:
        for name, series in closes.items():
            _refuse_gaps(place / name, symbol, series, first, last)
    bars = tuple(
        Bar(at + HOUR_MS, spot[at], perp[at], mark[at])
        for at in range(first, last + 1, HOUR_MS)
        if at in spot and at in perp and at in mark
    )
    known = tuple(s for s in paid if s.at_ms <= last + HOUR_MS)
    return SymbolHistory(symbol, bars, known)


def _prices(path: Path, of: Selected) -> dict[str, Closes]:
    table = _rows(path, "open_time", ["close"], of, hourly=True)
    _refuse_type(path, "close", table["close"].type)
    found: dict[str, Closes] = {}
    for symbol, part in _by_symbol(table):
        times = _instants(path, symbol, part["open_time"])
        found[symbol] = dict(zip(times, _closes(path, symbol, times, part["close"]), strict=True))
    return found


def _funding(path: Path, of: Selected) -> dict[str, tuple[Settlement, ...]]:
    columns = ["rate_str", "interval_hours", "note"]
    table = _rows(path, "funding_time", columns, of, hourly=False)
    found: dict[str, tuple[Settlement, ...]] = {}
    for symbol, part in _by_symbol(table):
        times = _instants(path, symbol, part["funding_time"])
        rows = zip(
            times,
            part["rate_str"].to_pylist(),
            part["interval_hours"].to_pylist(),
            part["note"].to_pylist(),
            strict=True,
        )
        paid = tuple(_settlement(path, symbol, *row) for row in rows)
        if "rate" in part.column_names:
            _refuse_other_rates(path, symbol, paid, part["rate"].to_pylist())
        if not of.allow_gaps:
            _refuse_missed(path, symbol, paid)
        found[symbol] = paid
    return found


def _rows(path: Path, time: str, columns: list[str], of: Selected, *, hourly: bool) -> Any:
    """Return the wanted rows as an arrow table, in the order of the file; ``time`` in UTC ms."""
    keys = ["exchange", "symbol", *(["interval"] if hourly else []), time]
    wanted: list[tuple[str, str, Any]] = [("exchange", "==", of.exchange)]
    if hourly:
        wanted.append(("interval", "==", "1h"))
    if of.symbols is not None:
        wanted.append(("symbol", "in", list(of.symbols)))
    try:
        held = pq.read_schema(path).names
        for name in (*keys, *columns):
            if name not in held:
                raise MalformedHistory(f"{path}: no column {name}; write the file again with it")
        _refuse_nobodys(path, pq.read_table(path, columns=keys))
        read = ["symbol", time, *columns, *(["rate"] if "rate" in held else [])]
        table = pq.read_table(path, columns=read, filters=wanted)
    except FileNotFoundError as error:
        raise MalformedHistory(f"{path}: no such file; import the history first") from error
    except (pa.ArrowException, KeyError) as error:
        raise MalformedHistory(f"{path}: {error}; write the file again") from error
    place = table.column_names.index(time)
    return table.set_column(place, time, in_milliseconds(path, time, table[time]))


def in_milliseconds(path: Path, name: str, column: Any) -> Any:
    """Return a column of instants as int64 UTC milliseconds, none of them rounded.

    Raises: MalformedHistory when it holds anything but whole numbers or UTC timestamps.
    """
    kind = column.type
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if not pa.types.is_timestamp(kind) or kind.tz not in UTC_NAMES:
        raise MalformedHistory(
            f"{path}: column {name} holds {kind}; write it as int64, UTC milliseconds"
        )
    whole = column.cast(pa.timestamp("ms", kind.tz), safe=False)
    differs = pc.index(pc.not_equal(whole.cast(kind), column), True).as_py()
    if differs >= 0:
        raise MalformedHistory(
            f"{path}: column {name} holds {column[differs]}, finer than a millisecond; import the "
            "row again"
        )
    return whole.cast(pa.int64())


def _refuse_nobodys(path: Path, keys: Any) -> None:
    """Refuse a row of which one of ``keys`` is null: a filter would pass over it unseen."""
    for name in keys.column_names:
        if keys[name].null_count:
            place = pc.index(pc.is_null(keys[name]), True).as_py()
            raise MalformedHistory(
                f"{path}: row {place + 1} of {keys.num_rows} has no {name}; import the row again"
            )


def _refuse_type(path: Path, name: str, kind: Any) -> None:
    if not any(of_kind(kind) for of_kind in PRICE_TYPES):
        raise MalformedHistory(
            f"{path}: column {name} holds {kind}; write it as text, float64 or decimal"
        )


def _by_symbol(table: Any) -> Iterator[tuple[str, Any]]:
    for symbol in sorted(pc.unique(table["symbol"]).to_pylist()):
        yield symbol, table.filter(pc.equal(table["symbol"], symbol))


def _in_all(found: Iterable[Mapping[str, object]]) -> list[str]:
    return sorted(set.intersection(*(set(each) for each in found)))


def _instants(path: Path, symbol: str, column: Any) -> list[int]:
    times: list[int] = column.to_pylist()
    for at in times:
        if at % HOUR_MS:
            raise _refusal(path, symbol, at, "is not on a whole hour; import the row again")
    for before, at in pairwise(times):
        if at == before:
            raise _refusal(path, symbol, at, "is there twice; remove one of the rows")
        if at < before:
            raise _refusal(path, symbol, at, "is out of order; sort the file by symbol and time")
    return times


def _closes(path: Path, symbol: str, times: Sequence[int], column: Any) -> list[Decimal]:
    values = column.to_pylist()
    for at, value in zip(times, values, strict=True):
        if value is None:
            raise _refusal(path, symbol, at, "has no close; import the row again")
    closes = [_decimal(value) for value in values]
    for at, close, value in zip(times, closes, values, strict=True):
        if not (close.is_finite() and close > 0):
            says = repr(value) if isinstance(value, str) else close
            raise _refusal(path, symbol, at, f"closes at {says}; import the row again")
    return closes


def _decimal(value: Any) -> Decimal:
    """Return the number as it was published: the shortest text that reads back as the float.

    Text that is no number is NaN.
    """
    try:
        return Decimal(repr(value).removesuffix(".0") if isinstance(value, float) else value)
    except InvalidOperation:
        return Decimal("NaN")


def _settlement(
    path: Path, symbol: str, at: int, rate: str | None, hours: int | None, note: str | None
) -> Settlement:
    if rate is None or hours is None or hours <= 0:
        raise _refusal(path, symbol, at, "has no rate or no interval; import the row again")
    exact = _decimal(rate)
    if not exact.is_finite():
        raise _refusal(path, symbol, at, f"has the rate {rate!r}; import the row again")
    if abs(exact) > RATE_MOST:
        raise _refusal(
            path,
            symbol,
            at,
            f"has the rate {rate}, more than {RATE_MOST:.0%} of the notional; "
            "write rates as fractions",
        )
    return Settlement(at, exact, hours, note or "ok")


def _refuse_other_rates(
    path: Path, symbol: str, paid: Iterable[Settlement], rates: Iterable[Any]
) -> None:
    """Refuse a number ``rate`` that is not its row's ``rate_str``: one of them was changed."""
    for settled, rate in zip(paid, rates, strict=True):
        if rate is not None and float(_decimal(rate)) != float(settled.rate):
            raise _refusal(
                path,
                symbol,
                settled.at_ms,
                f"has the rate_str {settled.rate} and the rate {rate}; find out which is right",
            )


def _refuse_absent(
    path: Path, wanted: Iterable[str], found: Mapping[str, object], of: Selected
) -> None:
    for symbol in wanted:
        if symbol not in found:
            raise MalformedHistory(
                f"{path}: no row of {symbol}{_elsewhere(path, symbol, of)}; leave the symbol "
                "out or import it first"
            )


def _elsewhere(path: Path, symbol: str, of: Selected) -> str:
    """Return what the file has of a symbol that was not found as it was wanted."""
    names = [n for n in ("exchange", "interval") if n in pq.read_schema(path).names]
    table = pq.read_table(path, columns=names, filters=[("symbol", "==", symbol)])
    others = set(pc.unique(table["exchange"]).to_pylist())
    if others and of.exchange not in others:
        return f" of {of.exchange}, but of {', '.join(sorted(others))}: do not mix venues"
    if others and "interval" in names:
        table = table.filter(pc.equal(table["exchange"], of.exchange))
        lengths = ", ".join(sorted(pc.unique(table["interval"]).to_pylist()))
        return f" of the interval 1h, but of {lengths}"
    return ""


def _refuse_gaps(path: Path, symbol: str, series: Closes, first: int, last: int) -> None:
    for at in range(first, last + 1, HOUR_MS):
        if at not in series:
            raise _refusal(path, symbol, at, "is missing; fetch that hour or read a shorter span")


def _refuse_missed(path: Path, symbol: str, paid: Sequence[Settlement]) -> None:
    """Refuse a step that the venue's schedule does not explain.

    Where the interval changes, the source knows neither hour of the change: any step up to the
    longer of the two intervals is taken (Bybit SOLUSDT stepped 6 h on 2022-11-10).
    """
    for before, now in pairwise(paid):
        hours = (now.at_ms - before.at_ms) // HOUR_MS
        same = now.interval_hours == before.interval_hours
        longest = max(now.interval_hours, before.interval_hours)
        if hours > longest or (same and hours != now.interval_hours):
            raise _refusal(
                path,
                symbol,
                now.at_ms,
                f"settles {hours} h after the one before, which is no {now.interval_hours} h "
                "interval; fetch the settlements between",
            )


def _refusal(path: Path, symbol: str, at_ms: int, problem: str) -> MalformedHistory:
    return MalformedHistory(f"{path}: {symbol} {_text(at_ms)} {problem}")


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
