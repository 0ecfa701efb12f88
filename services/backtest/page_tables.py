"""The tables of a run's page: trades, pairs, and the bars that count by symbol and by reason."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from services.backtest.record import Record
from services.backtest.text import NONE, THIN, duration, instant, percent, tone, usdt

Page = dict[str, Any]

PARTS: Final = {
    "funding": "Funding received",
    "basis": "Basis",
    "fees": "Fees",
    "slippage": "Slippage",
    "borrow": "Borrow",
    "rounding": "Rounding",
}


def by_symbol(by_pair: Mapping[str, Mapping[str, str]]) -> list[Page]:
    """Return the bars of funding by symbol, the largest first."""
    amounts = {name: Decimal(parts["funding"]) for name, parts in by_pair.items()}
    low = min([Decimal(0), *amounts.values()])
    span = max([Decimal(0), *amounts.values()]) - low
    rows = []
    for name, amount in sorted(amounts.items(), key=lambda item: -item[1]):
        left = (min(amount, Decimal(0)) - low) / span * 100 if span else Decimal(0)
        width = abs(amount) / span * 100 if span else Decimal(0)
        rows.append(
            {
                "name": name.removesuffix("USDT"),
                "left": f"{left:.2f}",
                "width": f"{width:.2f}",
                "tone": tone(amount),
                "value": usdt(amount),
            }
        )
    return rows


def passed_over(counts: Mapping[str, int]) -> list[Page]:
    """Return the bars of how often each reason kept a pair out."""
    most = max(counts.values(), default=1)
    return [
        {
            "name": reason.replace("_", " ").capitalize(),
            "value": f"{count:,}",
            "width": f"{100 * count / most:.2f}",
        }
        for reason, count in sorted(counts.items(), key=lambda item: -item[1])
    ]


def skipped(found: Mapping[str, Any] | None) -> Page | None:
    """Return the table of what each reason kept out and would have earned, bps of notional.

    None for a run of before it was followed, and where nothing was passed over.
    """
    if not found or not found["reasons"]:
        return None
    return {
        "note": f"bps of notional after fees and slippage, each for a hold of "
        f"{found['hold_hours']} h",
        "rows": [
            {
                "name": row["reason"].replace("_", " ").capitalize(),
                "skipped": f"{row['skipped']:,}",
                "running": f"{row['running']:,}",
                "known": f"{row['known']:,}",
                "share_won": _share(row["share_won"]),
                "mean": _bps(row["mean"]),
                "earned": _bps(row["would_have_earned"]),
                "tone": tone(row["would_have_earned"] or 0, 5),
            }
            for row in found["reasons"]
        ],
    }


def bad_days(found: Mapping[str, Any] | None) -> Page | None:
    """Return the table of what each gap would have cost; None where nothing was held."""
    if not found:
        return None
    at = instant(datetime.fromisoformat(found["at"]))
    caps = [
        f"{name.removesuffix('USDT')} {_bps(rate)}{THIN}bps"
        for name, rate in found["rates"].items()
    ]
    unwind = percent(float(found["unwind"]), sign=False)
    gross = usdt(found["gross"], sign=False, places=0)
    return {
        "note": f"at the fullest hour, {at}: {gross} USDT short; three settlements at the cap "
        f"({', '.join(caps)}), then unwound at a loss of {unwind}",
        "rows": [
            {
                "name": percent(float(row["move"]), places=0),
                "result": usdt(row["result"]),
                "tone": tone(row["result"]),
                "left": _left(row),
            }
            for row in found["rows"]
        ],
    }


def _left(row: Mapping[str, str | None]) -> str:
    """Return how far prices may still go; a hedged account minds a rise alone, as a rule."""
    ways = [percent(float(move), places=0) for move in (row["up"], row["down"]) if move is not None]
    if row["up"] is not None and Decimal(row["up"]) == 0:
        return "liquidated"
    return " or ".join(ways) or "any distance"


def _bps(rate: str | None) -> str:
    return NONE if rate is None else usdt(Decimal(rate).scaleb(4), places=1)


def _share(share: str | None) -> str:
    return NONE if share is None else percent(float(share), places=0, sign=False)


def by_pair(record: Record) -> Page:
    """Return the table of every part by pair, with its sums."""
    names = [*PARTS, "net"]

    def cells(parts: Mapping[str, str]) -> list[Page]:
        return [
            {"value": usdt(parts[name]), "tone": tone(parts[name]) if name == "net" else "value"}
            for name in names
        ]

    return {
        "part_names": [*(label.split()[0] for label in PARTS.values()), "Net"],
        "by_pair": [
            {"name": name.removesuffix("USDT"), "cells": cells(parts)}
            for name, parts in record["by_pair"].items()
        ],
        "all_pairs": cells(record["parts"]),
        "dust": usdt(record["dust"]),
    }


def trades(record: Record, end: datetime) -> Page:
    """Return the table of all trades; each cell carries what it is sorted by."""
    open_ones = sum(t["closed_at"] is None for t in record["trades"])
    reasons = record["passed_over"]
    worst = max(reasons, key=lambda name: reasons[name]).replace("_", " ") if reasons else ""
    return {
        "trades": [_trade_row(t, end) for t in record["trades"]],
        "trades_note": f"{len(record['trades'])}, of which {open_ones} still open and marked; USDT",
        "no_trades": f"Most often: {worst}." if worst else "",
        "trade_columns": [
            ("Pair", "text"), ("Opened", ""), ("Closed", ""), ("Held", ""), ("Quantity", ""),
            ("Spot in", ""), ("Perp in", ""), ("Spot out", ""), ("Perp out", ""),
            ("Settled", ""), ("Funding", ""), ("Basis", ""), ("Fees", ""), ("Slippage", ""),
            ("Net", ""),
        ],
    }  # fmt: skip


def _trade_row(trade: Mapping[str, Any], end: datetime) -> list[Page]:
    opened = datetime.fromisoformat(trade["opened_at"])
    closed = None if trade["closed_at"] is None else datetime.fromisoformat(trade["closed_at"])
    held = (closed or end) - opened
    coin = trade["pair"].removesuffix("USDT")
    parts = trade["parts"]
    return [
        _cell(coin, coin, "text value"),
        _cell(instant(opened), opened.isoformat(), title=opened.isoformat()),
        _cell("open" if closed is None else instant(closed), trade["closed_at"] or "9999"),
        _cell(duration(held), str(held // timedelta(minutes=1))),
        _cell(f"{usdt_places(trade['quantity'])} {coin}", trade["quantity"]),
        *(_price(trade[name]) for name in ("spot_in", "perp_in", "spot_out", "perp_out")),
        _cell(str(trade["settlements"]), str(trade["settlements"])),
        *(
            _cell(usdt(parts[name]), parts[name], "value" if name == "funding" else "")
            for name in ("funding", "basis", "fees", "slippage")
        ),
        _cell(usdt(parts["net"]), parts["net"], tone(parts["net"])),
    ]


def usdt_places(amount: str) -> str:
    """Return a quantity with the places it was given."""
    return f"{Decimal(amount):,}"


def _price(text: str | None) -> Page:
    if text is None:
        return _cell(NONE, "")
    price = Decimal(text)
    places = 4 if price < 10 else 2
    return _cell(f"{price:,.{places}f}", text, title=text)


def _cell(value: str, key: str, tone: str = "", title: str = "") -> Page:
    return {"value": value, "key": key, "tone": tone, "title": title}
