"""One line of the bench: a figure, what it should be, and whether it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
YARDSTICKS: Final = ROOT.parent / "shared" / "bench"
PLACE: Final = ROOT / ".bench"


class NotMeasured(Exception):
    """A yardstick or a rival is not there; the text says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """``met`` None: not measured, which never counts as met."""

    name: str
    said: str
    goal: str
    met: bool | None

    def __str__(self) -> str:
        verdict = {True: "met", False: "MISSED", None: "NOT MEASURED"}[self.met]
        return f"{verdict:12} {self.name}: {self.said} (wants {self.goal})"


Section = Callable[[], Iterator[Figure]]


def figures(name: str, section: Section) -> Iterator[Figure]:
    """Yield a section's figures; what it lacks is one line and stops no other section."""
    try:
        yield from section()
    except NotMeasured as error:
        yield Figure(name, str(error), "it", None)


def at_most(name: str, value: float, bound: float, said: str) -> Figure:
    """Return the figure of a value that should be small."""
    return Figure(name, said, f"<= {bound:g}", value <= bound)


def at_least(name: str, value: float, bound: float, said: str) -> Figure:
    """Return the figure of a value that should be large."""
    return Figure(name, said, f">= {bound:g}", value >= bound)


def yardstick(name: str) -> Path:
    """Return the path of a yardstick program.

    Raises: NotMeasured.
    """
    path = YARDSTICKS / name
    if not path.exists():
        raise NotMeasured(f"the yardstick {name} is not in ../shared/bench")
    return path
