"""One look for progress on the terminal: how many of how many, how fast, how long still.

A run that was queued tells its worker instead, a line of JSON on standard error each second.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from shared.runtime.clock import Clock

TELL_SECONDS: Final = 1.0

Steps = Callable[[int, int], None]
"""(done, total)."""


class Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing before the first step."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="dim")


def progress_bar(console: Console) -> Progress:
    """Return a bar that leaves nothing behind; steps are named by the task's description."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


@contextmanager
def steps(name: str, clock: Clock, claimed: str | None = None) -> Iterator[Steps]:
    """Lend what is told how far a run is: a bar on the terminal, or lines for its worker."""
    if claimed is not None:
        yield _lines(clock)
        return
    with progress_bar(Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(clock: Clock) -> Steps:
    told = float("-inf")

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = clock.monotonic()
        if now - told >= TELL_SECONDS or done == total:
            told = now
            sys.stderr.write(json.dumps({"done": done, "total": total}) + "\n")
            sys.stderr.flush()

    return tell
