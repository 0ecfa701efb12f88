"""The clients that the suite is held against, each over the wire to a simulator of its own."""

import random
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from shared.exchange.bybit.endpoints import trading_endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.pybit_socket import pybit_connector
from shared.exchange.bybit.rest import Credentials
from shared.exchange.ccxt.open import ccxt_feed, ccxt_gateway
from shared.runtime.clock import SystemClock
from tests.support.simulator import Simulator, simulator

OpenGateway = Callable[[Simulator], BybitGateway]
OpenFeed = Callable[[Simulator], BybitFeed]


@pytest.fixture(scope="module")
def standing() -> Iterator[Simulator]:
    """A venue whose time stands still at the first instant."""
    with simulator() as running:
        yield running


PRESSED = """
faults:
- kind: deleveraging
  symbol: BTCUSDT
  quantity: 0.01
  from: 3600
  notice_seconds: 3600
"""


@pytest.fixture(scope="module")
def pressed() -> Iterator[Simulator]:
    """A venue whose time stands still while BTC's insurance pool is empty."""
    with simulator(script=PRESSED) as running:
        yield running


def pybit_gateway_on(venue: Simulator) -> BybitGateway:
    return BybitGateway(
        trading_endpoints("replay", venue.rest, venue.stream),
        Credentials(venue.api_key, venue.api_secret),
        venue="replay",
        clock=SystemClock(),
        draw=random.random,
    )


def ccxt_gateway_on(venue: Simulator) -> BybitGateway:
    return ccxt_gateway(
        trading_endpoints("replay", venue.rest, venue.stream),
        Credentials(venue.api_key, venue.api_secret),
        venue="replay",
        clock=SystemClock(),
        draw=random.random,
    )


def picows_feed_on(venue: Simulator) -> BybitFeed:
    endpoints = trading_endpoints("replay", venue.rest, venue.stream)
    return BybitFeed(endpoints, clock=SystemClock(), draw=random.random)


def pybit_feed_on(venue: Simulator) -> BybitFeed:
    endpoints = trading_endpoints("replay", venue.rest, venue.stream)
    return BybitFeed(endpoints, clock=SystemClock(), draw=random.random, connect=pybit_connector())


def ccxt_feed_on(venue: Simulator) -> BybitFeed:
    endpoints = trading_endpoints("replay", venue.rest, venue.stream)
    return ccxt_feed(endpoints, clock=SystemClock(), draw=random.random)


@pytest.fixture(params=[pybit_gateway_on, ccxt_gateway_on], ids=["pybit", "ccxt"])
def open_gateway(request: pytest.FixtureRequest) -> OpenGateway:
    made: OpenGateway = request.param
    return made


@pytest.fixture(
    params=[picows_feed_on, pybit_feed_on, ccxt_feed_on], ids=["picows", "pybit", "ccxt"]
)
def open_feed(request: pytest.FixtureRequest) -> OpenFeed:
    made: OpenFeed = request.param
    return made


@pytest.fixture
async def gateway(standing: Simulator, open_gateway: OpenGateway) -> AsyncIterator[BybitGateway]:
    made = open_gateway(standing)
    yield made
    await made.close()


@pytest.fixture
async def feed(standing: Simulator, open_feed: OpenFeed) -> AsyncIterator[BybitFeed]:
    made = open_feed(standing)
    yield made
    await made.close()
