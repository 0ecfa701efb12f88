"""The real simulator as a process of its own, on a free port and a folder that goes away."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.carry.demo.children import free_port

READY_SECONDS = 60.0
FAULTS = "faults.yaml"


@dataclass
class Simulator:
    """Where it answers, and the one key that may trade."""

    port: int
    folder: Path
    api_key: str = field(default_factory=lambda: secrets.token_hex(8))
    api_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    admin_token: str = field(default_factory=lambda: secrets.token_hex(16))
    process: subprocess.Popen[bytes] | None = None

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self, *, speed: int, start: str) -> None:
        """Start the process and return once it answers."""
        own = {
            "CARRY_ENV_FILE": "",
            "CARRY_API_KEY": self.api_key,
            "CARRY_API_SECRET": self.api_secret,
            "CARRY_ADMIN_TOKEN": self.admin_token,
            "CARRY_HTTP_PORT": str(self.port),
            "CARRY_STATE_DIR": str(self.folder),
            "CARRY_REPLAY_SPEED": str(speed),
            "CARRY_REPLAY_START": start,
        }
        faults = self.folder / FAULTS
        options = ["--faults", str(faults)] if faults.exists() else []
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CARRY_")}
        with (self.folder / "simulator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.carry.cli", "simulator", *options],
                env={**inherited, **own},
                stdout=log,
                stderr=log,
            )
        self._wait()

    def release(self) -> None:
        """Let venue time run."""
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        httpx.post(f"{self.rest}/sim/start", headers=headers).raise_for_status()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=10)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.rest}/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        said = (self.folder / "simulator.log").read_text(errors="replace")
        raise AssertionError(f"the simulator did not start:\n{said[-2000:]}")


@contextmanager
def simulator(
    *, speed: int = 3600, start: str = "2023-11-11T00:00:00Z", script: str | None = None
) -> Iterator[Simulator]:
    """Run a simulator whose venue time stands still until ``release``; ``script`` is YAML."""
    with tempfile.TemporaryDirectory(prefix="carry-sim-") as folder:
        running = Simulator(free_port(), Path(folder))
        if script is not None:
            (running.folder / FAULTS).write_text(script)
        try:
            running.start(speed=speed, start=start)
            yield running
        finally:
            running.stop()
