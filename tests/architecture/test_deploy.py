"""What ``docker-compose.yml`` promises: hardened containers, one door, no password in a file."""

import importlib.util
import os
import re
import stat
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from services.collector.meters import Meters
from services.executor.metrics import ExecutorMetrics
from shared.config.keys import ELSEWHERE, PORTS, Keys
from shared.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
KNOWN = {f"CARRY_{name.upper()}" for name in Keys.model_fields} | set(ELSEWHERE)
KNOWN |= {f"CARRY_{name.upper()}_FILE" for name in Keys.secret_names()}
PYTHON = ("simulator", "collector", "strategy", "executor", "watchdog", "api", "backtest")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_hardened_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_container_but_two_that_must_starts_as_root(name: str) -> None:
    # The one that makes the secrets, and the database's entry point, which steps down by itself.
    if name not in ("secrets", "timescaledb"):
        assert not SERVICES[name]["user"].startswith("0:")


def test_every_service_that_trades_runs_as_a_user_of_its_own() -> None:
    users = [SERVICES[name]["user"] for name in PYTHON]
    assert len(set(users)) == len(users)


def test_each_sweep_has_a_folder_of_its_own_on_the_volume() -> None:
    sweep = SERVICES["sweep"]
    assert "sweep-results:/app/reports" in sweep["volumes"]
    assert "working_dir" not in sweep  # /app, where reports/ is looked for
    assert "--results" not in sweep["command"]


def test_one_port_is_published_and_on_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:${CARRY_PORT:-8080}:8080"]


def test_every_network_but_the_door_is_internal() -> None:
    outside = {name for name, network in COMPOSE["networks"].items() if not network}
    assert outside == {"outside"}
    assert [n for n, s in SERVICES.items() if "outside" in s.get("networks", [])] == ["dashboard"]


def test_what_runs_for_ever_is_checked_and_the_engine_is_not_asked_too_much() -> None:
    for name, service in SERVICES.items():
        if service.get("restart") == "no":
            continue
        assert service["healthcheck"]["test"], name
        assert "start_interval" not in service["healthcheck"], name


@pytest.mark.parametrize("name", PYTHON)
def test_a_service_is_probed_where_it_listens(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][-2] == str(PORTS[name])
    scraped = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    assert f'"{name}:{PORTS[name]}"' in scraped


def test_every_metric_on_the_board_is_one_that_a_service_shows() -> None:
    text = (ROOT / "deploy/grafana/dashboards/carrydesk.json").read_text()
    used = set(re.findall(r"carry_[a-z_]+", text))
    collector, executor = Metrics("collector"), ExecutorMetrics().registry
    Meters(collector)
    shown = {
        sample.name
        for metrics in (collector, executor)
        for family in metrics.registry.collect()
        for sample in family.samples
    }
    assert len(used) >= 10
    assert used - shown == set()


def test_every_public_image_is_a_variable_with_a_pinned_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    defaults = dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", text))
    assert set(defaults) == {
        "TIMESCALEDB_IMAGE", "REDIS_IMAGE", "PYTHON_IMAGE", "NODE_IMAGE", "PROMETHEUS_IMAGE",
        "GRAFANA_IMAGE", "CADDY_IMAGE",
    }  # fmt: skip
    for image in defaults.values():
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+[\w.-]*", image), image


def test_every_key_that_compose_and_the_example_set_is_known() -> None:
    used = {
        key
        for service in SERVICES.values()
        for key in service.get("environment", {})
        if key.startswith("CARRY_")
    }
    used |= set(re.findall(r"^#?(CARRY_\w+)=", (ROOT / ".env.example").read_text(), re.M))
    assert used - KNOWN == set()


def test_only_the_venue_and_one_service_each_are_told_a_trading_key() -> None:
    secrets = ("CARRY_API_SECRET_FILE", "CARRY_WATCHDOG_API_SECRET_FILE")
    told: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for key in secrets:
            if key in service.get("environment", {}):
                told.setdefault(service["environment"][key], set()).add(name)
    assert told == {
        "/run/carry/api_secret": {"simulator", "executor"},
        "/run/carry/watchdog_api_secret": {"simulator", "watchdog"},
    }


def test_secrets_come_as_files_alone() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|API_KEY|TOKEN", key):
                assert str(value).startswith("/run/carry"), (name, key)


@pytest.fixture
def making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, dict[str, Any]]:
    """The script that makes secrets, on folders of this test; and the owners it asked for."""
    spec = importlib.util.spec_from_file_location(
        "make_secrets", ROOT / "deploy/docker/make_secrets.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    moved = {module.OWNER: tmp_path / "owner", module.SHARED: tmp_path / "shared"}
    for folder in (*moved.values(), tmp_path / "redis", tmp_path / "simulator"):
        folder.mkdir()
    files = tuple(
        secret._replace(path=moved[base] / secret.path.relative_to(base))
        for secret in module.FILES
        for base in moved
        if secret.path.is_relative_to(base)
    )
    owners: dict[str, Any] = {}
    monkeypatch.setattr(module, "FILES", files)
    monkeypatch.setattr(module, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(module, "FOLDERS", ((tmp_path / "redis", 1), (tmp_path / "simulator", 2)))
    monkeypatch.setattr(
        os, "chown", lambda path, user, group: owners.update({Path(path).name: (user, group)})
    )
    return module, owners


def test_secrets_are_random_differ_and_are_made_once(
    making: tuple[ModuleType, dict[str, Any]], tmp_path: Path
) -> None:
    module, _ = making
    module.main()
    first = {secret.path: secret.path.read_text() for secret in module.FILES}
    assert len(set(first.values())) == len(first)
    assert min(map(len, first.values())) >= 40
    module.main()
    assert {path: path.read_text() for path in first} == first
    password = first[tmp_path / "shared" / "redis"]
    assert f"requirepass {password}\n" in (tmp_path / "shared" / "redis.conf").read_text()


def test_a_secret_is_readable_by_its_own_service_and_the_migrations_alone(
    making: tuple[ModuleType, dict[str, Any]], tmp_path: Path
) -> None:
    module, owners = making
    module.main()
    roles = tmp_path / "shared" / "roles"
    assert stat.S_IMODE((roles / "carry_executor").stat().st_mode) == 0o440
    executor = int(SERVICES["executor"]["user"].split(":")[0])
    migrations = int(SERVICES["migrate"]["user"].split(":")[1])
    assert owners[".carry_executor.new"] == (executor, migrations)
    assert owners[".watchdog_api_secret.new"][0] == int(SERVICES["watchdog"]["user"].split(":")[0])
    assert owners[".api_secret.new"] == (
        executor,
        int(SERVICES["simulator"]["user"].split(":")[1]),
    )
