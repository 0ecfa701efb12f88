"""What the settings accept, and the one sentence with which they refuse."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from shared.config.keys import NEEDED, PORTS
from shared.config.settings import Settings, load_settings
from shared.domain.errors import Misconfigured

PASSWORD = "not-a-real-password"
COLLECTOR = {
    "CARRY_ENV_FILE": "",
    "CARRY_DATABASE_URL": "postgresql://carry_collector@timescaledb:5432/carrydesk",
    "CARRY_REDIS_URL": "redis://redis:6379/0",
    "CARRY_VENUE_REST_URL": "http://simulator:8100",
    "CARRY_VENUE_WS_URL": "ws://simulator:8100",
}
EXECUTOR = {**COLLECTOR, "CARRY_API_KEY": "the-key", "CARRY_API_SECRET": "the-secret"}


def load(
    service: str = "collector", given: Mapping[str, str] = COLLECTOR, /, **more: str
) -> Settings:
    return load_settings(service, {**given, **more})


def refusal(
    service: str = "collector", given: Mapping[str, str] = COLLECTOR, /, **more: str
) -> str:
    with pytest.raises(Misconfigured) as refused:
        load(service, given, **more)
    return str(refused.value)


def test_the_defaults_replay_five_pairs_an_hour_a_second_from_november_2023() -> None:
    settings = load()
    assert settings.venue == "replay"
    assert settings.account == "desk-1"
    assert settings.symbols == ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT")
    assert settings.replay.speed == 3600
    assert settings.replay.start == datetime(2023, 11, 11, tzinfo=UTC)
    assert settings.replay.deposit_usdt == Decimal(100_000)
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8101)


def test_every_service_has_a_port_of_its_own() -> None:
    assert set(PORTS) == set(NEEDED)
    assert len(set(PORTS.values())) == len(PORTS)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("CARRY_VENU", "did you mean CARRY_VENUE?"),
        ("CARRY_API_SECRETS", "did you mean CARRY_API_SECRET?"),
        ("CARRY_MAX_GROS_NOTIONAL", "did you mean CARRY_MAX_GROSS_NOTIONAL?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(key: str, hint: str) -> None:
    assert refusal(**{key: "x"}) == f"The environment: {key} is not known; {hint}"


def test_an_unknown_key_in_the_env_file_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "desk.env"
    path.write_text("CARRY_REPLAY_SPED=60\nPYTHON_IMAGE=python:3.13-slim\n")
    told = refusal(CARRY_ENV_FILE=str(path))
    assert told.startswith(f"The file {path}: CARRY_REPLAY_SPED is not known")
    assert told.endswith("did you mean CARRY_REPLAY_SPEED?")


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    path = tmp_path / "desk.env"
    path.write_text("CARRY_REPLAY_SPEED=60\nCARRY_ACCOUNT=desk-9\nCARRY_PORT=8080\n")
    settings = load(CARRY_ENV_FILE=str(path), CARRY_ACCOUNT="desk-2")
    assert (settings.replay.speed, settings.account) == (60, "desk-2")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("CARRY_MAX_GROSS_NOTIONAL", "-5", "CARRY_MAX_GROSS_NOTIONAL=-5 is wrong"),
        ("CARRY_MAX_PAIR_NOTIONAL", "NaN", "CARRY_MAX_PAIR_NOTIONAL=NaN is wrong"),
        ("CARRY_MAX_ORDERS_PER_HOUR", "0", "CARRY_MAX_ORDERS_PER_HOUR=0 is wrong"),
        ("CARRY_REPLAY_SPEED", "0", "CARRY_REPLAY_SPEED=0 is wrong"),
        ("CARRY_REPLAY_SPEED", "100001", "CARRY_REPLAY_SPEED=100001 is wrong"),
        ("CARRY_REPLAY_START", "2023-11-11T00:00:00", "CARRY_REPLAY_START=2023-11-11T00:00:00"),
        ("CARRY_DEPOSIT_USDT", "0", "CARRY_DEPOSIT_USDT=0 is wrong"),
        ("CARRY_VENUE", "binance", "CARRY_VENUE=binance is wrong"),
        ("CARRY_ACCOUNT", "../desk", "CARRY_ACCOUNT=../desk is wrong"),
        ("CARRY_SYMBOLS", "BTCUSDT,BTCUSDT", "a symbol stands there twice"),
        ("CARRY_SYMBOLS", "btcusdt", "'btcusdt' is no symbol like BTCUSDT"),
        ("CARRY_HTTP_PORT", "70000", "CARRY_HTTP_PORT=70000 is wrong"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(key: str, value: str, said: str) -> None:
    told = refusal(**{key: value})
    assert said in told
    assert "\n" not in told


@pytest.mark.parametrize(("speed", "read"), [("1", 1), ("100000", 100_000)])
def test_the_ends_of_a_range_are_allowed(speed: str, read: int) -> None:
    assert load(CARRY_REPLAY_SPEED=speed).replay.speed == read


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("CARRY_VENUE_REST_URL", "simulator:8100", "it must be a base address like http://"),
        ("CARRY_VENUE_REST_URL", "ws://simulator:8100", "it must be a base address like http://"),
        ("CARRY_VENUE_REST_URL", "http://simulator:8100/v5", "it must be a base address"),
        ("CARRY_VENUE_REST_URL", "http://simulator:port", "it must look like http://host:port"),
        ("CARRY_VENUE_WS_URL", "http://simulator:8100", "it must be a base address like ws://"),
        ("CARRY_VENUE_REST_URL", "https://api.bybit.com", "names Bybit itself"),
        ("CARRY_VENUE_WS_URL", "wss://stream.bybit.com", "names Bybit itself"),
        ("CARRY_VENUE_REST_URL", "https://api.bytick.com", "names Bybit itself"),
        ("CARRY_VENUE_REST_URL", "http://example.org:8100", "is not private"),
        ("CARRY_VENUE_REST_URL", "http://8.8.8.8:8100", "is not private"),
        ("CARRY_VENUE_REST_URL", "http://0.0.0.0:8100", "is not private"),
        ("CARRY_DATABASE_URL", "mysql://user@host/name", "it must look like postgresql://"),
        ("CARRY_DATABASE_URL", "postgresql://user@host", "it must look like postgresql://"),
        ("CARRY_REDIS_URL", "http://redis:6379", "it must look like redis://"),
    ],
)
def test_a_wrong_url_is_refused_by_name(key: str, value: str, said: str) -> None:
    told = refusal(**{key: value})
    assert told.startswith(key)
    assert said in told


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.7", "simulator"])
def test_a_replay_accepts_loopback_private_and_container_hosts(host: str) -> None:
    assert load(CARRY_VENUE_REST_URL=f"http://{host}:8100").exchange.rest_url.endswith(":8100")


def test_a_database_behind_a_socket_is_accepted() -> None:
    url = "postgresql://carry_collector@/carrydesk?host=/run/carry"
    assert load(CARRY_DATABASE_URL=url).database.dsn == url


@pytest.mark.parametrize(
    ("service", "missing"),
    [
        ("collector", "CARRY_DATABASE_URL"),
        ("strategy", "CARRY_REDIS_URL"),
        ("executor", "CARRY_API_SECRET"),
        ("simulator", "CARRY_API_KEY"),
        ("api", "CARRY_DATABASE_URL"),
    ],
)
def test_what_a_service_needs_is_asked_for_by_name(service: str, missing: str) -> None:
    given = {key: value for key, value in EXECUTOR.items() if key != missing}
    told = refusal(service, given)
    assert told.startswith(missing)
    assert told.endswith(f"is missing: carry {service} cannot run without it.")


def test_secrets_come_from_files_and_enter_the_addresses_quoted(tmp_path: Path) -> None:
    (tmp_path / "database").write_text("p@ss/word\n")
    (tmp_path / "redis").write_text("r:dis\n")
    settings = load(
        CARRY_DATABASE_PASSWORD_FILE=str(tmp_path / "database"),
        CARRY_REDIS_PASSWORD_FILE=str(tmp_path / "redis"),
    )
    assert settings.database.dsn == (
        "postgresql://carry_collector:p%40ss%2Fword@timescaledb:5432/carrydesk"
    )
    assert settings.redis.url == "redis://:r%3Adis@redis:6379/0"
    assert set(settings.secrets) == {"p@ss/word", "r:dis"}


def test_an_unreadable_or_empty_secret_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    key = "CARRY_API_SECRET_FILE"
    assert refusal(**{key: str(path)}) == f"{key} names {path}, which cannot be read."
    path.write_text("\n")
    assert refusal(**{key: str(path)}) == f"{key} names {path}, which is empty."


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(PASSWORD)
    told = refusal(CARRY_API_KEY="k", CARRY_API_KEY_FILE=str(path))
    assert told == "The environment: CARRY_API_KEY_FILE and CARRY_API_KEY both stand there."
    url = "postgresql://carry_collector:first@timescaledb/carrydesk"
    told = refusal(CARRY_DATABASE_URL=url, CARRY_DATABASE_PASSWORD=PASSWORD)
    assert "keep one of them" in told
    assert PASSWORD not in told


def test_migrations_read_one_password_per_role_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "carry_reader").write_text("reader-password\n")
    (tmp_path / ".carry_executor.new").write_text("half")
    settings = load("db", COLLECTOR, CARRY_ROLE_PASSWORDS_DIR=str(tmp_path))
    assert settings.role_passwords == {"carry_reader": "reader-password"}
    assert "reader-password" in settings.secrets
    assert "reader-password" not in repr(settings)
    assert load("collector", COLLECTOR, CARRY_ROLE_PASSWORDS_DIR=str(tmp_path)).role_passwords == {}


def test_secrets_show_in_no_repr() -> None:
    url = f"postgresql://carry_executor:{PASSWORD}@timescaledb/carrydesk"
    shown = repr(load("executor", EXECUTOR, CARRY_DATABASE_URL=url))
    for secret in (PASSWORD, "the-key", "the-secret"):
        assert secret not in shown


def test_live_needs_a_second_setting_that_agrees() -> None:
    live = {**EXECUTOR, "CARRY_VENUE": "live"}
    assert refusal("executor", live).startswith("CARRY_LIVE_CONFIRM is missing")
    told = refusal("executor", live, CARRY_LIVE_CONFIRM="desk-2")
    assert told.startswith("CARRY_LIVE_CONFIRM=desk-2 does not agree with CARRY_ACCOUNT=desk-1")


@pytest.mark.parametrize("missing", ["CARRY_API_KEY", "CARRY_API_SECRET"])
def test_live_needs_the_trading_key_and_its_secret(missing: str) -> None:
    live = {**EXECUTOR, "CARRY_VENUE": "live", "CARRY_LIVE_CONFIRM": "desk-1"}
    del live[missing]
    assert refusal("executor", live).startswith(f"{missing} (or {missing}_FILE) is missing")


def test_live_refuses_unencrypted_addresses() -> None:
    live = {**EXECUTOR, "CARRY_VENUE": "live", "CARRY_LIVE_CONFIRM": "desk-1"}
    assert "needs https://" in refusal("executor", live)


@pytest.mark.parametrize("venue", ["paper", "demo", "testnet", "live"])
def test_a_venue_that_is_not_built_yet_is_refused_honestly(venue: str) -> None:
    simulated = venue == "paper"
    told = refusal(
        "executor",
        EXECUTOR,
        CARRY_VENUE=venue,
        CARRY_LIVE_CONFIRM="desk-1",
        CARRY_VENUE_REST_URL="http://simulator:8100" if simulated else "https://api.bybit.com",
        CARRY_VENUE_WS_URL="ws://simulator:8100" if simulated else "wss://stream.bybit.com",
    )
    assert told == (
        f"CARRY_VENUE={venue} is not built yet: this version trades recorded history only; "
        "set CARRY_VENUE=replay."
    )


def test_limits_in_the_environment_stand_above_the_policy_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[limits]\npair_notional = 9000\ngross_notional = 40000\n")
    settings = load(CARRY_POLICY_FILE=str(path), CARRY_MAX_GROSS_NOTIONAL="20000")
    assert settings.policy.limits.pair_notional == Decimal(9_000)
    assert settings.policy.limits.gross_notional == Decimal(20_000)


@pytest.mark.parametrize(
    ("key", "value"), [("CARRY_CRASH_AT", "cp5"), ("CARRY_PATIENCE_SECONDS", "1")]
)
def test_what_tests_alone_ask_for_is_refused_where_real_money_is(key: str, value: str) -> None:
    load("executor", EXECUTOR, **{key: value})
    said = refusal("executor", EXECUTOR, **{key: value, "CARRY_VENUE": "live"})
    assert said == f"{key} is for the simulator only; leave it out."


def test_patience_shortens_lease_receive_window_and_lag_together() -> None:
    assert load("executor", EXECUTOR).patience_seconds is None
    assert load("executor", EXECUTOR, CARRY_PATIENCE_SECONDS="1").patience_seconds == 1
    assert "CARRY_PATIENCE_SECONDS" in refusal("executor", EXECUTOR, CARRY_PATIENCE_SECONDS="0.1")
