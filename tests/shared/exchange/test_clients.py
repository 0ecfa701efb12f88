"""The library is chosen by name, and one that is not installed is named with its remedy."""

import sys

import pytest

from shared.domain.errors import Misconfigured
from shared.exchange.bybit.endpoints import market_endpoints, trading_endpoints
from shared.exchange.bybit.rest import Credentials
from shared.exchange.clients import feed_of, gateway_of
from tests.support.clock import ManualClock

REST, STREAM = "http://127.0.0.1:8100", "ws://127.0.0.1:8100"


def draw() -> float:
    return 0.5


@pytest.mark.parametrize("client", ["bybit", "ccxt"])
async def test_both_ports_open_over_either_library(client: str) -> None:
    clock = ManualClock()
    feed = feed_of(client, market_endpoints("replay", REST, STREAM), clock=clock, draw=draw)
    gateway = gateway_of(
        client,
        trading_endpoints("replay", REST, STREAM),
        Credentials("key", "secret"),
        venue="replay",
        clock=clock,
        draw=draw,
    )
    await feed.close()
    await gateway.close()


def test_ccxt_where_it_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shared.exchange.ccxt.open", None)
    with pytest.raises(Misconfigured, match=r"pip install 'carrydesk\[ccxt\]'"):
        feed_of("ccxt", market_endpoints("replay", REST, STREAM), clock=ManualClock(), draw=draw)
