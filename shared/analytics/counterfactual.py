"""What the candidates that were passed over would have earned (A8). pandas; for people.

A skip is one row: ``symbol``, ``reason``, ``at_ms`` (UTC ms of the decision), ``hold_hours`` and
``cost`` (fraction of notional, the round trip that would have been paid). Settlements are
``symbol``, ``at_ms``, ``rate``; basis is ``symbol``, ``at_ms``, ``basis_rate``: the level known
from ``at_ms`` on. Signs: positive is earned. A short perpetual receives a positive rate, and gains
what the basis falls.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.domain.errors import Malformed

HOUR_MS: Final = 3_600_000
SKIPS: Final = ("symbol", "reason", "at_ms", "hold_hours", "cost")


def episodes(skips: pd.DataFrame) -> pd.DataFrame:
    """Return each would-be hold once: the first skip, without those inside its hold.

    A pair passed over every minute for one reason is one missed hold, not thousands. The order is
    by symbol, reason and time.
    """
    _require(skips, SKIPS, "skips")
    ordered = skips.sort_values(["symbol", "reason", "at_ms"], kind="stable")
    kept: list[int] = []
    ends: dict[tuple[str, str], int] = {}
    columns = (ordered[name].tolist() for name in ("symbol", "reason", "at_ms", "hold_hours"))
    for row, (symbol, reason, at, hours) in enumerate(zip(*columns, strict=True)):
        if at >= ends.get((symbol, reason), at):
            kept.append(row)
            ends[symbol, reason] = at + hours * HOUR_MS
    return ordered.iloc[kept].reset_index(drop=True)


def followed(
    skips: pd.DataFrame,
    settlements: pd.DataFrame,
    basis: pd.DataFrame,
    known_until_ms: int,
    record_ends: Mapping[str, int],
) -> pd.DataFrame:
    """Return ``skips`` with ``funding``, ``basis_gain``, ``earned`` and ``is_over`` beside each.

    A hold from ``at_ms`` is paid at settlements after it, up to and including its end. ``earned``
    is funding plus basis gain minus cost. It is NaN while the hold reaches beyond
    ``known_until_ms`` (``is_over`` False), where it starts before the first settlement or the
    first basis known, and where it is over but reaches beyond its symbol's own ``record_ends`` (UTC
    ms, included; a symbol that is not named has no record): missing is not zero.
    """
    _require(skips, SKIPS, "skips")
    _require(settlements, ("symbol", "at_ms", "rate"), "settlements")
    _require(basis, ("symbol", "at_ms", "basis_rate"), "basis")
    result = skips.reset_index(drop=True).copy()
    start = result["at_ms"].to_numpy(np.int64)
    end = start + result["hold_hours"].to_numpy(np.int64) * HOUR_MS
    over = end <= known_until_ms
    funding, gain = np.full(len(result), np.nan), np.full(len(result), np.nan)
    for symbol, every in result.groupby("symbol").indices.items():
        rows = every[end[every] <= record_ends.get(str(symbol), -1)]
        paid = settlements[settlements["symbol"] == symbol].sort_values("at_ms")
        levels = basis[basis["symbol"] == symbol].sort_values("at_ms")
        funding[rows] = _paid_between(paid, start[rows], end[rows])
        gain[rows] = _level_at(levels, start[rows]) - _level_at(levels, end[rows])
    result["is_over"] = over
    result["funding"] = np.where(over, funding, np.nan)
    result["basis_gain"] = np.where(over, gain, np.nan)
    result["earned"] = result["funding"] + result["basis_gain"] - result["cost"].astype(float)
    return result


def by_reason(follows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per reason, the most expensive refusal first; fractions of notional.

    ``skipped`` holds, ``known`` of them with a result, what those ``would_have_earned`` together,
    its ``mean``, and the ``share_won`` (0 to 1) that would have earned anything.
    """
    grouped = follows.groupby("reason")["earned"]
    table = pd.DataFrame(
        {
            "skipped": grouped.size(),
            "known": grouped.count(),
            "would_have_earned": grouped.sum(min_count=1),
            "mean": grouped.mean(),
            "share_won": grouped.apply(lambda e: (e.dropna() > 0.0).mean()),
        }
    )
    return table.sort_values("would_have_earned", ascending=False, na_position="last")


def _paid_between(
    paid: pd.DataFrame, start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    at = paid["at_ms"].to_numpy(np.int64)
    total = np.append(0.0, np.cumsum(paid["rate"].to_numpy(np.float64)))
    first, last = (np.searchsorted(at, t, side="right") for t in (start, end))
    known = len(at) > 0 and start >= at[0]
    return np.asarray(np.where(known, total[last] - total[first], np.nan), dtype=np.float64)


def _level_at(levels: pd.DataFrame, at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the newest level known at each instant, NaN before the first."""
    known = levels["at_ms"].to_numpy(np.int64)
    values = np.append(np.nan, levels["basis_rate"].to_numpy(np.float64))
    return np.asarray(values[np.searchsorted(known, at, side="right")], dtype=np.float64)


def _require(frame: pd.DataFrame, columns: tuple[str, ...], name: str) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise Malformed(f"{name} lacks the column {missing[0]}: it needs {', '.join(columns)}.")
