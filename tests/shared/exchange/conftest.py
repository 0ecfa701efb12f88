"""Adapters pointed at a scripted venue."""

from collections.abc import AsyncIterator

import pytest

from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.rest import Credentials
from shared.runtime.clock import SystemClock
from tests.support.scripted_venue import ScriptedVenue, scripted_venue


@pytest.fixture
async def venue() -> AsyncIterator[ScriptedVenue]:
    async with scripted_venue() as running:
        yield running


@pytest.fixture
async def gateway(venue: ScriptedVenue) -> AsyncIterator[BybitGateway]:
    made = BybitGateway(
        Endpoints(venue.rest, venue.stream),
        Credentials("key-1", "secret-1"),
        venue="replay",
        clock=SystemClock(),
        draw=lambda: 0.0,
    )
    yield made
    await made.close()


@pytest.fixture
async def feed(venue: ScriptedVenue) -> AsyncIterator[BybitFeed]:
    made = BybitFeed(Endpoints(venue.rest, venue.stream), clock=SystemClock(), draw=lambda: 0.0)
    yield made
    await made.close()
