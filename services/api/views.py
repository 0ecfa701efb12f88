"""Every answer as bytes, made once per version of the data and shared by all who ask."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter

from services.api.answers import overview
from services.api.holdings import pair_views
from services.api.liveness import status
from services.api.options import ApiOptions
from services.api.ranking import decision_view, opportunities
from services.api.reader import Reader
from services.api.schemas import PairView
from shared.runtime.clock import Clock
from shared.store.views.decisions import read_decision_row, read_intents, read_newest_decision
from shared.store.views.desk import DeskRows, read_desk
from shared.store.views.lists import (
    read_equity_json,
    read_forecasts_json,
    read_funding_rates_json,
    read_ledger_json,
    read_orders_json,
    read_runs_json,
    read_skipped_json,
)
from shared.store.views.status import read_heartbeats, read_market_clock
from shared.store.views.version import Version, read_version

T = TypeVar("T")

VERSION_SECONDS: Final = 0.2
"""For so long a version that was read is taken for the newest."""
KEPT_MAX: Final = 64
_PAIRS: Final = TypeAdapter(list[PairView])


class Views:
    """Answers from one store. Each method raises StoreUnavailable when it cannot be read."""

    def __init__(self, reader: Reader, clock: Clock, options: ApiOptions) -> None:
        self.reader = reader
        self._clock = clock
        self._options = options
        self._version: Version | None = None
        self._read_at = 0.0
        self._made: dict[tuple[object, ...], tuple[Version, Any]] = {}
        self._making: defaultdict[object, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def version(self, *, fresh: bool = False) -> Version:
        """Return the version of the data, read anew when the last is too old or ``fresh``."""
        if not fresh and (known := self._known_version()) is not None:
            return known
        async with self._making["version"]:
            if not fresh and (known := self._known_version()) is not None:
                return known
            began = self._clock.monotonic()
            async with self.reader.connection() as connection:
                found = await read_version(connection)
            self._version, self._read_at = found, began
            return found

    def _known_version(self) -> Version | None:
        age = self._clock.monotonic() - self._read_at
        return self._version if age < VERSION_SECONDS else None

    async def status(self) -> bytes:
        """Return a StatusView; its ages make it new each time."""
        async with self.reader.connection() as connection:
            beats = await read_heartbeats(connection)
            market = await read_market_clock(connection)
        return encoded(status(self._options, market, beats, self._clock.now()))

    async def overview(self) -> bytes:
        """Return an OverviewView."""

        async def make() -> bytes:
            return encoded(overview(await self._desk(), self._options.limits))

        return await self._kept(("overview",), make)

    async def pairs(self) -> bytes:
        """Return a list of PairView."""

        async def make() -> bytes:
            return _PAIRS.dump_json(pair_views(await self._desk()))

        return await self._kept(("pairs",), make)

    async def opportunities(self) -> bytes:
        """Return an OpportunitiesView."""

        async def make() -> bytes:
            async with self.reader.connection() as connection:
                return encoded(opportunities(await read_newest_decision(connection)))

        return await self._kept(("opportunities",), make)

    async def equity(self) -> bytes:
        """Return an EquityView."""

        async def make() -> bytes:
            async with self.reader.connection() as connection:
                return await read_equity_json(connection)

        return await self._kept(("equity",), make)

    async def ledger(self, limit: int, before: int | None) -> bytes:
        """Return a list of LedgerEntryView."""

        async def make() -> bytes:
            async with self.reader.connection() as connection:
                return await read_ledger_json(connection, limit, before)

        return await self._kept(("ledger", limit, before), make)

    async def funding_rates(self, limit: int, before: datetime | None, symbol: str | None) -> bytes:
        """Return a list of FundingRateView."""

        async def make() -> bytes:
            async with self.reader.connection() as connection:
                return await read_funding_rates_json(connection, limit, before, symbol)

        return await self._kept(("funding_rates", limit, before, symbol), make)

    async def orders(self, limit: int, before: datetime | None, pair: str | None) -> bytes:
        """Return a list of OrderView; never kept, orders change without a new version."""
        async with self.reader.connection() as connection:
            return await read_orders_json(connection, limit, before, pair)

    async def runs(self, limit: int, before: datetime | None) -> bytes:
        """Return a list of RunView; never kept."""
        async with self.reader.connection() as connection:
            return await read_runs_json(connection, limit, before)

    async def skipped(self, days: int) -> bytes:
        """Return a SkippedView; never kept, outcomes come in without a new version."""
        async with self.reader.connection() as connection:
            return await read_skipped_json(connection, days)

    async def forecasts(self, symbol: str, days: int) -> bytes:
        """Return a ForecastsView; never kept."""
        async with self.reader.connection() as connection:
            return await read_forecasts_json(connection, symbol, days)

    async def decision(self, decision_id: str) -> bytes | None:
        """Return a DecisionView; None when there is no decision of that id."""
        async with self.reader.connection() as connection:
            row = await read_decision_row(connection, decision_id)
            if row is None:
                return None
            return encoded(decision_view(row, await read_intents(connection, decision_id)))

    async def _desk(self) -> DeskRows:
        async def make() -> DeskRows:
            async with self.reader.connection() as connection:
                return await read_desk(connection)

        return await self._kept(("desk",), make)

    async def _kept(self, key: tuple[object, ...], make: Callable[[], Awaitable[T]]) -> T:
        """Return what is kept for the version of now, or make it; one maker a kind at a time.

        What is made may be newer than its version, never older: the version was read first.
        """
        version = await self.version()
        found = self._made.get(key)
        if found is None or found[0] != version:
            async with self._making[key[0]]:
                found = self._made.get(key)  # whoever waited finds what the first one made
                if found is None or found[0] != version:
                    found = (version, await make())
                    self._keep(key, found)
        kept: T = found[1]
        return kept

    def _keep(self, key: tuple[object, ...], made: tuple[Version, Any]) -> None:
        self._made.pop(key, None)
        self._made[key] = made
        while len(self._made) > KEPT_MAX:
            self._made.pop(next(iter(self._made)))


def encoded(view: BaseModel) -> bytes:
    """Return a view as JSON; amounts as plain decimal strings."""
    return view.__pydantic_serializer__.to_json(view)
