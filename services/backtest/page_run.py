"""What the page of one exact run says, made from its stored document."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from services.backtest import page_tables as tables
from services.backtest.charts import waterfall
from services.backtest.page_tables import PARTS, Page
from services.backtest.record import Record
from services.backtest.text import (
    NONE,
    THIN,
    day,
    instant,
    number,
    percent,
    price_range,
    tone,
    usdt,
)

ASSUMPTIONS: Final = (
    "Idle capital earns nothing here, and what cash would have earned is not taken off.",
    (
        "Books stand round each hour's close with the stated half spread; what a fill loses "
        "against that close is slippage."
    ),
    "Funding is paid at each settlement on the size held then, at the mark of the hour that ends.",
    "Fees taken in coin are valued at the price of their fill.",
    (
        "Ranges are block bootstraps of the run's days in blocks of 14; they know nothing that the "
        "span did not see."
    ),
    "Drawdown is by hour, from closes; what happened inside an hour is not seen.",
    "A pair that was passed over and opened within its would-be hold counts as skipped as well.",
    "Open pairs are marked at the end: spot at its mid, perpetual at its mark.",
    (
        "Prices of assumptions are reckoned on the same trades; other costs would have made other "
        "decisions."
    ),
)
COSTS_RAISED: Final = Decimal("0.5")
HALF_YEAR_SHARE_MAX: Final = 0.7
LOSS_CHANCE_MAX: Final = 0.05


def run_page(record: Record) -> Page:
    """Return the page's contents; nothing in it is computed in the browser but sums of cents."""
    start, end = (datetime.fromisoformat(record[name]) for name in ("start", "end"))
    symbols = sorted(record["by_pair"]) or ["no pair"]
    names = ", ".join(s.removesuffix("USDT") for s in symbols)
    return {
        "title": "Carry, exact run",
        "span": f"{day(start)} to {day(end)}",
        "subtitle": f"{day(start)} to {day(end)}, {usdt(record['deposit'], sign=False, places=0)} "
        f"USDT, {names}. Times are UTC.",
        "notices": _notices(record),
        "verdict": _verdict(record),
        "strip": _strip(record),
        **_curve(record),
        "months": months(record["daily"], Decimal(record["deposit"])),
        "folds": None,
        "heat": None,
        **_waterfall(record),
        **honesty(record),
        "by_symbol": tables.by_symbol(record["by_pair"]),
        "passed_over": tables.passed_over(record["passed_over"]),
        "bad_days": tables.bad_days(record.get("bad_days")),
        "skipped": tables.skipped(record.get("skipped")),
        **tables.by_pair(record),
        **tables.trades(record, end),
        "parameters": sorted((k.replace("_", " "), v) for k, v in record["parameters"].items()),
        "assumptions": ASSUMPTIONS,
    }


def _notices(record: Record) -> list[Page]:
    """Return what a reader must know before any figure: liquidations, delistings, gaps."""
    found = []
    for one in record["liquidations"]:
        cost = usdt(Decimal(one["after"]) - Decimal(one["before"]))
        ends = " The run ends there." if record["ended_by_liquidation"] else ""
        at = instant(datetime.fromisoformat(one["at"]))
        says = f"Liquidated {at}: {cost} USDT, {one['fills']} fills by the venue.{ends}"
        found.append({"kind": "crit", "says": says})
    for name, at in record["delisted"].items():
        when = instant(datetime.fromisoformat(at))
        says = f"{name} was delisted while held: closed at its last prices, {when}."
        found.append({"kind": "warn", "says": says})
    if record["gaps"]:
        says = (
            f"{record['gaps']} hours or settlements are missing in the history and were allowed; "
            f"payments not known: {record['unpaid']}."
        )
        found.append({"kind": "warn", "says": says})
    return found


def _verdict(record: Record) -> Page:
    """Return what one run alone can be held against; a verdict needs folds."""
    parts = record["parts"]
    costs = -(Decimal(parts["fees"]) + Decimal(parts["slippage"]))
    raised = Decimal(record["net"]) - COSTS_RAISED * costs
    share = largest_half_year(record["daily"])
    chance = record["loss_probability"]
    checks = [
        check("Profit survives costs +50" + THIN + "%", usdt(raised) + " USDT", raised > 0),
        check(
            "Chance of loss, block bootstrap",
            "not known: too few days" if chance is None else chance_text(chance),
            None if chance is None else chance <= LOSS_CHANCE_MAX,
        ),
        check(
            "Profit from its best half-year",
            NONE if share is None else f"{share:.0%}".replace("%", f"{THIN}%"),
            None if share is None else share <= HALF_YEAR_SHARE_MAX,
        ),
        check("One setting, not searched", "no folds, no deflation", None),
    ]
    held = sum(c["state"] == "tick" for c in checks)
    return {
        "state": "not_judged",
        "word": "Not judged",
        "icon": "info",
        "says": f"{held} of 3 checks of one run hold. A verdict needs folds: "
        "carry backtest walk-forward.",
        "checks": checks,
    }


def check(says: str, value: str, holds: bool | None) -> Page:
    """Return one line of the verdict: a tick, a triangle, or a mere remark."""
    state = "info" if holds is None else "tick" if holds else "warn"
    return {"says": says, "value": value, "state": state}


def chance_text(chance: float) -> str:
    """Return a probability; what 2,000 draws never showed is under 0.1 %."""
    return f"under 0.1{THIN}%" if chance < 0.001 else percent(chance, places=1, sign=False)


def largest_half_year(daily: Mapping[str, Sequence[str]]) -> float | None:
    """Return the best half of a calendar year's share of all profit; None without a profit."""
    halves: dict[tuple[int, bool], float] = {}
    for text, net in zip(daily["days"], daily["net"], strict=True):
        at = date.fromisoformat(text)
        half = (at.year, at.month > 6)
        halves[half] = halves.get(half, 0.0) + float(net)
    total = sum(halves.values())
    return max(halves.values()) / total if total > 0.0 else None


def _strip(record: Record) -> list[Page]:
    intervals, parts = record["intervals"], record["parts"]
    sharpe = record["sharpe"]
    deepest = record["drawdown_max"]
    costs = Decimal(parts["fees"]) + Decimal(parts["slippage"])
    return [
        cell(
            "Return a year, all capital",
            percent(record["annualized"]),
            price_range(intervals.get("annualized"), lambda v: percent(v, unit=False)),
            tone(record["annualized"], 4),
        ),
        cell(
            "Net",
            usdt(record["net"]),
            price_range(intervals.get("net"), lambda v: usdt(str(v), places=0)),
            tone(record["net"]),
        ),
        cell(
            "Deepest drawdown",
            percent(-deepest),
            "by day, "
            + price_range(intervals.get("drawdown_max"), lambda v: percent(-v, unit=False)),
            tone(-deepest, 4),
        ),
        cell(
            "Funding",
            usdt(parts["funding"]),
            price_range(intervals.get("funding"), lambda v: usdt(str(v), places=0)),
        ),
        cell(
            "Fees and slippage",
            usdt(costs),
            f"{record['fills']} fills; basis {usdt(parts['basis'])}",
        ),
        cell(
            "Sharpe ratio a year",
            NONE if sharpe is None else number(sharpe),
            price_range(intervals.get("sharpe"), number),
        ),
    ]


def cell(label: str, value: str, note: str, tone: str = "") -> Page:
    """Return one headline figure."""
    return {"label": label, "value": value, "note": note, "tone": tone}


def _curve(record: Record) -> Page:
    curve = record["curve"]
    deposit = Decimal(record["deposit"])
    share = percent(record["time_in_market"], places=0, sign=False)
    return {
        "curve": {
            "at": curve["at"],
            "equity": [float(v) for v in curve["equity"]],
            "text": [usdt(v, sign=False) for v in curve["equity"]],
            "funding": [float(deposit + Decimal(v)) for v in curve["funding"]],
            "drawdown": [round(-100.0 * v, 4) for v in curve["drawdown"]],
        },
        "curve_note": "USDT, and % of the highest equity before",
        "curve_read": f"From {usdt(deposit, sign=False)} to "
        f"{usdt(deposit + Decimal(record['net']), sign=False)} USDT; in the market {share} of the "
        f"time; deepest drawdown {percent(-record['drawdown_max'])}.",
    }


def months(daily: Mapping[str, Sequence[str]], capital: Decimal) -> list[Page]:
    """Return what each month brought and the equity at its end."""
    by_month: dict[str, Decimal] = {}
    for text, net in zip(daily["days"], daily["net"], strict=True):
        name = f"{date.fromisoformat(text):%b %Y}"
        by_month[name] = by_month.get(name, Decimal(0)) + Decimal(net)
    rows, equity = [], capital
    for name, profit in by_month.items():
        equity += profit
        rows.append(
            {
                "name": name,
                "profit": usdt(profit),
                "tone": tone(profit),
                "equity": usdt(equity, sign=False),
            }
        )
    return rows


def _waterfall(record: Record) -> Page:
    parts = {name: Decimal(record["parts"][name]) for name in PARTS}
    net, unexplained = Decimal(record["net"]), Decimal(record["unexplained"])
    gross = parts["funding"]
    columns = [
        (label, parts[name], usdt(parts[name]), _share(parts[name], gross))
        for name, label in PARTS.items()
    ]
    intervals = record["intervals"]

    def range_of(name: str) -> str:
        return price_range(intervals.get(name), lambda v: usdt(str(v))) if parts[name] else NONE

    says = "Parts add up" if not unexplained else f"Parts differ by {usdt(unexplained)}"
    return {
        "waterfall": waterfall(columns, ("Net", net, usdt(net), _share(net, gross))),
        "waterfall_label": f"Funding {usdt(gross)} less costs leaves {usdt(net)} USDT.",
        "adds_up": not unexplained,
        "adds_up_says": says,
        "parts": [
            {"label": label, "value": usdt(parts[name]), "range": range_of(name)}
            for name, label in PARTS.items()
        ],
    }


def _share(part: Decimal, gross: Decimal) -> str:
    return percent(float(part / gross), places=1, sign=False) if gross else NONE


def honesty(record: Record) -> Page:
    """Return the panel of flattering assumptions with their prices."""
    items = [
        {
            "key": a["key"],
            "says": a["says"],
            "instead": a["instead"],
            "priced": a["effect"] is not None,
            "value": "not priced" if a["effect"] is None else usdt(a["effect"]),
            "cents": 0 if a["effect"] is None else _cents(a["effect"]),
        }
        for a in record["flattering"]
    ]
    net = Decimal(record["net"])
    priced = _cents(record["net"]) + sum(int(i["cents"]) for i in items)
    return {
        "flattering": items,
        "net": usdt(net),
        "net_cents": _cents(record["net"]),
        "priced_in": usdt(Decimal(priced).scaleb(-2)),
        "not_assumed": [
            {
                "says": a["says"],
                "value": f"{usdt(a['effect'])} → {usdt(net + Decimal(a['effect']))}",
            }
            for a in record["not_assumed"]
        ],
    }


def _cents(amount: str) -> int:
    return int(Decimal(amount).quantize(Decimal("0.01")).scaleb(2))
