"""Stores what is forecast at each settlement, before anybody can know what comes (F:A6)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import numpy as np
import structlog

from shared.analytics.forecast import HORIZONS, forecasts
from shared.analytics.forecast_score import GRID_HOURS
from shared.analytics.grid import FundingHistory, Grid, on_grid
from shared.domain.funding import FundingSettlement
from shared.runtime.clock import Clock
from shared.store.forecasts import ForecastRow, insert_forecasts, read_due_forecasts
from shared.store.funding import read_settlements
from shared.store.pool import UNAVAILABLE, WritePool

LOOK_SECONDS: Final = 5.0
ALIVE: Final = timedelta(minutes=5)
"""A feed that was silent for longer, by the wall, may have missed a settlement."""
GRID: Final = timedelta(hours=GRID_HOURS)
PAST: Final = timedelta(days=730)
"""How far back a forecast looks."""

log = structlog.get_logger()


class Forecaster:
    """Reads settlements and writes ``research.forecast``, a symbol at a time."""

    def __init__(self, pool: WritePool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._tried: dict[str, datetime] = {}

    async def run(self) -> None:
        """Forecast what has settled for ever; a store that is away is waited for."""
        while True:
            try:
                await self.step()
            except UNAVAILABLE as error:
                log.warning("store_unavailable", detail=type(error).__name__)
            await self._clock.sleep(LOOK_SECONDS)

    async def step(self) -> int:
        """Forecast for each symbol that is due and return for how many."""
        async with self._pool.acquire() as connection:
            alive_since = self._clock.now() - ALIVE
            due = await read_due_forecasts(connection, alive_since, GRID)
        count = 0
        for symbol, settled_at in due:
            if self._tried.get(symbol) != settled_at:
                self._tried[symbol] = settled_at
                count += await self._forecast(symbol, settled_at)
                await self._clock.sleep(0)
        return count

    async def _forecast(self, symbol: str, settled_at: datetime) -> bool:
        async with self._pool.acquire() as connection:
            past = (await read_settlements(connection, [symbol], settled_at - PAST))[symbol]
        made = made_at([s for s in past if s.settled_at <= settled_at])
        if not made:
            return False
        try:
            async with self._pool.acquire() as connection:
                await insert_forecasts(connection, made)
        except asyncpg.CheckViolationError:
            log.warning("forecast_too_late", symbol=symbol, made_of=settled_at.isoformat())
            return False
        log.info("forecast_stored", symbol=symbol, made_of=settled_at.isoformat())
        return True


def made_at(past: Sequence[FundingSettlement]) -> list[ForecastRow]:
    """Return the forecasts made of ``past``, one symbol's, oldest first, at its last settlement.

    None while there are too few, or where the last one does not end the grid.
    """
    grid = grid_of(past)
    at = past[-1].settled_at if past else None
    if at is None or not len(grid.at_ms) or grid.at_ms[-1] != int(at.timestamp()) * 1000:
        return []
    rows = []
    for horizon in HORIZONS:
        along = forecasts(grid.rates, horizon)
        mean, low, high = (float(part[-1]) for part in (along.mean, along.low, along.high))
        if np.isfinite(mean):
            rows.append(
                ForecastRow(
                    past[-1].symbol,
                    at,
                    horizon,
                    mean,
                    low if np.isfinite(low) else None,
                    high if np.isfinite(high) else None,
                    float(grid.rates[-1]),
                    bool(along.skills.has_skill[-1]),
                    len(grid.rates),
                )
            )
    return rows


def grid_of(past: Sequence[FundingSettlement]) -> Grid:
    """Return one symbol's settlements, oldest first, as rates per end of the forecasts' grid."""
    return on_grid(
        FundingHistory(
            np.array([int(s.settled_at.timestamp()) * 1000 for s in past], dtype=np.int64),
            np.array([float(s.rate) for s in past], dtype=np.float64),
            np.array([s.interval // timedelta(hours=1) for s in past], dtype=np.int64),
            np.empty(0, dtype=np.int64),
            np.empty(0, dtype=np.float64),
        ),
        GRID_HOURS,
    )
