"""Trials: every setting that was ever tried, for a deflated Sharpe ratio asks how often."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from asyncpg import Connection

INSERT: Final = """
    INSERT INTO research.trial (run_id, number, universe, begins_at, ends_at, setting,
                                setting_hash, net, sharpe, made_at)
    SELECT $1, number, $2, $3, $4, setting, setting_hash, net, sharpe, $5
    FROM unnest($6::integer[], $7::jsonb[], $8::text[], $9::numeric[], $10::float8[])
        AS t (number, setting, setting_hash, net, sharpe)
    ON CONFLICT (run_id, number) DO NOTHING"""
READ_TRIED: Final = """
    SELECT count(*) AS count, var_samp(sharpe) FILTER (WHERE sharpe <> 0) AS variance FROM (
        SELECT DISTINCT ON (setting_hash) sharpe FROM research.trial
        WHERE universe = $1 AND begins_at = $2 AND ends_at = $3
        ORDER BY setting_hash, made_at DESC, run_id, number) t"""


@dataclass(frozen=True, slots=True)
class DataSpan:
    """The data that settings were tried on: symbols, and the closes of the first and last hour."""

    universe: str
    begins_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One setting of a run, by its ``number`` there.

    ``sharpe`` a week; None is not known, or no trade to have one of. Older rows of idle settings
    say 0, and are read as such.
    """

    number: int
    setting: Mapping[str, Any]
    setting_hash: str
    net: Decimal
    sharpe: float | None


async def insert_trials(
    connection: Connection, run_id: str, span: DataSpan, trials: Sequence[TrialRow], now: datetime
) -> None:
    """Store trials of a run; those that are there already stay as they are."""
    await connection.execute(
        INSERT,
        run_id,
        span.universe,
        span.begins_at,
        span.ends_at,
        now,
        [t.number for t in trials],
        [json.dumps(dict(t.setting)) for t in trials],
        [t.setting_hash for t in trials],
        [t.net for t in trials],
        [t.sharpe for t in trials],
    )


async def read_tried(connection: Connection, span: DataSpan) -> tuple[int, float | None]:
    """Return how many settings were ever tried on ``span``, and the variance of their ratios.

    A setting that was tried twice counts once. One that never traded counts, but the variance is
    of the others alone: None with fewer than two.
    """
    row = await connection.fetchrow(READ_TRIED, span.universe, span.begins_at, span.ends_at)
    return row["count"], row["variance"]
