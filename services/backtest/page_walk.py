"""What a page says of a walk-forward: the verdict with its checks, the folds, the heat-map."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table

from services.backtest.charts import Cell, Column, chart, shades
from services.backtest.page_run import cell, chance_text, check, honesty, months
from services.backtest.page_tables import Page
from services.backtest.record import Record
from services.backtest.text import THIN, day, number, percent, price_range, tone, usdt
from shared.analytics.validation import Check, Verdict

WORDS: Final = {
    Verdict.ROBUST: ("Robust", "tick"),
    Verdict.FRAGILE: ("Fragile", "warn"),
    Verdict.NOT_JUDGED: ("Not judged", "info"),
}
AXES: Final = ("span", "entry", "exit", "hold")
BPS: Final = 10_000
SAYS: Final = {
    Check.PROFIT_OUT_OF_SAMPLE: "Profit out of sample, low end",
    Check.FOLDS_PROFITABLE: "Folds that earned",
    Check.ONE_FOLD_SHARE: "Profit from its best fold",
    Check.COSTS_RAISED: "Profit survives costs +50" + THIN + "%",
    Check.NEIGHBOURS: "Worst neighbouring setting",
    Check.DEFLATED_SHARPE: "Deflated Sharpe",
    Check.OVERFITTING: "Choice falls behind and loses",
    Check.ROUND_TRIPS: "Round trips of the best setting",
}
ASSUMPTIONS: Final = (
    "Idle capital earns nothing here, and what cash would have earned is not taken off.",
    (
        "Every setting ran once over all days on the compiled engine; fills at the close, worsened "
        "by the stated slippage, taker fees on both legs."
    ),
    (
        "Each fold takes the setting with the best Sharpe ratio of its past weeks; what the "
        "longest hold could carry into the test, and one week more, is left out of training."
    ),
    (
        "Deflated Sharpe: the chance that the best ratio beats what luck picks out of as many "
        "trials: all ever made on the same span and symbols where a database keeps them, else "
        "those of this search. Settings that never trade count, but not towards the luck: that "
        "is the spread of the others' ratios."
    ),
    (
        "Chance of overfitting: how often the better half's best falls into the lower half "
        "(combinatorial cross-validation, 8 blocks of weeks), among the settings that trade."
    ),
    "Margin, liquidation and portfolio choice are the exact engine's and are not part of a sweep.",
    "The symbols are ones that survived; what was delisted is not in the history.",
)


def headline(record: Record) -> str:
    """Return the verdict in one line."""
    word = WORDS[Verdict(record["judgement"]["verdict"])][0]
    return (
        f"{word}: {usdt(record['net'])} USDT out of sample, {percent(record['annualized'])} a "
        f"year, {record['start']} to {record['end']}"
    )


def as_table(record: Record) -> RenderableType:
    """Return the checks and the folds for the terminal."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(style="dim")
    table.add_column(justify="right")
    for finding in record["judgement"]["findings"]:
        says, value = _check(finding, trials_text(record))
        table.add_row("holds" if finding["holds"] else "fails", says, value)
    table.add_section()
    for fold in record["folds"]:
        chosen = setting_text(record["sets"][fold["chosen"]])
        table.add_row(f"{fold['test'][0]}", chosen, usdt(fold["profit"]))
    return table


def walk_page(record: Record) -> Page:
    """Return the page's contents of a walk-forward without an exact run beside it."""
    judged, span = record["judgement"], _span(record)
    page: Page = {
        "title": "Carry, walk-forward",
        "span": span,
        "subtitle": f"{span}, {len(record['sets'])} settings, "
        f"{len(record['folds'])} folds, {usdt(record['deposit'], sign=False, places=0)} USDT. "
        "Times are UTC.",
        "notices": [],
        "strip": _strip(record, judged),
        **_curve(record),
        "months": months(record["daily"], Decimal(record["deposit"])),
        "waterfall": None,
        **honesty(record),
        "by_symbol": None,
        "passed_over": None,
        "bad_days": None,
        "skipped": None,
        "by_pair": None,
        "trades": None,
        "parameters": sorted((k.replace("_", " "), v) for k, v in record["parameters"].items()),
        "assumptions": ASSUMPTIONS,
    }
    join_walk(page, record)
    return page


def join_walk(page: Page, record: Record) -> None:
    """Give ``page`` the verdict, the folds and the heat-map of a stored walk-forward."""
    page["verdict"] = _verdict(record)
    page["folds"] = _folds(record)
    page["heat"] = _heat(record)


def _verdict(record: Record) -> Page:
    judged, trials = record["judgement"], trials_text(record)
    word, icon = WORDS[Verdict(judged["verdict"])]
    findings = judged["findings"]
    held = sum(f["holds"] for f in findings)
    use = {
        Verdict.ROBUST: "What cash earns is not taken off.",
        Verdict.FRAGILE: "Not used for sizing.",
        Verdict.NOT_JUDGED: "Needs four folds or more.",
    }[Verdict(judged["verdict"])]
    return {
        "state": judged["verdict"],
        "word": word,
        "icon": icon,
        "says": f"{held} of {len(findings)} checks hold for the searched rule, "
        f"{_span(record)}. {use}",
        "checks": [check(*_check(f, trials), f["holds"]) for f in findings],
    }


def _span(record: Record) -> str:
    start, end = (date.fromisoformat(record[name][:10]) for name in ("start", "end"))
    return f"{day(start)} to {day(end)}"


def trials_text(record: Record) -> str:
    """Return how many trials the Sharpe ratio was deflated by, and which they are."""
    judged, own = record["judgement"], len(record["sets"])
    if judged.get("trials_ever"):
        return f"{judged['trials']} trials ever made"
    return f"{judged.get('trials', own)} trials of this search"


def _check(finding: Mapping[str, Any], trials: str) -> tuple[str, str]:
    kind, value, limit = Check(finding["check"]), finding["value"], finding["limit"]
    says = SAYS[kind] + (f", {trials}" if kind is Check.DEFLATED_SHARPE else "")
    if value is None:
        return says, "cannot be told"
    if kind in (Check.PROFIT_OUT_OF_SAMPLE, Check.COSTS_RAISED, Check.NEIGHBOURS):
        return says, f"{usdt(str(value), places=0)} USDT"
    if kind is Check.ROUND_TRIPS:
        return says, f"{value:.0f}, at least {limit:.0f}"
    if kind is Check.DEFLATED_SHARPE:
        return says, f"{value:.3f}, at least {limit}"
    bound = "at most" if kind in (Check.ONE_FOLD_SHARE, Check.OVERFITTING) else "at least"
    return says, f"{value:.0%}, {bound} {limit:.0%}".replace("%", f"{THIN}%")


def _strip(record: Record, judged: Mapping[str, Any]) -> list[Page]:
    by_check = {f["check"]: f["value"] for f in judged["findings"]}
    best = record["sets"][judged["best"]]
    intervals = record["intervals"]
    deflated = by_check[Check.DEFLATED_SHARPE]
    loss = record["loss_probability"]
    return [
        cell(
            "Return a year, out of sample",
            percent(record["annualized"]),
            price_range(intervals.get("annualized"), lambda v: percent(v, unit=False)),
            tone(record["annualized"], 4),
        ),
        cell(
            "Net, out of sample",
            usdt(record["net"]),
            price_range(intervals.get("net"), lambda v: usdt(str(v), places=0)),
            tone(record["net"]),
        ),
        cell(
            "Deepest drawdown, by day",
            percent(-record["drawdown_max"]),
            price_range(intervals.get("drawdown_max"), lambda v: percent(-v, unit=False)),
            tone(-record["drawdown_max"], 4),
        ),
        cell(
            "Chance of loss",
            "not known" if loss is None else chance_text(loss),
            "block bootstrap of the days out of sample",
        ),
        cell(
            "Deflated Sharpe",
            "not known" if deflated is None else number(deflated, 3),
            f"{trials_text(record)}; best {setting_text(best)}",
        ),
        _overfit_cell(judged),
    ]


def _overfit_cell(judged: Mapping[str, Any]) -> Page:
    says = "Overfit chance"
    if judged["overfitting"] is None:
        return cell(says, "not known", "fewer than two settings traded")
    return cell(
        says,
        percent(judged["overfitting"], places=0, sign=False),
        f"loses out of sample in {chance_text(judged['loss_probability'])} of the splits",
    )


def setting_text(one: Mapping[str, Any]) -> str:
    """Return a setting in words: thresholds in bps of a rate per eight hours."""
    return (
        f"span {one['span']}, enter {_bps(one['entry'])}, leave {_bps(one['exit'])} bps, "
        f"hold {one['hold']}"
    )


def _bps(rate: str) -> str:
    value = (Decimal(rate) * BPS).normalize()
    return f"{value:f}".replace("-", "\N{MINUS SIGN}")


def _curve(record: Record) -> Page:
    daily, capital = record["daily"], Decimal(record["deposit"])
    equity, level = [], capital
    for net in daily["net"]:
        level += Decimal(net)
        equity.append(level)
    highest, depth = capital, []
    for value in equity:
        highest = max(highest, value)
        depth.append(round(float((value / highest - 1) * 100), 4))
    end = equity[-1] if equity else capital
    return {
        "curve": {
            "at": daily["days"],
            "equity": [float(v) for v in equity],
            "text": [usdt(v, sign=False) for v in equity],
            "funding": None,
            "drawdown": depth,
        },
        "curve_note": "USDT out of sample, all tests in a row",
        "curve_read": f"From {usdt(capital, sign=False)} to {usdt(end, sign=False)} USDT out of "
        f"sample; deepest drawdown {percent(-record['drawdown_max'])}, by day.",
    }


def _folds(record: Record) -> Page:
    columns, rows = [], []
    for fold in record["folds"]:
        start, end = (date.fromisoformat(text) for text in fold["test"])
        value = 100.0 * fold["annualized"]
        kind = tone(value) or "none"
        text = percent(fold["annualized"], unit=False)
        columns.append(Column(f"{start:%b %y}", text, f"to {end:%b %y}", kind, 0.0, value))
        rows.append(
            {
                "tested": f"{day(start)} to {day(end)}",
                "trained": day(date.fromisoformat(fold["train"][1])),
                "chosen": setting_text(record["sets"][fold["chosen"]]),
                "profit": usdt(fold["profit"]),
                "tone": tone(fold["profit"]),
            }
        )
    earned = sum(Decimal(f["profit"]) > 0 for f in record["folds"])
    return {
        "chart": chart(columns),
        "rows": rows,
        "label": f"{earned} of {len(rows)} folds earned out of sample.",
    }


def _heat(record: Record) -> Page:
    """Return annual percent by entry and exit, at the best setting's span and hold."""
    sets = record["sets"]
    best = sets[record["judgement"]["best"]]
    entries = sorted({s["entry"] for s in sets}, key=Decimal)
    exits = sorted({s["exit"] for s in sets}, key=Decimal, reverse=True)
    there = {
        (s["entry"], s["exit"]): s["annualized"]
        for s in sets
        if s["span"] == best["span"] and s["hold"] == best["hold"]
    }
    strength = iter(shades([there.get((i, o)) for o in exits for i in entries]))
    rows = []
    for out in exits:
        cells = []
        for entry in entries:
            value, shade = there.get((entry, out)), next(strength)
            if value is None:
                cells.append(Cell())
                continue
            ours = (entry, out) == (best["entry"], best["exit"])
            text = percent(value, places=1, sign=False, unit=False)
            cells.append(Cell(text, shade, "gain" if value >= 0 else "loss", ours))
        rows.append({"name": _bps(out), "cells": cells})
    return {
        "rows": rows,
        "columns": [_bps(entry) for entry in entries],
        "note": f"% a year over all days; outlined: the best, span {best['span']}, "
        f"hold {best['hold']}",
        "axes": "Down: leave below. Across: enter above. Smoothed rate, bps per 8 h.",
        "label": "Annual return by entry and exit threshold.",
    }
