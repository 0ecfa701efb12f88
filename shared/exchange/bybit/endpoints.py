"""Where requests may go: an allow-list per venue, so that replay money never meets a real book."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from shared.domain.errors import Misconfigured

SIMULATED: Final = ("replay", "paper")
REAL_HOSTS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "live": (
        frozenset({"api.bybit.com", "api.bytick.com"}),
        frozenset({"stream.bybit.com"}),
    ),
    "testnet": (frozenset({"api-testnet.bybit.com"}), frozenset({"stream-testnet.bybit.com"})),
    "demo": (frozenset({"api-demo.bybit.com"}), frozenset({"stream-demo.bybit.com"})),
}
MARKET_HOSTS: Final[Mapping[str, str]] = {"demo": "live", "paper": "live"}
"""Venues whose public data is that of another one."""
BYBIT_NAMES: Final = ("bybit", "bytick", "manepa")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base addresses without path, as in ``http://127.0.0.1:8100`` and ``ws://127.0.0.1:8100``."""

    rest: str
    stream: str

    def public(self, category: str) -> str:
        """Return the address of one public stream."""
        return f"{self.stream}/v5/public/{category}"

    @property
    def private(self) -> str:
        """The address of the private stream."""
        return f"{self.stream}/v5/private"


def trading_endpoints(venue: str, rest_url: str, stream_url: str) -> Endpoints:
    """Return where orders of ``venue`` go.

    Raises: Misconfigured when replay or paper orders would reach Bybit, or real ones anything else.
    """
    return _allowed(venue, venue, rest_url, stream_url)


def market_endpoints(venue: str, rest_url: str, stream_url: str) -> Endpoints:
    """Return where ``venue`` gets public data: paper and demo read the real market.

    Raises: Misconfigured when the hosts are not those of that market.
    """
    return _allowed(venue, MARKET_HOSTS.get(venue, venue), rest_url, stream_url)


def _allowed(venue: str, source: str, rest_url: str, stream_url: str) -> Endpoints:
    rest_host = _host(rest_url, ("http", "https"))
    stream_host = _host(stream_url, ("ws", "wss"))
    if source in SIMULATED:
        for host in (rest_host, stream_host):
            if any(name in host for name in BYBIT_NAMES):
                raise Misconfigured(
                    f"CARRY_VENUE={venue} must not reach {host}: its orders belong to the "
                    "simulator; set CARRY_VENUE_REST_URL and CARRY_VENUE_WS_URL to it."
                )
    elif source not in REAL_HOSTS:
        raise Misconfigured(f"CARRY_VENUE={venue} is not known; use replay or paper.")
    else:
        _require_real(venue, source, rest_url, stream_url)
    return Endpoints(rest_url.rstrip("/"), stream_url.rstrip("/"))


def _require_real(venue: str, source: str, rest_url: str, stream_url: str) -> None:
    rest_hosts, stream_hosts = REAL_HOSTS[source]
    for url, scheme, hosts in (
        (rest_url, "https", rest_hosts),
        (stream_url, "wss", stream_hosts),
    ):
        parts = urlsplit(url)
        if parts.scheme != scheme or parts.hostname not in hosts:
            raise Misconfigured(
                f"CARRY_VENUE={venue} does not allow {url}; use {scheme}:// and one of "
                f"{', '.join(sorted(hosts))}."
            )


def _host(url: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname or parts.path.strip("/"):
        raise Misconfigured(f"{url!r} is no address of the form {schemes[0]}://host:port.")
    return parts.hostname.lower()
