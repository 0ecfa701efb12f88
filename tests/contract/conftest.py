"""The exchanges that every gateway and feed is held to: today the simulator, over the wire."""

import random
from collections.abc import AsyncIterator, Iterator

import pytest

from shared.exchange.bybit.endpoints import trading_endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.rest import Credentials
from shared.runtime.clock import SystemClock
from tests.support.simulator import Simulator, simulator


@pytest.fixture(scope="module")
def standing() -> Iterator[Simulator]:
    """A venue whose time stands still at the first instant."""
    with simulator() as running:
        yield running


def open_gateway(venue: Simulator) -> BybitGateway:
    return BybitGateway(
        trading_endpoints("replay", venue.rest, venue.stream),
        Credentials(venue.api_key, venue.api_secret),
        venue="replay",
        clock=SystemClock(),
        draw=random.random,
    )


def open_feed(venue: Simulator) -> BybitFeed:
    endpoints = trading_endpoints("replay", venue.rest, venue.stream)
    return BybitFeed(endpoints, clock=SystemClock(), draw=random.random)


@pytest.fixture
async def gateway(standing: Simulator) -> AsyncIterator[BybitGateway]:
    made = open_gateway(standing)
    yield made
    await made.close()


@pytest.fixture
async def feed(standing: Simulator) -> AsyncIterator[BybitFeed]:
    made = open_feed(standing)
    yield made
    await made.close()
