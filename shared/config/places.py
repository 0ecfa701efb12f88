"""Which addresses a setting may name: replay and paper orders must never reach a real exchange."""

from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from shared.domain.errors import Misconfigured

HTTP: Final = ("http", "https")
WS: Final = ("ws", "wss")
REAL: Final = ("demo", "testnet", "live")
BYBIT_NAMES: Final = ("bybit", "bytick")


def require_venue_url(venue: str, key: str, url: str, schemes: tuple[str, ...]) -> None:
    """Raise Misconfigured unless ``url`` is a base address that ``venue`` may use."""
    parts = _parts(key, url, f"{schemes[0]}://host:port")
    path = parts.path.strip("/")
    if parts.scheme not in schemes or not parts.hostname or path or parts.query or parts.fragment:
        raise Misconfigured(
            f"{key}={url} is wrong: it must be a base address like {schemes[0]}://host:port."
        )
    if parts.username is not None or parts.password is not None:
        raise Misconfigured(f"{key} is wrong: it must hold no user and no password.")
    host = parts.hostname
    if venue in REAL and parts.scheme != schemes[1]:
        raise Misconfigured(f"{key}={url} is wrong: CARRY_VENUE={venue} needs {schemes[1]}://.")
    if venue in REAL:
        return
    if any(name in host for name in BYBIT_NAMES):
        raise Misconfigured(
            f"{key}={url} names Bybit itself: with CARRY_VENUE={venue} orders go to the simulator."
        )
    if not _is_private(host):
        raise Misconfigured(
            f"{key}={url} is not private: with CARRY_VENUE={venue} it must be loopback, a private "
            "address or the name of a container."
        )


def require_database_url(url: str) -> None:
    """Raise Misconfigured unless ``url`` names a PostgreSQL database."""
    parts = _parts("CARRY_DATABASE_URL", url, "postgresql://user@host:5432/name")
    host = parts.hostname or parse_qs(parts.query).get("host")
    if parts.scheme not in ("postgresql", "postgres") or not host or not parts.path.strip("/"):
        # Not shown: it may hold a password.
        raise Misconfigured(
            "CARRY_DATABASE_URL is wrong: it must look like postgresql://user@host:5432/name."
        )


def require_redis_url(url: str) -> None:
    """Raise Misconfigured unless ``url`` names a Redis server."""
    parts = _parts("CARRY_REDIS_URL", url, "redis://host:6379/0")
    place = parts.path if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not place:
        raise Misconfigured(
            "CARRY_REDIS_URL is wrong: it must look like redis://host:6379/0 or unix:///path."
        )


def _parts(key: str, url: str, form: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Misconfigured(f"{key} is wrong: it must look like {form}.") from error
    return parts


def _is_private(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        # A name without a dot is resolved by this machine or its containers, not by the world.
        return "." not in host or host.endswith((".localhost", ".internal"))
    return address.is_loopback or (address.is_private and not address.is_unspecified)
