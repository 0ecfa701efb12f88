"""A walk-forward as one JSON document, beside that of a run."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.backtest.honesty import priced_in
from services.backtest.record import WALK, Record, as_stored, with_id
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.terms import Grid, Terms
from services.backtest.walk import PERIOD_DAYS, Walk
from services.backtest.walk_honesty import flattering, not_assumed
from shared.analytics.headline import headline_intervals, loss_probability
from shared.analytics.returns import DAYS_PER_YEAR, drawdown
from shared.analytics.sharpe import sharpe_ratios
from shared.analytics.validation import FoldResult
from shared.domain.money import plain

EIGHT_PLACES: Final = Decimal("1e-8")

Floats = NDArray[np.float64]


def walk_record(
    done: Walk, market: SweepMarket, grid: Grid, given: Mapping[str, str], seconds: float
) -> Record:
    """Return the document; ``daily`` and the headline figures are those out of sample.

    ``given`` are the parameters as the user wrote them, ``seconds`` the wall time it took.
    """
    capital = done.terms.all_capital
    days, profits = _out_of_sample(done)
    equity = float(capital) + np.cumsum(profits)
    net = Decimal(_money(float(profits.sum())))
    flatters = flattering(done, market)
    judged = done.judgement
    return with_id(
        {
            "format": WALK,
            "start": _day(done.result.days[0]),
            "end": _day(done.result.days[-1], after=1),
            "deposit": plain(capital),
            "net": plain(net),
            "annualized": _annual(float(profits.sum()) / float(capital), len(days)),
            "drawdown_max": float(np.max(drawdown(np.append(float(capital), equity)))),
            "intervals": {
                name: asdict(interval)
                for name, interval in headline_intervals(profits, {}, float(capital)).items()
            },
            "loss_probability": loss_probability(profits),
            "parameters": {
                **given,
                **grid_text(grid),
                **terms_text(done.terms, len(done.judgement.folds)),
            },
            "judgement": {
                "verdict": judged.verdict.value,
                "best": judged.best,
                "sharpe": judged.sharpe,
                "overfitting": judged.overfitting,
                "loss_probability": judged.loss_probability,
                "profit": None if judged.profit is None else asdict(judged.profit),
                "findings": [{**asdict(f), "check": f.check.value} for f in judged.findings],
                "reasons": [check.value for check in judged.reasons],
                "trials": judged.trials,
                "trials_ever": judged.counted_ever,
            },
            "folds": [_fold(done, fold) for fold in judged.folds],
            "sets": _sets(done),
            "daily": {"days": days, "net": [_money(float(p)) for p in profits]},
            "flattering": [as_stored(a) for a in flatters],
            "not_assumed": [as_stored(a) for a in not_assumed(done, market)],
            "priced_in": plain(priced_in(net, flatters)),
            "seconds": round(seconds, 2),
        }
    )


def _out_of_sample(done: Walk) -> tuple[list[str], Floats]:
    """Return the days of all tests in a row and what the chosen settings gained, (days,) USDT."""
    offset = len(done.result.days) - len(done.profits) * PERIOD_DAYS
    capital = float(done.terms.all_capital)
    days: list[str] = []
    profits = []
    for fold in done.judgement.folds:
        span = slice(*(offset + PERIOD_DAYS * i for i in fold.fold.test))
        days += [_day(at) for at in done.result.days[span]]
        profits.append(done.result.daily_returns[fold.chosen, span] * capital)
    return days, np.concatenate(profits)


def _fold(done: Walk, fold: FoldResult) -> Record:
    periods = fold.fold.test[1] - fold.fold.test[0]
    share = fold.profit / float(done.terms.all_capital)
    return {
        "train": [_period(done, fold.fold.train[0]), _period(done, fold.fold.train[1])],
        "test": [_period(done, fold.fold.test[0]), _period(done, fold.fold.test[1])],
        "chosen": fold.chosen,
        "sharpe_in_sample": fold.trained,
        "profit": _money(fold.profit),
        "annualized": _annual(share, periods * PERIOD_DAYS),
    }


def _sets(done: Walk) -> list[dict[str, Any]]:
    capital, days = float(done.terms.all_capital), len(done.result.days)
    ratios = sharpe_ratios(done.profits)
    return [
        {
            **done.result.row(i),
            "annualized": _annual(float(done.result.money_at(i, "net")) / capital, days),
            "sharpe": float(ratios[i]),
        }
        for i in range(len(done.sets))
    ]


def grid_text(grid: Grid) -> dict[str, str]:
    """Return the lists of a grid as text."""
    axes = {"spans": grid.spans, "entries": grid.entries, "exits": grid.exits, "holds": grid.holds}
    return {
        name: " ".join(plain(v) if isinstance(v, Decimal) else str(v) for v in values)
        for name, values in axes.items()
    }


def terms_text(terms: Terms, folds: int) -> dict[str, str]:
    """Return what all settings have in common, and how many tests there are, as text."""
    names = ("notional", "spot_fee", "perp_fee", "slippage")
    return {name: plain(getattr(terms, name)) for name in names} | {
        "cap": str(terms.cap),
        "folds": str(folds),
    }


def _annual(share: float, days: int) -> float:
    return float(max(1.0 + share, 0.0) ** (DAYS_PER_YEAR / days) - 1.0)


def _money(amount: float) -> str:
    return plain(Decimal(repr(amount)).quantize(EIGHT_PLACES))


def _period(done: Walk, index: int) -> str:
    if index < len(done.starts_ms):
        return _day(done.starts_ms[index])
    return _day(done.result.days[-1], after=1)


def _day(at_ms: int, after: int = 0) -> str:
    return (datetime.fromtimestamp(at_ms // 1000, UTC) + timedelta(days=after)).date().isoformat()
