"""Make what each container may know, once: random values in files that only their readers can read.

Runs as root before everything else, and leaves what is there as it is. The readers are told apart
by the user (and group) their container runs as, see ``docker-compose.yml``.
"""

import os
import secrets
from pathlib import Path
from typing import NamedTuple

OWNER = Path("/run/carry-owner")  # only the database and the migrations see this volume
SHARED = Path("/run/carry")
SERVICES = 10_001  # the group of every service that uses the bus
MIGRATE, SIMULATOR, COLLECTOR, STRATEGY, EXECUTOR, API, BACKTEST, WATCHDOG, SWEEP = range(
    10_010, 10_019
)
REDIS = 10_020
GRAFANA = 472  # the user of the public image


class Secret(NamedTuple):
    """A file, and who may read it."""

    path: Path
    user: int
    group: int
    mode: int = 0o440


FILES = (
    # Readable by whoever mounts it: the database's user has another number in every image.
    Secret(OWNER / "postgres", 0, 0, 0o444),
    Secret(SHARED / "roles/carry_collector", COLLECTOR, MIGRATE),
    Secret(SHARED / "roles/carry_strategy", STRATEGY, MIGRATE),
    Secret(SHARED / "roles/carry_executor", EXECUTOR, MIGRATE),
    Secret(SHARED / "roles/carry_watchdog", WATCHDOG, MIGRATE),
    Secret(SHARED / "roles/carry_reader", API, MIGRATE),
    Secret(SHARED / "roles/carry_commander", API, MIGRATE),
    Secret(SHARED / "roles/carry_backtest", BACKTEST, MIGRATE),
    Secret(SHARED / "redis", REDIS, SERVICES),
    Secret(SHARED / "api_key", EXECUTOR, SIMULATOR),
    Secret(SHARED / "api_secret", EXECUTOR, SIMULATOR),
    Secret(SHARED / "watchdog_api_key", WATCHDOG, SIMULATOR),
    Secret(SHARED / "watchdog_api_secret", WATCHDOG, SIMULATOR),
    Secret(SHARED / "grafana", GRAFANA, 0, 0o400),
)
FOLDERS = (
    (Path("/data/redis"), REDIS),
    (Path("/data/simulator"), SIMULATOR),
    (Path("/data/sweep"), SWEEP),
)
REDIS_CONF = """\
requirepass {password}
dir /data
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
protected-mode no
"""


def main() -> None:
    """Write what is missing; set owners and modes of all."""
    for secret in FILES:
        secret.path.parent.mkdir(mode=0o755, exist_ok=True)
        if not secret.path.exists():
            write(secret, secrets.token_urlsafe(32))
    password = (SHARED / "redis").read_text()
    write(Secret(SHARED / "redis.conf", REDIS, 0, 0o400), REDIS_CONF.format(password=password))
    for folder, user in FOLDERS:
        os.chown(folder, user, SERVICES)
        folder.chmod(0o700)


def write(secret: Secret, text: str) -> None:
    """Put a whole file in place under its final owner and mode, or nothing."""
    fresh = secret.path.with_name(f".{secret.path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text)
        os.fsync(file.fileno())
    os.chown(fresh, secret.user, secret.group)
    fresh.chmod(secret.mode)
    fresh.replace(secret.path)


if __name__ == "__main__":
    main()
