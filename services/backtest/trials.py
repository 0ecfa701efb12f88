"""A search's row in ``research.run`` and its trials: kept while it runs, going on after a kill."""

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np

from services.backtest.commands_data import configured_database
from services.backtest.sweep.market import Ints, SweepMarket
from services.backtest.sweep.result import SweepResult
from services.backtest.sweep.terms import Terms
from services.backtest.walk import by_period
from shared.analytics.sharpe import has_traded, sharpe_ratios
from shared.analytics.validation import Tried
from shared.domain.money import plain
from shared.history.records import HOUR_MS
from shared.runtime.clock import Clock
from shared.store.pool import WritePool, open_pool
from shared.store.runs import begin_run, end_run
from shared.store.trials import DataSpan, TrialRow, insert_trials, read_tried

ID_DIGITS: Final = 16
HASH_DIGITS: Final = 24

T = TypeVar("T")


class SearchLog:
    """Where a search leaves its trials. Without a database it keeps nothing and knows nothing.

    The run's id follows from ``inputs``, so that a search that was killed goes on under the id it
    had. ``claimed`` is the id of a queued run instead: its row belongs to who claimed it.
    """

    def __init__(
        self,
        kind: str,
        inputs: str,
        parameters: Mapping[str, Any],
        market: SweepMarket,
        terms: Terms,
        clock: Clock,
        claimed: str | None = None,
    ) -> None:
        self._dsn = configured_database()
        self._kind, self._parameters, self._terms = kind, parameters, terms
        self._clock, self._claimed = clock, claimed
        self._span = span_of(market)
        own = hashlib.sha256(f"{kind} {inputs}".encode()).hexdigest()[:ID_DIGITS]
        self._id = claimed or own
        self._pool: WritePool | None = None
        self._result: Mapping[str, Any] | None = None

    @property
    def id(self) -> str | None:
        """The run's id; None without a database."""
        return None if self._dsn is None else self._id

    def __enter__(self) -> Self:
        """Begin the run."""
        if self._dsn is None:
            return self
        self._runner, self._stack = asyncio.Runner(), AsyncExitStack()
        opened = open_pool(self._dsn, application="backtest")
        try:
            self._pool = self._run(self._stack.enter_async_context(opened))
            if self._claimed is None:
                self._run(self._begin(self._pool))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Store what became of it: the result given, or why there is none."""
        if self._pool is None:
            return
        try:
            if self._claimed is None:
                self._run(self._end(self._pool, str(error) or "stopped: run it again to go on"))
        finally:
            self._close()

    def keep(self, numbers: Sequence[int] | Ints, part: SweepResult) -> None:
        """Store the trials of ``part``, which are number ``numbers`` (n,) of the search."""
        if self._pool is not None:
            self._run(self._insert(self._pool, trial_rows(numbers, part, self._terms)))

    def tried(self) -> Tried | None:
        """Return what was ever tried on this span and universe; None without a database."""
        return None if self._pool is None else self._run(self._read(self._pool))

    def done(self, result: Mapping[str, Any]) -> None:
        """Give the result that the run ends with."""
        self._result = result

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def _close(self) -> None:
        self._pool = None
        try:
            self._run(self._stack.aclose())
        finally:
            self._runner.close()

    async def _begin(self, pool: WritePool) -> None:
        async with pool.acquire() as connection:
            now = self._clock.now()
            await begin_run(connection, self._id, self._kind, self._parameters, now)

    async def _end(self, pool: WritePool, failure: str) -> None:
        said = failure if self._result is None else None
        async with pool.acquire() as connection:
            await end_run(
                connection, self._id, self._clock.now(), result=self._result, failure=said
            )

    async def _insert(self, pool: WritePool, rows: list[TrialRow]) -> None:
        async with pool.acquire() as connection:
            await insert_trials(connection, self._id, self._span, rows, self._clock.now())

    async def _read(self, pool: WritePool) -> Tried:
        async with pool.acquire() as connection:
            return Tried(*await read_tried(connection, self._span))


def span_of(market: SweepMarket) -> DataSpan:
    """Return the data that a search on ``market`` looks at; the order of symbols is no matter."""
    first, last = market.start_ms, market.start_ms + (market.hours - 1) * HOUR_MS
    return DataSpan(",".join(sorted(market.symbols)), _instant(first), _instant(last))


def trial_rows(numbers: Sequence[int] | Ints, part: SweepResult, terms: Terms) -> list[TrialRow]:
    """Return the trials of ``part`` as stored; the hash tells equal settings under equal terms.

    Without two weeks, or without a trade in them, there is no ratio.
    """
    weeks = by_period(part, terms)
    ratios = np.full(len(part), np.nan)
    if len(weeks) > 1:
        ratios = np.where(has_traded(weeks), sharpe_ratios(weeks), np.nan)
    costs = terms.in_units()
    rows = []
    for i, number in enumerate(numbers):
        key = json.dumps([part.params[i].tolist(), costs])
        one = part.set_at(i)
        rows.append(
            TrialRow(
                int(number),
                {
                    "span": one.span,
                    "entry": plain(one.entry),
                    "exit": plain(one.exit),
                    "hold": one.hold,
                },
                hashlib.sha256(key.encode()).hexdigest()[:HASH_DIGITS],
                part.money_at(i, "net"),
                None if np.isnan(ratios[i]) else float(ratios[i]),
            )
        )
    return rows


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
