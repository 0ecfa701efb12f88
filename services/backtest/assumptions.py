"""What a run takes for granted about the venue, stated: fees, gaps, liquidation."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any

from shared.domain.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Fees:
    """Fractions of notional; a rebate is negative."""

    taker: Decimal
    maker: Decimal


@dataclass(frozen=True, slots=True)
class FeeTier:
    """What the account pays from ``since`` on, on either leg."""

    since: datetime
    spot: Fees
    linear: Fees


@dataclass(frozen=True, slots=True)
class Assumptions:
    """``tiers``, oldest first, take the place of the products' own fees from their dates on.

    ``goes_on``: whether a run goes on after a liquidation; else it ends there, and says so.
    """

    tiers: Sequence[FeeTier] = ()
    allow_gaps: bool = False
    goes_on: bool = False


def read_tiers(path: Path) -> tuple[FeeTier, ...]:
    """Return the tiers that a TOML file lists as [[tier]]; raises Misconfigured.

    Each has ``from`` (a date, UTC), and for ``spot`` and ``linear`` a table of ``taker`` and
    ``maker``, decimals in quotes.
    """
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"--fees {path}: {error}.") from error
    rows = stated.get("tier")
    if not isinstance(rows, list) or not rows:
        raise Misconfigured(f"--fees {path} lists no [[tier]].")
    tiers = tuple(_tier(path, number, row) for number, row in enumerate(rows, 1))
    for before, after in pairwise(tiers):
        if after.since <= before.since:
            raise Misconfigured(f"--fees {path}: tiers are not in the order of their dates.")
    return tiers


def _tier(path: Path, number: int, row: dict[str, Any]) -> FeeTier:
    since = row.get("from")
    if not isinstance(since, date) or isinstance(since, datetime):
        raise Misconfigured(f"--fees {path}: tier {number} has no date: write from = 2023-01-01.")
    begins = datetime(since.year, since.month, since.day, tzinfo=UTC)
    return FeeTier(begins, *(_fees(path, number, row, leg) for leg in ("spot", "linear")))


def _fees(path: Path, number: int, row: dict[str, Any], leg: str) -> Fees:
    values = []
    for side in ("taker", "maker"):
        try:
            text = row[leg][side]
            value = Decimal(text) if isinstance(text, str) else Decimal("NaN")
        except (KeyError, TypeError, InvalidOperation):
            value = Decimal("NaN")
        if not value.is_finite() or abs(value) >= 1:
            raise Misconfigured(
                f'--fees {path}: tier {number} has no {leg} {side} fee: write {side} = "0.001".'
            )
        values.append(value)
    return Fees(*values)
