"""Rows of recorded history between the wire's text, Parquet tables, the store and the core."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from shared.history.files import FUNDING_FILE, MARK_FILE, PERP_FILE, SPOT_FILE
from shared.history.merge import BARS, RATES
from shared.history.records import (
    HOUR_MS,
    Bar,
    History,
    MalformedHistory,
    Settlement,
    SymbolHistory,
)
from shared.store.history import BarRow, SettlementRow

SERIES: Final[Mapping[str, str]] = {SPOT_FILE: "spot", PERP_FILE: "linear", MARK_FILE: "mark"}
SOURCE: Final = "rest"


def rate_table(exchange: str, symbol: str, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Return settlements as a table; rows are instant (UTC ms), rate as text, interval in hours."""
    return pa.Table.from_pylist(
        [
            {
                "exchange": exchange,
                "symbol": symbol,
                "funding_time": at,
                "rate_str": rate,
                "rate": float(rate),
                "interval_hours": hours,
                "note": "ok",
                "source": SOURCE,
            }
            for at, rate, hours in rows
        ],
        schema=RATES,
    )


def bar_table(exchange: str, symbol: str, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Return hourly bars as a table; rows are instant (UTC ms), open, high, low, close, volume.

    Raises: MalformedHistory when a price has more digits than a double can keep.
    """
    return pa.Table.from_pylist(
        [
            {
                "exchange": exchange,
                "symbol": symbol,
                "interval": "1h",
                "open_time": at,
                **{
                    name: _as_double(symbol, at, value)
                    for name, value in zip(("open", "high", "low", "close"), prices, strict=True)
                },
                "volume": float(volume),
                "source": SOURCE,
            }
            for at, *prices, volume in rows
        ],
        schema=BARS,
    )


def settlement_rows(table: pa.Table) -> list[SettlementRow]:
    """Return a table of rates as the store takes them."""
    columns = ("symbol", "funding_time", "rate_str", "interval_hours")
    return [
        (symbol, _instant(at), Decimal(rate), Decimal(hours))
        for symbol, at, rate, hours in zip(*(table[c].to_pylist() for c in columns), strict=True)
    ]


def bar_rows(name: str, table: pa.Table) -> list[BarRow]:
    """Return a table of bars as the store takes them, by the name of their file."""
    columns = ("symbol", "open_time", "open", "high", "low", "close", "volume")
    return [
        (
            SERIES[name],
            symbol,
            _instant(at),
            _exact(opened),
            _exact(high),
            _exact(low),
            Decimal(repr(close)),
            _exact(volume),
        )
        for symbol, at, opened, high, low, close, volume in zip(
            *(table[c].to_pylist() for c in columns), strict=True
        )
    ]


def history_of(settled: Sequence[Mapping[str, Any]], bars: Sequence[Mapping[str, Any]]) -> History:
    """Return what the store holds as a history; hours without all three closes are left out."""
    paid: dict[str, list[Settlement]] = {}
    for row in settled:
        paid.setdefault(row["symbol"], []).append(
            Settlement(_ms(row["settled_at"]), row["rate"], int(row["interval_hours"]))
        )
    closes: dict[str, list[Bar]] = {}
    for row in bars:
        prices = row["spot"], row["perp"], row["mark"]
        if None not in prices:
            bar = Bar(_ms(row["opened_at"]) + HOUR_MS, *prices)
            closes.setdefault(row["symbol"], []).append(bar)
    return History(
        {
            symbol: SymbolHistory(
                symbol,
                tuple(found),
                tuple(s for s in paid.get(symbol, ()) if s.at_ms <= found[-1].at_ms),
            )
            for symbol, found in closes.items()
        }
    )


def is_rates(name: str) -> bool:
    """Whether a file of that name holds settlements."""
    return name == FUNDING_FILE


def _as_double(symbol: str, at: int, text: str) -> float:
    value = float(text)
    if Decimal(repr(value)) != Decimal(text):
        raise MalformedHistory(
            f"{symbol} {_instant(at).isoformat()}: the price {text} has more digits than a double "
            "keeps; store it as text"
        )
    return value


def _exact(value: float | None) -> Decimal | None:
    return None if value is None or value != value else Decimal(repr(value))


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000
