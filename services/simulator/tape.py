"""Public trades and liquidations: those of the one account, for nobody else trades here."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from shared.venue.amounts import plain
from shared.venue.records import Execution

Row = dict[str, Any]
Told = tuple[str, str, Row]
"""Channel, topic and message."""

TRADES: Final = "publicTrade"
LIQUIDATIONS: Final = "allLiquidation"
OTHER: Final = {"Buy": "Sell", "Sell": "Buy"}


class Tape:
    """Turns fills into the messages of ``publicTrade`` and ``allLiquidation``, in order."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[Decimal, str]] = {}

    def messages(self, executions: Iterable[Execution]) -> list[Told]:
        """Return what the public is told of these fills; neighbours share one message."""
        told = []
        for (category, symbol, kind), group in groupby(executions, key=_subject):
            if kind == "Trade":
                rows = [self._trade(execution) for execution in group]
                told.append((category, f"{TRADES}.{symbol}", rows))
            elif kind == "BustTrade":
                rows = [_liquidation(execution) for execution in group]
                told.append((category, f"{LIQUIDATIONS}.{symbol}", rows))
        return [
            (
                category,
                topic,
                {"topic": topic, "type": "snapshot", "ts": rows[-1]["T"], "data": rows},
            )
            for category, topic, rows in told
        ]

    def _trade(self, e: Execution) -> Row:
        product = e.category, e.symbol
        before, direction = self._last.get(product, (e.price, "Plus"))
        if e.price != before:
            direction = "Plus" if e.price > before else "Minus"
        self._last[product] = e.price, direction
        tick = f"{direction}Tick" if e.price != before else f"Zero{direction}Tick"
        return {
            "T": e.time_ms,
            "s": e.symbol,
            "S": taker_side(e),
            "v": plain(e.qty),
            "p": plain(e.price),
            **({"L": tick} if e.category == "linear" else {}),
            "i": e.exec_id,
            "BT": False,
        }


def taker_side(execution: Execution) -> str:
    """Return the side of who took: ours, or the other where we had waited."""
    return OTHER[execution.side] if execution.is_maker else execution.side


def trade_row(execution: Execution) -> Row:
    """Return one fill as market/recent-trade shows it."""
    return {
        "execId": execution.exec_id,
        "symbol": execution.symbol,
        "price": plain(execution.price),
        "size": plain(execution.qty),
        "side": taker_side(execution),
        "time": str(execution.time_ms),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": str(execution.seq),
    }


def _liquidation(e: Execution) -> Row:
    """Return one step of a liquidation: ``S`` is the position's side, ``p`` here the mark."""
    return {
        "T": e.time_ms,
        "s": e.symbol,
        "S": OTHER[e.side],
        "v": plain(e.qty),
        "p": plain(e.price),
    }


def _subject(execution: Execution) -> tuple[str, str, str]:
    return execution.category, execution.symbol, execution.exec_type
