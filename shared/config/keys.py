"""The ``CARRY_*`` keys: types, ranges, defaults, and how they are read."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.config.policy import unknown_key
from shared.domain.errors import Misconfigured

PREFIX: Final = "CARRY_"
FILE: Final = "_FILE"
ELSEWHERE: Final = (
    "CARRY_ENV_FILE", "CARRY_PORT", "CARRY_TEST_DSN", "CARRY_TEST_REDIS_URL",
    "CARRY_TEST_TIMESCALEDB_IMAGE",
)  # fmt: skip
"""Keys of Compose, of the tests, and of the reading itself."""

NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "simulator": ("api_key", "api_secret"),
    "collector": ("database_url", "redis_url", "venue_rest_url", "venue_ws_url"),
    "strategy": ("database_url", "redis_url"),
    "executor": (
        "database_url", "redis_url", "venue_rest_url", "venue_ws_url", "api_key", "api_secret",
    ),
    "watchdog": (
        "database_url", "redis_url", "venue_rest_url", "venue_ws_url", "api_key", "api_secret",
    ),
    "api": ("database_url",),
    "backtest": ("database_url",),
    "db": ("database_url",),
    "doctor": (),
}  # fmt: skip
"""The services, and the keys without which each cannot run."""

PORTS: Final[Mapping[str, int]] = {
    "simulator": 8100, "collector": 8101, "strategy": 8102, "executor": 8103, "backtest": 8104,
    "api": 8080, "db": 8105, "doctor": 8106, "watchdog": 8107,
}  # fmt: skip

Notional = Annotated[Decimal, Field(gt=0, le=1_000_000_000, allow_inf_nan=False)]


class Keys(BaseSettings):
    """Every key, without its prefix. Of one venue and account; secrets never show in a repr."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    venue: Literal["replay", "paper", "demo", "testnet", "live"] = "replay"
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")] = "desk-1"
    live_confirm: str = ""
    symbols: Annotated[tuple[str, ...], NoDecode, Field(min_length=1, max_length=200)] = (
        "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT",
    )  # fmt: skip

    database_url: str = Field("", repr=False)
    database_password: SecretStr = SecretStr("")
    redis_url: str = Field("", repr=False)
    redis_password: SecretStr = SecretStr("")

    venue_rest_url: str = ""
    venue_ws_url: str = ""
    venue_client: Literal["bybit", "ccxt"] = "bybit"
    api_key: SecretStr = SecretStr("")
    api_secret: SecretStr = SecretStr("")

    replay_speed: Annotated[int, Field(ge=1, le=100_000)] = 3_600
    replay_start: AwareDatetime = datetime(2023, 11, 11, tzinfo=UTC)
    deposit_usdt: Notional = Decimal(100_000)
    autostart: bool = False
    admin_token: SecretStr = SecretStr("")
    watchdog_api_key: SecretStr = SecretStr("")
    watchdog_api_secret: SecretStr = SecretStr("")

    policy_file: Path | None = None
    max_pair_notional: Notional | None = None
    max_gross_notional: Notional | None = None
    max_orders_per_hour: Annotated[int, Field(ge=1, le=100_000)] | None = None

    http_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    state_dir: Path = Path(".state")
    role_passwords_dir: Path | None = None
    dashboard_dir: Path = Path("dashboard-ui/out")
    crash_at: str = ""
    patience_seconds: Annotated[float, Field(ge=0.5, le=5)] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        symbols = tuple(part.strip() for part in given.split(",") if part.strip())
        for symbol in symbols:
            if not (symbol.isalnum() and symbol.isascii() and symbol.isupper()):
                raise ValueError(f"{symbol!r} is no symbol like BTCUSDT")
        if len(set(symbols)) != len(symbols):
            raise ValueError("a symbol stands there twice")
        return symbols

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take nothing but what ``read_keys`` hands over: one reader, one order."""
        return (init_settings,)

    @classmethod
    def secret_names(cls) -> tuple[str, ...]:
        """Return the keys that hold secrets, without prefix."""
        return tuple(n for n, f in cls.model_fields.items() if f.annotation is SecretStr)

    def secret(self, name: str) -> str:
        """Return the value of one secret; empty when it was not given."""
        value: SecretStr = getattr(self, name)
        return value.get_secret_value()

    def has(self, name: str) -> bool:
        """Return whether a key was given and is not empty."""
        return bool(self.secret(name) if name in self.secret_names() else getattr(self, name))


def read_keys(environ: Mapping[str, str], env_file: Path | None) -> Keys:
    """Return the keys of ``environ``, filled up from ``env_file`` when there is one.

    Raises:
        Misconfigured: an unknown key, a value out of range, an unreadable secret file.
    """
    nearest = _layer({k: v for k, v in environ.items() if k.startswith(PREFIX)}, "The environment")
    farthest = {} if env_file is None else _layer(_dotenv(env_file), f"The file {env_file}")
    given: dict[str, Any] = {**farthest, **nearest}
    try:
        return Keys(**given)
    except ValidationError as error:
        raise Misconfigured(_sentence(error, given)) from None


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    source = DotEnvSettingsSource(Keys, env_file=path, case_sensitive=True)
    return {k: v or "" for k, v in source.env_vars.items() if k.startswith(PREFIX)}


def _layer(given: Mapping[str, str], where: str) -> dict[str, str]:
    """Return one source's keys without prefix, with secret files read. Empty means not given."""
    known = {f"{PREFIX}{name.upper()}": name for name in Keys.model_fields}
    files = {f"{PREFIX}{name.upper()}{FILE}": name for name in Keys.secret_names()}
    unknown_key(given, {*known, *files, *ELSEWHERE}, where)
    values = {known[key]: value for key, value in given.items() if key in known and value}
    for key, name in files.items():
        if not (path := given.get(key)):
            continue
        if name in values:
            raise Misconfigured(f"{where}: {key} and {key.removesuffix(FILE)} both stand there.")
        values[name] = read_secret(Path(path), key)
    return values


def read_secret(path: Path, key: str) -> str:
    """Return the secret in the file ``path``, which ``key`` names.

    Raises:
        Misconfigured: the file cannot be read, or holds nothing.
    """
    try:
        secret = path.read_text().strip()
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{key} names {path}, which cannot be read.") from error
    if not secret:
        raise Misconfigured(f"{key} names {path}, which is empty.")
    return secret


def _sentence(error: ValidationError, given: Mapping[str, str]) -> str:
    """Return the first thing that is wrong, with its value unless that may hold a secret."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    shown = "" if name in Keys.secret_names() else f"={given.get(name, '')}"
    wrong = first["msg"].removeprefix("Value error, ")
    wrong = wrong.replace("Input should", "it must").replace("String should", "it must")
    return f"{PREFIX}{name.upper()}{shown} is wrong: {wrong}."
