"""What a run passed over and would have earned, by reason (F:A8), as the dashboard tells it."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pandas as pd

from services.backtest.result import Skip
from services.backtest.timeline import QUOTES_AFTER
from shared.analytics.counterfactual import by_reason, episodes, followed
from shared.analytics.quantise import quantised_or_none
from shared.domain.money import plain
from shared.history.records import HOUR_MS, History

SEEN_MS: Final = QUOTES_AFTER // timedelta(milliseconds=1)
"""A bar's closes are looked at so long after the hour."""


def skipped_table(skips: Sequence[Skip], history: History, hold: timedelta) -> dict[str, Any]:
    """Return by reason the would-be holds of ``hold`` and what they would have earned.

    Fractions of notional as decimal text, None where no hold has a result; the most expensive
    reason comes first. ``running`` holds reach beyond the history; those neither running nor
    ``known`` lack a cost, a price or a settlement.
    """
    hours = int(hold.total_seconds()) // 3600
    frame = pd.DataFrame(
        [(s.pair, s.reason, s.at_ms, hours, s.cost) for s in skips],
        columns=["symbol", "reason", "at_ms", "hold_hours", "cost"],
    )
    if frame.empty:
        return {"hold_hours": hours, "reasons": []}
    parts = history.symbols.values()
    known_until = max(part.bars[-1].at_ms for part in parts if part.bars) + SEEN_MS
    follows = followed(
        episodes(frame), _settlements(history), _levels(history), known_until, _ends(history)
    )
    running = Counter(follows["reason"][~follows["is_over"]])
    table = by_reason(follows)
    return {
        "hold_hours": hours,
        "reasons": [
            {
                "reason": str(reason),
                "skipped": int(row["skipped"]),
                "running": running[str(reason)],
                "known": int(row["known"]),
                **{
                    name: _text(float(row[name]))
                    for name in ("would_have_earned", "mean", "share_won")
                },
            }
            for reason, row in table.iterrows()
        ],
    }


def _settlements(history: History) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (symbol, paid.at_ms, float(paid.rate))
            for symbol, part in history.symbols.items()
            for paid in part.settlements
        ],
        columns=["symbol", "at_ms", "rate"],
    )


def _levels(history: History) -> pd.DataFrame:
    """Return the basis that a decision sees: perpetual against spot closes, hour by hour."""
    return pd.DataFrame(
        [
            (symbol, bar.at_ms + SEEN_MS, float((bar.perp - bar.spot) / bar.spot))
            for symbol, part in history.symbols.items()
            for bar in part.bars
        ],
        columns=["symbol", "at_ms", "basis_rate"],
    )


def _ends(history: History) -> dict[str, int]:
    """Return until when each symbol's basis and funding are both known, that instant included."""
    return {
        symbol: min(
            part.bars[-1].at_ms + SEEN_MS,
            part.settlements[-1].at_ms + part.settlements[-1].interval_hours * HOUR_MS - 1,
        )
        for symbol, part in history.symbols.items()
        if part.bars and part.settlements
    }


def _text(value: float) -> str | None:
    exact = quantised_or_none(value)
    return None if exact is None else plain(exact)
