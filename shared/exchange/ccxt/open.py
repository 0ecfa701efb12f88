"""Both ports over ccxt: the same reading of the venue's protocol, another library on the wire."""

from collections.abc import Callable

from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.rest import RECV_WINDOW_MS, Credentials
from shared.exchange.ccxt.client import CcxtClient
from shared.runtime.clock import Clock


def ccxt_gateway(
    endpoints: Endpoints,
    credentials: Credentials,
    *,
    venue: str,
    clock: Clock,
    draw: Callable[[], float],
    on_ban: Callable[[], None] = lambda: None,
    receive_window_ms: int = RECV_WINDOW_MS,
) -> BybitGateway:
    """Return a ``TradingGateway`` whose requests and private stream are ccxt's."""
    client = CcxtClient(endpoints, credentials, clock=clock, receive_window_ms=receive_window_ms)
    return BybitGateway(
        endpoints,
        credentials,
        venue=venue,
        clock=clock,
        draw=draw,
        on_ban=on_ban,
        rest=client,
        connect=client.connect,
    )


def ccxt_feed(endpoints: Endpoints, *, clock: Clock, draw: Callable[[], float]) -> BybitFeed:
    """Return a ``MarketFeed`` whose requests and public streams are ccxt's."""
    client = CcxtClient(endpoints, None, clock=clock)
    return BybitFeed(endpoints, clock=clock, draw=draw, rest=client, connect=client.connect)
