"""Child processes: started with their own environment, watched, restarted when they die."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from secrets import SystemRandom

import httpx

from services.carry.embedded.process import bound_to_us

STOP_SECONDS = 10
RESTART_SECONDS = 0.2
RESTARTS_MAX = 3
MISCONFIGURED = 2
BELOW_EPHEMERAL = range(20_000, 32_000)
_UNTRIED = iter(SystemRandom().sample(BELOW_EPHEMERAL, len(BELOW_EPHEMERAL)))


@dataclass
class Child:
    """One service: what to run, where it answers, and how often it had to be restarted."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    port: int
    log_path: Path
    restarts: int = 0
    stopping: bool = False
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where its health and metrics are."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the process; what it prints goes to its log file."""
        with self.log_path.open("ab") as log:
            command = [sys.executable, "-m", "services.carry.cli", *self.arguments]
            self.process = await asyncio.create_subprocess_exec(
                *bound_to_us(command, signal.SIGTERM),
                env={**_inherited(), **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def supervise(self) -> None:
        """Restart the process whenever it ends before it is told to stop.

        Raises: NotReadyError when it says that its settings are wrong, which no restart mends.
        """
        while True:
            assert self.process is not None
            await self.process.wait()
            if self.stopping:
                return
            if self.process.returncode == MISCONFIGURED:
                raise NotReadyError(f"{self.name} stopped:\n{self.last_words()}")
            self.restarts += 1
            await asyncio.sleep(RESTART_SECONDS)
            await self.start()

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        assert self.process is not None
        self.process.kill()

    async def stop(self) -> None:
        """Ask it to end, then insist."""
        self.stopping = True
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def last_words(self, lines: int = 12) -> str:
        """Return the end of its log."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])


class NotReadyError(Exception):
    """A service did not become ready; the text names it and shows the end of its log."""


async def wait_until_ready(
    children: list[Child], client: httpx.AsyncClient, seconds: float
) -> None:
    """Return when each child answers /readyz with 200.

    Raises: NotReadyError naming the first that cannot start, or did not within ``seconds``.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    for child in children:
        while not await _answers(child, client):
            assert child.process is not None
            if child.process.returncode == MISCONFIGURED or child.restarts > RESTARTS_MAX:
                raise NotReadyError(f"{child.name} did not start:\n{child.last_words()}")
            if asyncio.get_running_loop().time() > deadline:
                raise NotReadyError(
                    f"{child.name} is not ready; the end of {child.log_path}:\n{child.last_words()}"
                )
            await asyncio.sleep(0.1)


async def _answers(child: Child, client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get(f"{child.url}/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def free_port(wanted: int = 0) -> int:
    """Return ``wanted`` when nothing listens there on loopback, else any free port.

    One below those that outgoing connections are given: between this look and the child's own
    binding, any of the database's or the bus's would do to take it. None is returned twice.
    """
    for port in chain((wanted,) if wanted else (), _UNTRIED):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NotReadyError("no free port on 127.0.0.1")


def _inherited() -> dict[str, str]:
    """What a child needs of our own environment; settings and secrets come explicitly."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("CARRY_", "PG"))
    }
