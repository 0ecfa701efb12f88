"""A run as one JSON document: what the terminal, the page, a comparison and the database read.

Money is decimal text, instants are ISO in UTC, days are dates. The page can be made again from it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.backtest.daily import daily_of
from services.backtest.honesty import Assumption, flattering, not_assumed, priced_in
from services.backtest.skipped import skipped_table
from services.backtest.stress import bad_days
from services.backtest.summary import Summary, as_json
from services.backtest.text import duration
from services.backtest.trades import Breakdown, Trade, break_down
from shared.analytics.headline import headline_intervals, loss_probability
from shared.analytics.returns import drawdown
from shared.config.policy import PolicySet
from shared.domain.errors import Misconfigured
from shared.domain.money import plain
from shared.domain.profit import PARTS, Parts
from shared.history.records import History
from shared.history.rules import ProductRules

RUN: Final = "carry.run.v1"
WALK: Final = "carry.walk.v1"
POINTS_MAX: Final = 1_200
ID_DIGITS: Final = 12
CENT: Final = Decimal("0.01")

Record = dict[str, Any]


def run_record(
    summary: Summary,
    history: History,
    products: tuple[ProductRules, ...],
    policy: PolicySet,
    given: Mapping[str, str],
) -> Record:
    """Return the document of one run; ``given`` are its parameters as the user wrote them."""
    result = summary.result
    found = break_down(result, history, products)
    daily = daily_of(result, found)
    flatters = flattering(found, history)
    capital = float(result.deposit)
    record = {
        "format": RUN,
        **as_json(summary),
        "parameters": {**given, **_policy(policy)},
        "parts": _parts(found.parts),
        "unexplained": plain(found.unexplained),
        "dust": plain(found.dust),
        "intervals": {
            name: asdict(interval)
            for name, interval in headline_intervals(
                daily.floats("net"), {n: daily.floats(n) for n in daily.parts}, capital
            ).items()
        },
        "loss_probability": loss_probability(daily.floats("net")),
        "daily": daily.as_json(),
        "curve": _curve(summary),
        "by_pair": {name: _parts(parts) for name, parts in found.by_pair().items()},
        "trades": [_trade(t) for t in found.trades],
        "time_in_market": _time_in_market(found, result.curve[0].at, result.curve[-1].at),
        "flattering": [as_stored(a) for a in flatters],
        "not_assumed": [as_stored(a) for a in not_assumed(found)],
        "priced_in": plain(priced_in(result.net, flatters)),
        "bad_days": bad_days(result.fullest, products, policy.carry),
        "skipped": skipped_table(result.skips, history, policy.carry.hold),
    }
    return with_id(record)


def with_id(record: Record) -> Record:
    """Return ``record`` with an id that follows from its content, wall time aside."""
    lasting = {name: value for name, value in record.items() if name != "seconds"}
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()
    return {**record, "id": digest[:ID_DIGITS]}


def read_record(path: Path) -> Record:
    """Return the document at ``path``; raises Misconfigured when it is none of ours."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise Misconfigured(f"{path} is no JSON: {error}.") from error
    return checked(record, str(path))


def checked(record: Any, name: str) -> Record:
    """Return ``record`` if it is a document of ours; raises Misconfigured naming it."""
    known = record.get("format") if isinstance(record, dict) else None
    if known not in (RUN, WALK):
        raise Misconfigured(
            f"{name} is no stored run: write one with carry backtest run --json or walk-forward "
            "--json."
        )
    kept: Record = record
    return kept


@contextmanager
def complete(name: str) -> Iterator[None]:
    """Say that a stored run is of another version where it lacks what is read of it."""
    try:
        yield
    except KeyError as error:
        raise Misconfigured(
            f"{name} lacks {error}: another version wrote it; make the run again."
        ) from error


def _policy(policy: PolicySet) -> dict[str, str]:
    return {
        f.name: _text(getattr(policy.carry, f.name))
        for f in fields(policy.carry)
    }  # fmt: skip


def _text(value: object) -> str:
    if isinstance(value, timedelta):
        return duration(value)
    return plain(value) if isinstance(value, Decimal) else str(value)


def _parts(parts: Parts) -> dict[str, str]:
    return {name: plain(getattr(parts, name)) for name in (*PARTS, "net")}


def _trade(trade: Trade) -> Record:
    return {
        "pair": trade.pair,
        "opened_at": trade.opened_at.isoformat(),
        "closed_at": trade.closed_at and trade.closed_at.isoformat(),
        "quantity": plain(trade.quantity),
        "notional": plain(trade.notional.quantize(CENT)),
        **{
            name: None if price is None else plain(price)
            for name, price in (
                ("spot_in", trade.spot_in), ("perp_in", trade.perp_in),
                ("spot_out", trade.spot_out), ("perp_out", trade.perp_out),
            )
        },
        "settlements": trade.settlements,
        "parts": _parts(trade.parts),
    }  # fmt: skip


def as_stored(a: Assumption) -> Record:
    """Return one assumption with its price as text."""
    effect = None if a.effect is None else plain(a.effect)
    return {"key": a.key, "says": a.says, "instead": a.instead, "effect": effect}


def _curve(summary: Summary) -> Record:
    """Return the equity by hour, thinned: of each stretch its lowest point and its last."""
    curve = summary.result.curve
    equity = np.array([float(p.equity) for p in curve], dtype=np.float64)
    depth = drawdown(equity)
    kept = []
    for stretch in np.array_split(np.arange(len(curve)), min(len(curve), POINTS_MAX)):
        kept += sorted({int(stretch[np.argmax(depth[stretch])]), int(stretch[-1])})
    return {
        "at": [curve[i].at.strftime("%Y-%m-%d %H:%M") for i in kept],
        "equity": [str(curve[i].equity.quantize(CENT)) for i in kept],
        "funding": [str(curve[i].funding.quantize(CENT)) for i in kept],
        "drawdown": [round(float(depth[i]), 6) for i in kept],
    }


def _time_in_market(found: Breakdown, start: datetime, end: datetime) -> float:
    """Return the share of the span in which at least one pair was held, in [0, 1]."""
    spans = sorted((t.opened_at, t.closed_at or end) for t in found.trades)
    held, until = 0.0, start
    for opened, closed in spans:
        begin = max(opened, until)
        if closed > begin:
            held += (closed - begin).total_seconds()
            until = closed
    whole = (end - start).total_seconds()
    return held / whole if whole else 0.0
