"""What may go wrong, how often, and the seed's choice among it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")

STRIKES: Final[Mapping[str, Mapping[str, float]]] = {
    "store": {  # per transaction or lone statement
        "store_refused": 0.003,
        "store_dropped": 0.003,
        "commit_rolled_back": 0.01,
        "commit_reply_lost": 0.005,
        "stop_at_commit": 0.003,
    },
    "bus": {"bus_refused": 0.02, "bus_reply_lost": 0.02, "bus_repeated": 0.02},  # per command
    "order": {  # per order sent
        "request_lost": 0.1,
        "request_late": 0.15,
        "reply_lost": 0.1,
        "reply_late": 0.1,
        "refused": 0.1,
        "rate_limited": 0.1,
        "clock_refused": 0.1,
        "busy": 0.1,
        "code_unknown": 0.1,
    },
    "read": {"read_lost": 0.03, "read_late": 0.03, "read_malformed": 0.01},  # per read
    "stream": {"event_dropped": 0.1, "event_doubled": 0.1, "event_late": 0.15},  # per event
    "process": {"crash": 0.001, "freeze": 0.0005},  # per port that is passed
    "market": {"killed_at_claim": 0.1},  # per order claimed: the kill switch is first by a hair
}
"""Kinds that strike by chance, by theme: the middle rate of a seed that has them on."""

MOMENTS: Final[Mapping[str, Mapping[str, float]]] = {
    "store": {"store_down": 1.5},
    "bus": {
        "bus_down": 1.5,
        "bus_flushed": 1.5,
        "bus_tail_lost": 1.5,
        "bus_trimmed": 1.5,
        "bus_evicted": 1.5,
    },
    "order": {"venue_restart": 1.0, "maintenance": 0.7, "key_revoked": 0.7},
    "read": {"reads_lag": 3.0},
    "stream": {"stream_reset": 2.0},
    "process": {"killed": 1.5, "stopped": 1.0, "frozen": 1.5},
    "market": {
        "deleveraged": 1.5,
        "price_jump": 2.0,
        "books_thin": 2.0,
        "kill_pressed": 1.0,
        "margin_asked": 3.0,
    },
}
"""Kinds that happen at instants of their own: how many a minute when they are on."""

THEMES: Final = tuple(MOMENTS)
KINDS: Final = tuple(k for theme in THEMES for k in (*STRIKES.get(theme, ()), *MOMENTS[theme]))


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
    """Return a choice of kinds: in a few themes most of them, in the others hardly any."""
    rates = {}
    for theme in THEMES:
        share = dice.pick((0.0, 0.1, 0.3, 0.8))
        for kind, middle in {**STRIKES.get(theme, {}), **MOMENTS[theme]}.items():
            is_on, power = dice.chance(share), dice.between(-1.5, 1.5)
            if is_on:
                rates[kind] = middle * 2**power
    return Swarm(rates)


def without(swarm: Swarm, kinds: Sequence[str]) -> Swarm:
    """Return the same choice without ``kinds``; what is left draws as before."""
    return Swarm({kind: rate for kind, rate in swarm.rates.items() if kind not in kinds})


Tally = Counter[str]
"""How often each thing happened."""
