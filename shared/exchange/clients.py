"""Which library speaks to the venue: the venue's own client, or ccxt in its place."""

from collections.abc import Callable

from shared.domain.errors import Misconfigured
from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.feed import BybitFeed
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.rest import RECV_WINDOW_MS, Credentials
from shared.runtime.clock import Clock

Draw = Callable[[], float]


def gateway_of(
    client: str,
    endpoints: Endpoints,
    credentials: Credentials,
    *,
    venue: str,
    clock: Clock,
    draw: Draw,
    on_ban: Callable[[], None] = lambda: None,
    receive_window_ms: int = RECV_WINDOW_MS,
) -> BybitGateway:
    """Return the ``TradingGateway`` of ``client``, "bybit" or "ccxt"; raises Misconfigured."""
    if client == "bybit":
        return BybitGateway(
            endpoints,
            credentials,
            venue=venue,
            clock=clock,
            draw=draw,
            on_ban=on_ban,
            receive_window_ms=receive_window_ms,
        )
    try:
        from shared.exchange.ccxt.open import ccxt_gateway
    except ImportError as error:
        raise _missing() from error
    return ccxt_gateway(
        endpoints,
        credentials,
        venue=venue,
        clock=clock,
        draw=draw,
        on_ban=on_ban,
        receive_window_ms=receive_window_ms,
    )


def feed_of(client: str, endpoints: Endpoints, *, clock: Clock, draw: Draw) -> BybitFeed:
    """Return the ``MarketFeed`` of ``client``, "bybit" or "ccxt"; raises Misconfigured."""
    if client == "bybit":
        return BybitFeed(endpoints, clock=clock, draw=draw)
    try:
        from shared.exchange.ccxt.open import ccxt_feed
    except ImportError as error:
        raise _missing() from error
    return ccxt_feed(endpoints, clock=clock, draw=draw)


def _missing() -> Misconfigured:
    return Misconfigured(
        "CARRY_VENUE_CLIENT=ccxt needs ccxt, which is not installed: pip install 'carrydesk[ccxt]'."
    )
