"""A server process of ours: started as an unprivileged user, gone when we are gone.

Plain ``subprocess`` and polling, so that a server may outlive the event loop that started it.
"""

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from shared.domain.errors import Misconfigured

UNPRIVILEGED: Final = "nobody"
POLL_SECONDS: Final = 0.02

# Runs before the server in the same process: leaves our rights behind, asks Linux to signal the
# server when we die (even by SIGKILL), then becomes the server. A signal asked for before the
# change of user would be forgotten.
_TRAMPOLINE: Final = """
import ctypes, os, sys
parent, death, uid, gid, *command = sys.argv[1:]
if int(uid):
    os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
os.umask(0o077)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(death), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(1)
os.execv(command[0], command)
"""


class User:
    """Whom the servers run as: ourselves, or ``nobody`` when we are root, whom PostgreSQL refuses.

    ``uid`` is 0 when nothing has to change.
    """

    def __init__(self) -> None:
        self.uid = self.gid = 0
        if os.geteuid() == 0:
            try:
                entry = pwd.getpwnam(UNPRIVILEGED)
            except KeyError:
                raise Misconfigured(
                    f"PostgreSQL does not run as root and there is no user {UNPRIVILEGED!r}: "
                    "start as another user"
                ) from None
            self.uid, self.gid = entry.pw_uid, entry.pw_gid

    def own(self, path: Path) -> None:
        """Give one path of ours to the user."""
        if self.uid:
            os.chown(path, self.uid, self.gid)

    def make_folder(self, path: Path) -> None:
        """Make one folder that only the user can open; its parent must be there."""
        path.mkdir(mode=0o700, exist_ok=True)
        self.own(path)

    def write(self, path: Path, text: str) -> None:
        """Write a file that only the user can read."""
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        self.own(path)

    def can(self, test: str, path: Path) -> bool:
        """Return whether the user passes ``test`` (a flag of test(1): -x, -w ...) on ``path``."""
        command = self.command(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)])
        done = subprocess.run(command, check=False, cwd="/", capture_output=True)  # noqa: S603
        return done.returncode == 0

    def command(self, argv: Sequence[str], death: int = signal.SIGTERM) -> list[str]:
        """Return the command line that runs ``argv`` as the user and signals it at our death."""
        return bound_to_us(argv, death, self.uid, self.gid)

    def run(self, argv: Sequence[str], text: str = "") -> None:
        """Run a short-lived program to its end.

        Raises: Misconfigured with the end of what it printed, when it fails.
        """
        done = subprocess.run(  # noqa: S603 - our own command line
            self.command(argv), input=text, capture_output=True, text=True, check=False, cwd="/"
        )
        if done.returncode != 0:
            raise Misconfigured(
                f"{Path(argv[0]).name} failed: {(done.stderr or done.stdout)[-800:]}"
            )


def bound_to_us(argv: Sequence[str], death: int, uid: int = 0, gid: int = 0) -> list[str]:
    """Return the command line that runs ``argv``, as user ``uid`` unless 0, until our death."""
    head = [sys.executable, "-I", "-S", "-c", _TRAMPOLINE]
    return [*head, str(os.getpid()), str(int(death)), str(uid), str(gid), *argv]


async def end_previous(pid_file: Path, program: str, how: int, seconds: float = 10.0) -> None:
    """End what a killed run left behind in our own folder; Linux has usually done so already.

    A pid file survives a power cut, so the pid counts only while it runs ``program``.

    Raises: Misconfigured when it does not end.
    """
    pid = _pid_in(pid_file)
    deadline = time.monotonic() + seconds
    signalled = False
    while pid and program in _command_of(pid):
        if not signalled:
            os.kill(pid, how)
            signalled = True
        if time.monotonic() > deadline:
            raise Misconfigured(f"{program} of an earlier run (pid {pid}) does not end: stop it")
        await asyncio.sleep(POLL_SECONDS)


class Server:
    """One running child and its log."""

    def __init__(self, name: str, user: User, log: Path, death: int = signal.SIGTERM) -> None:
        self.name = name
        self._user = user
        self._log = log
        self._death = death
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id, for a test that kills it; 0 when it does not run."""
        return 0 if self._child is None else self._child.pid

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself, or by another's hand."""
        return self._child is not None and self._child.poll() is not None

    def start(self, argv: Sequence[str]) -> None:
        """Start the server in a session of its own, out of reach of the terminal's Ctrl-C."""
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own command line
                self._user.command(argv, self._death),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )

    async def until_ready(self, ready: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait until ``ready`` says so.

        Raises: Misconfigured with the end of the log when the server ends or takes too long.
        """
        deadline = time.monotonic() + seconds
        while not await ready():
            if self._child is None or self._child.poll() is not None:
                raise Misconfigured(f"{self.name} did not start: {self._log_end()}")
            if time.monotonic() > deadline:
                raise Misconfigured(
                    f"{self.name} is not ready after {seconds:g} s: {self._log_end()}"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self, how: int, seconds: float = 15.0) -> None:
        """Send ``how`` and wait for the end; SIGKILL when it takes too long."""
        if self._child is None:
            return
        deadline = time.monotonic() + seconds
        self._signal(how)
        while self._child.poll() is None:
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            await asyncio.sleep(POLL_SECONDS)
        self._child = None

    def _signal(self, how: int) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(how)

    def _log_end(self) -> str:
        try:
            return self._log.read_text(errors="replace")[-800:].strip()
        except OSError as error:
            return f"no log ({error})"


def _pid_in(pid_file: Path) -> int:
    """Return the pid that the file's first line names, 0 when there is none."""
    try:
        return int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _command_of(pid: int) -> str:
    """Return the name of the program that ``pid`` runs, empty when there is none."""
    if Path("/proc/self/comm").exists():
        try:
            return Path(f"/proc/{pid}/comm").read_text()
        except OSError:
            return ""
    ps = ["ps", "-p", str(pid), "-o", "comm="]
    return subprocess.run(ps, check=False, capture_output=True, text=True).stdout  # noqa: S603
