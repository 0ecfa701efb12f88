"""What every part of one run shares: time, draws, faults, the trace and the count of it all."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Final, TypeVar

from tests.simulation.faults import Dice, Swarm, Tally
from tests.simulation.loop import Process, VirtualLoop

T = TypeVar("T")

WORLD: Final = contextvars.Context()
"""Where callbacks run that belong to no process: what is on the wire does not freeze or die."""


class Violation(AssertionError):
    """An invariant does not hold; the text begins with its id."""


class World:
    """One run. ``trace`` lines are (virtual second, who, what)."""

    def __init__(self, seed: int, swarm: Swarm, loop: VirtualLoop) -> None:
        self.seed = seed
        self.swarm = swarm
        self.loop = loop
        self.tally: Tally = Tally()
        self.trace: list[tuple[float, str, str]] = []
        self.violations: list[str] = []
        self.press_kill: Callable[[int], None] = lambda _: None
        self.on_commit: Callable[[Process, tuple[str, ...]], None] = lambda *_: None
        self._dice: dict[str, Dice] = {}

    def dice(self, name: str) -> Dice:
        """Return the draws of one part of the run."""
        if name not in self._dice:
            self._dice[name] = Dice(self.seed, name)
        return self._dice[name]

    def note(self, who: object, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append((self.loop.time(), str(who), what))

    def violated(self, what: str) -> None:
        """Remember a broken invariant; the run goes on so that the trace shows what follows."""
        if what not in self.violations:
            self.violations.append(what)
            self.note("check", f"VIOLATED {what}")

    def strikes(self, kind: str, who: object = "") -> bool:
        """Return whether a fault of this kind happens here, and count it."""
        rate = self.swarm.rate(kind)
        if not rate or not self.dice(kind).chance(rate):
            return False
        self.happened(kind, who)
        return True

    def happened(self, kind: str, who: object = "") -> None:
        """Count a fault."""
        self.tally[f"fault {kind}"] += 1
        self.note(who, f"fault {kind}")

    def chosen(self, what: str, draw: Callable[[], T]) -> T:
        """Return how a fault looks, such as its seconds or its code: here as the seed draws it."""
        return draw()

    def later(self, seconds: float, action: Callable[..., object], *values: Any) -> None:
        """Do something after ``seconds``, whatever becomes of who asked."""
        self.loop.call_later(seconds, action, *values, context=WORLD)

    async def passing(self, process: Process, point: str, *, freezes: bool = True) -> None:
        """Pass a port: here a process may die or freeze, and the dead come no further."""
        if process.is_dead:
            raise asyncio.CancelledError
        if self.strikes("crash", process):
            self.crash(process, point)
            raise asyncio.CancelledError
        if freezes and self.strikes("freeze", process):
            self.freeze(process, self.dice("freeze").between(0.5, 15.0))
            await asyncio.sleep(0)

    def crash(self, process: Process, point: str) -> None:
        """End a process at a named point."""
        self.tally["crashes"] += 1
        self.tally[f"crash at {point}"] += 1
        self.note(process, f"crash at {point}")
        process.kill()

    def freeze(self, process: Process, seconds: float) -> None:
        """Stop a process for a while; everything else goes on."""
        self.note(process, f"frozen for {seconds:.3f}")
        process.pause()
        self.later(seconds, process.resume)
