"""Settings, read once in ``main`` from ``CARRY_*`` keys; everything wrong is one clear sentence.

Order: the environment, then the file ``.env`` (or the one that CARRY_ENV_FILE names; empty: none).
A secret comes as ``CARRY_X`` or, from a file, as ``CARRY_X_FILE``.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from shared.config import places
from shared.config.keys import NEEDED, PORTS, Keys, read_keys, read_secret
from shared.config.policy import PolicySet, load_policy
from shared.domain.errors import Misconfigured

ENV_FILE_KEY: Final = "CARRY_ENV_FILE"


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where this service's database role logs in; ``dsn`` holds its password, empty: none."""

    dsn: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """The bus; ``url`` holds its password, empty: none."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """Base addresses of the exchange or the simulator, and the trading key; empty: none.

    ``client`` is the library that speaks to it.
    """

    rest_url: str
    ws_url: str
    client: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """The simulator's: venue seconds per wall second, first instant, capital in USDT.

    ``watchdog_key`` is a second key of the account, its name and secret; both empty: none.
    ``admin_token`` opens /sim/*; ``autostart`` lets venue time run once the services listen.
    """

    speed: int
    start: datetime
    deposit_usdt: Decimal
    autostart: bool
    admin_token: str = field(repr=False)
    watchdog_key: tuple[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where health and metrics (api: everything) answer."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Settings:
    """All that one service is told; ``secrets`` are the values to keep out of its log.

    ``patience_seconds``: how long the lease lasts unheard, a signed order counts and reads may lag;
    None means the values that are right for a real venue.

    ``role_passwords``: of each database role, from the files of CARRY_ROLE_PASSWORDS_DIR; for
    ``carry db migrate`` alone.
    """

    service: str
    venue: str
    account: str
    symbols: tuple[str, ...]
    database: DatabaseSettings
    redis: RedisSettings
    exchange: VenueSettings
    replay: ReplaySettings
    http: HttpSettings
    policy: PolicySet
    state_dir: Path
    dashboard_dir: Path
    log_level: str
    crash_at: str
    patience_seconds: float | None
    role_passwords: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def load_settings(service: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of ``service``, one of ``NEEDED``.

    Raises:
        Misconfigured: one sentence that names the key and says what to do.
    """
    given = os.environ if environ is None else environ
    keys = read_keys(given, Path(name) if (name := given.get(ENV_FILE_KEY, ".env")) else None)
    _require_no_tests(keys)
    _require_venue(service, keys)
    _require_needed(service, keys)
    passwords = _role_passwords(keys) if service == "db" else {}
    limits = {
        "pair_notional": keys.max_pair_notional,
        "gross_notional": keys.max_gross_notional,
        "orders_per_hour": keys.max_orders_per_hour,
    }
    return Settings(
        service=service,
        venue=keys.venue,
        account=keys.account,
        symbols=keys.symbols,
        database=DatabaseSettings(_database(keys)),
        redis=RedisSettings(_redis(keys)),
        exchange=VenueSettings(
            keys.venue_rest_url,
            keys.venue_ws_url,
            keys.venue_client,
            keys.secret("api_key"),
            keys.secret("api_secret"),
        ),
        replay=ReplaySettings(
            keys.replay_speed,
            keys.replay_start.astimezone(UTC),
            keys.deposit_usdt,
            keys.autostart,
            keys.secret("admin_token"),
            (keys.secret("watchdog_api_key"), keys.secret("watchdog_api_secret")),
        ),
        http=HttpSettings(keys.http_host, keys.http_port or PORTS[service]),
        policy=load_policy(keys.policy_file, {k: v for k, v in limits.items() if v is not None}),
        state_dir=keys.state_dir,
        dashboard_dir=keys.dashboard_dir,
        log_level=keys.log_level,
        crash_at=keys.crash_at,
        patience_seconds=keys.patience_seconds,
        role_passwords=passwords,
        secrets=_secrets(keys, passwords),
    )


def _require_needed(service: str, keys: Keys) -> None:
    for name in NEEDED[service]:
        if not keys.has(name):
            key = f"CARRY_{name.upper()}"
            also = f" (or {key}_FILE)" if name in Keys.secret_names() else ""
            raise Misconfigured(f"{key}{also} is missing: carry {service} cannot run without it.")


def _require_venue(service: str, keys: Keys) -> None:
    """Check all that the venue asks for, also of venues that cannot be used yet."""
    if keys.venue == "live":
        _require_live_confirmed(keys)
    if keys.venue in places.REAL and service == "executor":
        for name in ("api_key", "api_secret"):
            if not keys.has(name):
                key = f"CARRY_{name.upper()}"
                raise Misconfigured(
                    f"{key} (or {key}_FILE) is missing: CARRY_VENUE={keys.venue} trades with it."
                )
    if keys.venue_rest_url:
        places.require_venue_url(
            keys.venue, "CARRY_VENUE_REST_URL", keys.venue_rest_url, places.HTTP
        )
    if keys.venue_ws_url:
        places.require_venue_url(keys.venue, "CARRY_VENUE_WS_URL", keys.venue_ws_url, places.WS)
    if keys.venue != "replay":
        raise Misconfigured(
            f"CARRY_VENUE={keys.venue} is not built yet: this version trades recorded history "
            "only; set CARRY_VENUE=replay."
        )


def _require_live_confirmed(keys: Keys) -> None:
    if not keys.live_confirm:
        raise Misconfigured(
            "CARRY_LIVE_CONFIRM is missing: live trading needs it to repeat CARRY_ACCOUNT "
            f"({keys.account})."
        )
    if keys.live_confirm != keys.account:
        raise Misconfigured(
            f"CARRY_LIVE_CONFIRM={keys.live_confirm} does not agree with "
            f"CARRY_ACCOUNT={keys.account}: live trading needs both to name one account."
        )


def _database(keys: Keys) -> str:
    if not keys.database_url:
        return ""
    places.require_database_url(keys.database_url)
    return _with_password("CARRY_DATABASE", keys.database_url, keys.secret("database_password"))


def _redis(keys: Keys) -> str:
    if not keys.redis_url:
        return ""
    places.require_redis_url(keys.redis_url)
    return _with_password("CARRY_REDIS", keys.redis_url, keys.secret("redis_password"))


def _with_password(prefix: str, url: str, password: str) -> str:
    """Return ``url`` with ``password`` in its place, unless one stands there already."""
    if not password:
        return url
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if ":" in user:
        raise Misconfigured(
            f"{prefix}_URL holds a password and {prefix}_PASSWORD gives another: keep one of them."
        )
    if prefix == "CARRY_DATABASE" and not user:
        raise Misconfigured(
            f"{prefix}_URL names no user for {prefix}_PASSWORD: write postgresql://user@host/name."
        )
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()


def _role_passwords(keys: Keys) -> dict[str, str]:
    folder = keys.role_passwords_dir
    if folder is None:
        return {}
    key = "CARRY_ROLE_PASSWORDS_DIR"
    if not folder.is_dir():
        raise Misconfigured(f"{key} names {folder}, which is no folder.")
    # Files whose names begin with a dot are still being written.
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return {path.name: read_secret(path, key) for path in files}


def _secrets(keys: Keys, passwords: Mapping[str, str]) -> tuple[str, ...]:
    stated = {keys.secret(name) for name in Keys.secret_names()} | set(passwords.values())
    in_urls = {urlsplit(url).password or "" for url in (keys.database_url, keys.redis_url)}
    return tuple(sorted((stated | in_urls | {unquote(value) for value in in_urls}) - {""}))


def _require_no_tests(keys: Keys) -> None:
    """Refuse what tests alone ask for where it could meet real money."""
    asked = {"CARRY_CRASH_AT": keys.crash_at, "CARRY_PATIENCE_SECONDS": keys.patience_seconds}
    for key, value in asked.items():
        if value and keys.venue not in ("replay", "paper"):
            raise Misconfigured(f"{key} is for the simulator only; leave it out.")
