"""What a planted bug is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One change of one file that breaks ``rule``, an id of RELIABILITY 2.

    ``old`` stands in ``file`` exactly once and becomes ``new``. ``tier`` is what must fail then: a
    test as pytest names it, or ``FIRST/COUNT`` of the simulation's seeds. ``equivalent`` says why
    nothing can fail, for a change that changes nothing.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str
    tier: str
    equivalent: str = ""

    @property
    def is_simulated(self) -> bool:
        """Whether its tier is seeds of the simulation."""
        return "::" not in self.tier
