"""What may go wrong, how often, and the seed's choice among it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")

STRIKES: Final = {
    # the store, per transaction or lone statement
    "store_refused": 0.01,
    "store_dropped": 0.005,
    "commit_rolled_back": 0.01,
    "commit_reply_lost": 0.01,
    "stop_at_commit": 0.002,
    # the bus, per command
    "bus_refused": 0.02,
    "bus_reply_lost": 0.02,
    "bus_repeated": 0.02,
    # the venue, per order
    "request_lost": 0.08,
    "request_late": 0.08,
    "reply_lost": 0.08,
    "reply_late": 0.08,
    "refused": 0.08,
    "rate_limited": 0.08,
    "clock_refused": 0.05,
    "busy": 0.08,
    "code_unknown": 0.05,
    # the venue, per read
    "read_lost": 0.03,
    "read_late": 0.03,
    "read_malformed": 0.02,
    # the private stream, per event
    "event_dropped": 0.05,
    "event_doubled": 0.1,
    "event_late": 0.1,
    # what kills, per port that is passed
    "crash": 0.002,
    "freeze": 0.0005,
}
"""Kinds that strike by chance: the middle rate of a seed that has them on."""

MOMENTS: Final = {
    "killed": 1.5,
    "stopped": 0.7,
    "frozen": 1.0,
    "store_down": 1.0,
    "bus_down": 1.0,
    "bus_flushed": 1.5,
    "bus_tail_lost": 1.5,
    "bus_trimmed": 1.5,
    "bus_evicted": 1.5,
    "reads_lag": 1.5,
    "stream_reset": 2.0,
    "venue_restart": 1.0,
    "maintenance": 0.5,
    "key_revoked": 0.5,
    "deleveraged": 0.7,
    "price_jump": 2.0,
    "books_thin": 2.0,
    "kill_pressed": 0.5,
}
"""Kinds that happen at instants of their own: how many a minute when they are on."""

KINDS: Final = (*STRIKES, *MOMENTS)
ON: Final = 0.3


class Dice:
    """The draws of one part of a run; parts do not disturb each other."""

    def __init__(self, seed: int, name: str) -> None:
        self._random = Random(f"{seed} {name}")

    def chance(self, rate: float) -> bool:
        """Return whether something of this probability happens."""
        return rate > 0 and self._random.random() < rate

    def between(self, low: float, high: float) -> float:
        """Return a number in between."""
        return self._random.uniform(low, high)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number, both ends included."""
        return self._random.randint(low, high)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return self._random.choice(items)

    def wait(self, mean: float) -> float:
        """Return how long until the next of what comes every ``mean`` seconds."""
        return self._random.expovariate(1 / mean)


@dataclass
class Swarm:
    """Which kinds are on in this run, and how much; ``active`` ends with the safety phase."""

    rates: dict[str, float] = field(default_factory=dict)
    is_active: bool = True

    def rate(self, kind: str) -> float:
        """Return the rate of a kind now; zero when it is off."""
        return self.rates.get(kind, 0.0) if self.is_active else 0.0


def drawn_swarm(dice: Dice) -> Swarm:
    """Return a choice of kinds: many runs have a few, some have none, some nearly all."""
    share = dice.pick((0.0, ON / 2, ON, ON, 0.9))
    rates = {}
    for kind, middle in {**STRIKES, **MOMENTS}.items():
        is_on, power = dice.chance(share), dice.between(-2.0, 2.0)
        if is_on:
            rates[kind] = middle * 2**power
    return Swarm(rates)


def without(swarm: Swarm, kinds: Sequence[str]) -> Swarm:
    """Return the same choice without ``kinds``; what is left draws as before."""
    return Swarm({kind: rate for kind, rate in swarm.rates.items() if kind not in kinds})


Tally = Counter[str]
"""How often each thing happened."""
