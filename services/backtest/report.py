"""One self-contained HTML page: it opens from disk and asks nothing of any other host."""

import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import plotly.offline
from markupsafe import Markup

from services.backtest.engine import RunResult
from services.backtest.summary import Summary, percent, usdt
from shared.analytics.returns import drawdown
from shared.domain.money import plain

ASSUMPTIONS = (
    "Books stand round each hour's close with a constant spread. Real ones widen under stress.",
    "Orders fill in the minute of the decision, against depth that was not observed.",
    "Fees are those of a non-VIP account throughout. A VIP account pays less.",
    "No liquidation, auto-deleveraging, outage or delisting is modelled in this version.",
    "The five symbols are ones that survived; what was delisted is not in the sample.",
    "Open pairs are marked at the end, not closed: closing them would cost a round trip's exit.",
)
POINTS_MAX = 3000


def write_report(summary: Summary, path: Path) -> None:
    """Write the page to ``path``, making its folder; an older page there is replaced."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined
    )
    result = summary.result
    page = environment.get_template("report.html.j2").render(
        headline=_headline(summary),
        span=f"{result.start:%d %b %Y} to {result.end:%d %b %Y}",
        strip=_strip(summary),
        targets=[(f"{at:%Y-%m-%d %H:%M}", pair, plain(q)) for pair, q, at in result.targets],
        passed_over=sorted(result.passed_over.items(), key=lambda item: -item[1]),
        assumptions=ASSUMPTIONS,
        plotly_js=_trusted(plotly.offline.get_plotlyjs()),
        figures=_trusted(json.dumps(_figures(result)).replace("</", "<\\/")),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _trusted(script: str) -> Markup:
    """Return script text of our own making, to stand in the page as it is."""
    return Markup(script)  # noqa: S704


def _headline(summary: Summary) -> str:
    net, returns = summary.result.net, summary.returns
    verb = "earned" if net >= 0 else "lost"
    year = percent(returns.annualized)
    return f"It {verb} {usdt(abs(net), sign=False)} USDT, {year} a year on all capital"


def _strip(summary: Summary) -> list[tuple[str, str, str]]:
    funding, fees, basis = summary.last
    result, returns = summary.result, summary.returns
    sharpe = "–" if returns.sharpe is None else f"{returns.sharpe:.2f}"
    return [
        ("Net", usdt(result.net), "USDT, open pairs marked"),
        ("Funding", usdt(funding), f"{result.settlements} settlements"),
        ("Fees", usdt(-fees), f"{len(result.fills)} fills"),
        ("Basis", usdt(basis), "USDT"),
        ("Deepest drawdown", percent(-returns.drawdown_max), "hourly"),
        ("Sharpe", sharpe, f"{returns.days} daily returns"),
        ("Pairs", str(result.opened), f"{result.closed} closed"),
    ]


def _figures(result: RunResult) -> dict[str, Any]:
    step = max(1, len(result.curve) // POINTS_MAX)
    points = [*result.curve[::step], result.curve[-1]]
    at = [p.at.strftime("%Y-%m-%d %H:%M") for p in points]
    equity = np.array([float(p.equity) for p in points], dtype=np.float64)
    net = [float(p.equity - result.deposit) for p in points]
    funding = [float(p.funding) for p in points]
    last = result.curve[-1]
    parts = [float(last.funding), float(-last.fees), float(last.basis), 0.0]
    by_pair = sorted(result.funding_by_pair.items(), key=lambda item: -item[1])
    return {
        "equity": {
            "height": 300,
            "legend": True,
            "data": [
                _line(at, net, "Net", "--text"),
                {**_line(at, funding, "Funding only", "--gain"), "line": {
                    "color": "--gain", "width": 1.5, "dash": "dash"}},
            ],
        },
        "drawdown": {
            "height": 160,
            "legend": False,
            "data": [
                {
                    **_line(at, (-100.0 * drawdown(equity)).tolist(), "Drawdown", "--loss"),
                    "fill": "tozeroy",
                }
            ],
        },
        "waterfall": {
            "height": 240,
            "legend": False,
            "data": [
                {
                    "type": "waterfall",
                    "x": ["Funding", "Fees", "Basis", "Net"],
                    "y": parts,
                    "measure": ["relative", "relative", "relative", "total"],
                    "increasing": {"marker": {"color": "--gain"}},
                    "decreasing": {"marker": {"color": "--loss"}},
                    "totals": {"marker": {"color": "--text-2"}},
                    "connector": {"line": {"color": "--line"}},
                }
            ],
        },
        "pairs": {
            "height": 220,
            "legend": False,
            "data": [
                {
                    "type": "bar",
                    "x": [name for name, _ in by_pair],
                    "y": [float(amount) for _, amount in by_pair],
                    "marker": {"color": "--gain"},
                }
            ],
        },
    }  # fmt: skip


def _line(at: list[str], values: list[float], name: str, color: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": at,
        "y": values,
        "line": {"color": color, "width": 1.5},
    }
