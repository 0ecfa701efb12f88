"""Skipped candidates between the store's rows and the frames of ``counterfactual`` (F:A8)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pandas as pd

from shared.analytics.counterfactual import episodes, followed
from shared.analytics.quantise import quantised_or_none
from shared.domain.funding import FundingSettlement
from shared.store.skips import OutcomeRow, SkipRow

NAN: Final = float("nan")


def new_holds(known: Sequence[SkipRow], found: Sequence[SkipRow]) -> list[SkipRow]:
    """Return the would-be holds that ``found`` begins, given the newest ``known`` of each kind.

    A pair that is passed over again for the same reason inside its hold begins none.
    """
    rows = [*known, *found]
    frame = pd.DataFrame(
        {
            "symbol": [r.symbol for r in rows],
            "reason": [r.reason for r in rows],
            "at_ms": [_ms(r.decided_at) for r in rows],
            "hold_hours": [r.hold_hours for r in rows],
            "cost": [_float(r.cost) for r in rows],
            "row": range(len(rows)),
        }
    )
    kept = sorted(int(row) for row in episodes(frame)["row"])
    return [rows[row] for row in kept if row >= len(known)]


def outcomes(
    due: Sequence[Mapping[str, Any]],
    settled: Mapping[str, Sequence[FundingSettlement]],
    until: datetime,
) -> list[OutcomeRow]:
    """Return what the holds of ``due`` (rows of ``read_due_skips``) came to.

    Nothing, where the settlements of ``settled`` end an interval or more before the hold does.

    Raises: ValueError when there is none.
    """
    skips = pd.DataFrame(
        {
            "symbol": [r["symbol"] for r in due],
            "reason": [r["reason"] for r in due],
            "at_ms": [_ms(r["decided_at"]) for r in due],
            "hold_hours": [r["hold_hours"] for r in due],
            "cost": [_float(r["cost"]) for r in due],
        }
    )
    follows = followed(skips, _settlements(settled), _levels(due), _ms(until), _ends(settled))
    return [
        OutcomeRow(
            row["symbol"],
            row["reason"],
            row["decided_at"],
            *(quantised_or_none(float(value)) for value in found),
        )
        for row, *found in zip(
            due, follows["funding"], follows["basis_gain"], follows["earned"], strict=True
        )
    ]


def _settlements(settled: Mapping[str, Sequence[FundingSettlement]]) -> pd.DataFrame:
    every = [s for rows in settled.values() for s in rows]
    return pd.DataFrame(
        {
            "symbol": [s.symbol for s in every],
            "at_ms": [_ms(s.settled_at) for s in every],
            "rate": [float(s.rate) for s in every],
        }
    )


def _ends(settled: Mapping[str, Sequence[FundingSettlement]]) -> dict[str, int]:
    """Return until when each symbol's funding is known, that instant included, UTC ms."""
    return {
        symbol: _ms(rows[-1].settled_at + rows[-1].interval) - 1
        for symbol, rows in settled.items()
        if rows
    }


def _levels(due: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the basis at both ends of each hold; what was not known then stays unknown."""
    ends = {
        (row["symbol"], _ms(at)): _float(basis)
        for row in due
        for at, basis in (
            (row["ends_at"], row["basis_after"]),
            (row["decided_at"], row["basis_then"]),
        )
    }
    return pd.DataFrame(
        {
            "symbol": [symbol for symbol, _ in ends],
            "at_ms": [at for _, at in ends],
            "basis_rate": list(ends.values()),
        }
    )


def _float(value: object) -> float:
    return NAN if value is None else float(str(value))


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000
