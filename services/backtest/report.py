"""One self-contained HTML page of a stored run: it opens from disk and asks nothing of any host."""

import base64
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import jinja2
import plotly.offline
from markupsafe import Markup

from services.backtest.cash import join_cash
from services.backtest.page_run import run_page
from services.backtest.page_walk import join_walk, walk_page
from services.backtest.record import RUN, Record

HERE: Final = Path(__file__).parent


def write_stored(path: Path, record: Record, cash: Decimal | None = None) -> None:
    """Write the page of ``record`` to ``path``, and the document itself beside it (.json)."""
    write_page(path, record, cash=cash)
    path.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")


def write_page(
    path: Path, record: Record, walk: Record | None = None, *, cash: Decimal | None = None
) -> None:
    """Write the page of ``record`` to ``path``, making its folder; an older page is replaced.

    ``walk``, a stored walk-forward, gives the page of a run its verdict, folds and heat-map.
    ``cash`` is what capital earns a year lying still, a fraction, to compare with.
    """
    if record["format"] == RUN:
        page = run_page(record)
        if walk is not None:
            join_walk(page, walk)
    else:
        page = walk_page(record)
    page["cash"] = None
    if cash is not None:
        join_cash(page, record, cash)
    page["id"] = f"run {record['id']}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_rendered(page), encoding="utf-8")


def _rendered(page: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    data = json.dumps({"curve": page["curve"]}, separators=(",", ":")).replace("</", "<\\/")
    return environment.get_template("report.html.j2").render(
        page=page, data=_trusted(data), plotly=_trusted(_packed_plotly())
    )


def _packed_plotly() -> str:
    """Return plotly's script, gzip in base64: 2.0 MB in place of 4.8; the browser unpacks it."""
    script = plotly.offline.get_plotlyjs().encode("utf-8")
    return base64.b64encode(gzip.compress(script, 9, mtime=0)).decode("ascii")


def _trusted(script: str) -> Markup:
    """Return text of our own making, to stand in the page as it is."""
    return Markup(script)  # noqa: S704
