"""A run in figures: for the terminal, for JSON, for the report."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from services.backtest.engine import RunResult
from services.backtest.text import percent, usdt
from shared.analytics.returns import Returns, returns_of
from shared.domain.money import plain


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one run; amounts in USDT, fees positive when paid."""

    result: RunResult
    returns: Returns
    seconds: float

    @property
    def last(self) -> tuple[Decimal, Decimal, Decimal]:
        """Funding, fees and basis at the end."""
        point = self.result.curve[-1]
        return point.funding, point.fees, point.basis


def summarize(result: RunResult, seconds: float) -> Summary:
    """Return the figures of a run that has at least one instant; ``seconds`` is its wall time."""
    at = np.array([int(p.at.timestamp() * 1000) for p in result.curve], dtype=np.int64)
    equity = np.array([float(p.equity) for p in result.curve], dtype=np.float64)
    return Summary(result, returns_of(at, equity), seconds)


def as_json(summary: Summary) -> dict[str, Any]:
    """Return the figures with money as plain decimal strings."""
    result, returns = summary.result, summary.returns
    funding, fees, basis = summary.last
    return {
        "start": result.start.isoformat(),
        "end": result.end.isoformat(),
        "deposit": plain(result.deposit),
        "net": plain(result.net),
        "funding": plain(funding),
        "fees": plain(-fees),
        "basis": plain(basis),
        "return_on_capital": returns.total,
        "annualized": returns.annualized,
        "drawdown_max": returns.drawdown_max,
        "sharpe": returns.sharpe,
        "days": returns.days,
        "pairs_opened": result.opened,
        "pairs_closed": result.closed,
        "held_at_end": {name: plain(q) for name, q in result.held_at_end.items()},
        "settlements": result.settlements,
        "fills": len(result.fills),
        "passed_over": result.passed_over,
        "refused": result.refused,
        "gaps": result.gaps,
        "unpaid": result.unpaid,
        "delisted": {name: at.isoformat() for name, at in result.delisted},
        "liquidations": [
            {
                "at": one.at.isoformat(),
                "fills": len(one.fills),
                "before": plain(one.before),
                "after": plain(one.after),
            }
            for one in result.liquidations
        ],
        "ended_by_liquidation": result.ended_by_liquidation,
        "seconds": round(summary.seconds, 2),
    }


def as_table(summary: Summary) -> RenderableType:
    """Return the figures for the terminal."""
    result, returns = summary.result, summary.returns
    funding, fees, basis = summary.last
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(style="dim")
    sharpe = "–" if returns.sharpe is None else f"{returns.sharpe:.2f}"
    rows = [
        ("Net", usdt(result.net), f"on {usdt(result.deposit, sign=False)} USDT, open pairs marked"),
        ("Funding", usdt(funding), f"{result.settlements} settlements"),
        ("Fees", usdt(-fees), f"{len(result.fills)} fills"),
        ("Basis", usdt(basis), "spot and perpetual prices against each other"),
        ("Return", percent(returns.total), f"{percent(returns.annualized)} a year on all capital"),
        ("Drawdown", percent(-returns.drawdown_max), "the deepest, hourly"),
        ("Sharpe", sharpe, f"from {returns.days} daily returns"),
        ("Opened", str(result.opened), f"{result.closed} closed, {len(result.held_at_end)} held"),
    ]
    if result.refused:
        often = sorted(result.refused.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in often)
        rows.append(("Refused", f"{sum(result.refused.values()):,}", f"orders, by: {reasons}"))
    if result.gaps:
        rows.append(("Gaps", str(result.gaps), f"rows missing; {result.unpaid} payments unknown"))
    for name, at in result.delisted:
        rows.append(("Delisted", name, f"closed at its last prices, {at:%Y-%m-%d %H:%M}"))
    for one in result.liquidations:
        ends = "; the run ends there" if result.ended_by_liquidation else ""
        cost = usdt(one.after - one.before)
        rows.append(("Liquidated", cost, f"{one.at:%Y-%m-%d %H:%M}{ends}"))
    for row in rows:
        table.add_row(*row)
    return table
