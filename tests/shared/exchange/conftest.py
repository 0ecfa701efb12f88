"""Adapters pointed at a scripted venue, over each library that may be on the wire."""

from collections.abc import AsyncIterator

import pytest

from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.pybit_socket import pybit_connector
from shared.exchange.bybit.rest import Credentials
from shared.exchange.ccxt.open import ccxt_feed, ccxt_gateway
from shared.runtime.clock import SystemClock
from tests.support.scripted_venue import ScriptedVenue, scripted_venue

KEY = Credentials("key-1", "secret-1")


@pytest.fixture
async def venue() -> AsyncIterator[ScriptedVenue]:
    async with scripted_venue() as running:
        yield running


class Bans:
    """Counts how often the venue was said to answer us no more."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def bans() -> Bans:
    return Bans()


@pytest.fixture(params=["pybit", "ccxt"])
async def gateway(
    venue: ScriptedVenue, bans: Bans, request: pytest.FixtureRequest
) -> AsyncIterator[BybitGateway]:
    make = {"pybit": BybitGateway, "ccxt": ccxt_gateway}[request.param]
    endpoints = Endpoints(venue.rest, venue.stream)
    made = make(endpoints, KEY, venue="replay", clock=SystemClock(), draw=lambda: 0.0, on_ban=bans)
    yield made
    await made.close()


@pytest.fixture(params=["picows", "pybit", "ccxt"])
async def feed(venue: ScriptedVenue, request: pytest.FixtureRequest) -> AsyncIterator[BybitFeed]:
    endpoints = Endpoints(venue.rest, venue.stream)
    clock = SystemClock()
    if request.param == "ccxt":
        made = ccxt_feed(endpoints, clock=clock, draw=lambda: 0.0)
    elif request.param == "pybit":
        made = BybitFeed(endpoints, clock=clock, draw=lambda: 0.0, connect=pybit_connector())
    else:
        made = BybitFeed(endpoints, clock=clock, draw=lambda: 0.0)
    yield made
    await made.close()
