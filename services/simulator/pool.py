"""The insurance pools behind auto-deleveraging: full, until a script says that one is empty."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

Row = dict[str, Any]
Pressed = Callable[[], Collection[str]]
"""Returns the symbols whose pool is empty."""

COIN: Final = "USDT"
TOPIC: Final = f"adlAlert.{COIN}"
FULL: Final = "10000000"
SHORT: Final = {
    "c": "coin", "s": "symbol", "b": "balance", "mb": "maxBalance", "i_pr": "insurancePnlRatio",
    "pr": "pnlRatio", "adl_tt": "adlTriggerThreshold", "adl_sr": "adlStopRatio",
}  # fmt: skip
"""What the topic calls the fields of the REST answer."""


def pool_rows(symbols: Iterable[str], pressed: Collection[str]) -> list[Row]:
    """Return each symbol's pool as market/adlAlert shows it.

    Source: bybit-v5.md 7.6: at a balance of zero positions are deleveraged; the ratios are those
    of the documented example.
    """
    return [
        {
            "coin": COIN,
            "symbol": symbol,
            "balance": "0" if symbol in pressed else FULL,
            "maxBalance": FULL,
            "insurancePnlRatio": "-0.3",
            "pnlRatio": "0",
            "adlTriggerThreshold": "10000",
            "adlStopRatio": "-0.25",
        }
        for symbol in symbols
    ]


def alert(rows: Iterable[Row], at_ms: int) -> Row:
    """Return the message of ``adlAlert``, where the venue writes numbers instead of texts."""
    data = [
        {k: row[n] if n in ("coin", "symbol") else float(row[n]) for k, n in SHORT.items()}
        for row in rows
    ]
    return {"topic": TOPIC, "type": "snapshot", "ts": at_ms, "data": data}
