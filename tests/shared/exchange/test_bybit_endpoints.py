"""Where orders may go."""

import pytest

from shared.domain.errors import Misconfigured
from shared.exchange.bybit.endpoints import market_endpoints, trading_endpoints

MAIN = ("https://api.bybit.com", "wss://stream.bybit.com")


@pytest.mark.parametrize("venue", ["replay", "paper"])
@pytest.mark.parametrize(
    ("rest", "stream"),
    [
        MAIN,
        ("https://api-testnet.bybit.com", "ws://127.0.0.1:8100"),
        ("http://127.0.0.1:8100", "wss://stream-demo.bybit.com"),
        ("https://API.BYTICK.COM", "ws://127.0.0.1:8100"),
        ("https://api.bybit.nl", "ws://127.0.0.1:8100"),
    ],
)
def test_simulated_orders_never_reach_bybit(venue: str, rest: str, stream: str) -> None:
    with pytest.raises(Misconfigured):
        trading_endpoints(venue, rest, stream)


def test_replay_orders_go_to_the_simulator() -> None:
    endpoints = trading_endpoints("replay", "http://127.0.0.1:8100/", "ws://127.0.0.1:8100")
    assert endpoints.rest == "http://127.0.0.1:8100"
    assert endpoints.private == "ws://127.0.0.1:8100/v5/private"
    assert endpoints.public("spot") == "ws://127.0.0.1:8100/v5/public/spot"


@pytest.mark.parametrize(
    ("rest", "stream"),
    [
        ("http://api.bybit.com", "wss://stream.bybit.com"),
        ("https://api.bybit.com.evil.example", "wss://stream.bybit.com"),
        ("https://api-testnet.bybit.com", "wss://stream.bybit.com"),
        ("https://api.bybit.com", "wss://stream-testnet.bybit.com"),
    ],
)
def test_live_orders_go_to_no_other_host(rest: str, stream: str) -> None:
    with pytest.raises(Misconfigured):
        trading_endpoints("live", rest, stream)


def test_live_orders_go_to_the_main_site() -> None:
    assert trading_endpoints("live", *MAIN).rest == MAIN[0]


def test_demo_and_paper_read_the_main_market() -> None:
    assert market_endpoints("paper", *MAIN).stream == MAIN[1]
    assert market_endpoints("demo", *MAIN).stream == MAIN[1]


@pytest.mark.parametrize("url", ["", "127.0.0.1:8100", "ftp://x", "http://x/path", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        trading_endpoints("replay", url, "ws://127.0.0.1:8100")
