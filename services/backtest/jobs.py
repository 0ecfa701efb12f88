"""What can be queued: each kind of run with its command and the options it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.errors import Misconfigured

KIND: Final = "carry"
"""One exact run."""
SWEEP: Final = "sweep"
WALK: Final = "walk-forward"


@dataclass(frozen=True, slots=True)
class Job:
    """``command`` of ``carry backtest`` with what a worker adds, and the ``options`` it takes."""

    command: tuple[str, ...]
    options: tuple[str, ...]


SPAN: Final = ("from", "to", "symbols", "store")
FLAGS: Final = ("store",)
"""Options without a value: true or false."""
GRID: Final = ("spans", "entries", "exits", "holds")
JOBS: Final[Mapping[str, Job]] = {
    KIND: Job(("run", "--no-report"), (*SPAN, "deposit")),
    SWEEP: Job(("sweep",), (*SPAN, *GRID)),
    WALK: Job(
        ("walk-forward", "--no-report"), (*SPAN, *GRID, "folds", "notional", "cap", "deposit")
    ),
}


def arguments(kind: str, parameters: Mapping[str, Any]) -> list[str]:
    """Return the command line of a queued run, after ``carry``.

    Raises: Misconfigured naming the kind or the parameter that nobody knows.
    """
    job = JOBS.get(kind)
    if job is None:
        raise Misconfigured(f"no run is called {kind}: choose from {', '.join(JOBS)}")
    for name in parameters:
        if name not in job.options:
            raise Misconfigured(
                f"no {kind} has a parameter {name}: choose from {', '.join(job.options)}"
            )
    given = [word for name, value in parameters.items() for word in _words(name, value)]
    return ["backtest", *job.command, "--json", *given]


def _words(name: str, value: object) -> list[str]:
    if name not in FLAGS:
        return [f"--{name}={value}"]
    if not isinstance(value, bool):
        raise Misconfigured(f"{name} {value} is neither true nor false.")
    return [f"--{name}"] if value else []
