"""Which set of pairs to hold: the greatest worth under the limits that all pairs share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from shared.domain.money import ZERO, ratio

LOOKS_MOST: Final = 4_000
"""How many sets are looked at before the best one found is taken: some 40 ms of a core."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair that may be held with ``notional`` (quote units): what it has, or would have.

    ``worth`` is what having it in the set is expected to earn, all its costs still ahead charged.
    ``leaving`` is what dropping it costs: zero for what is not held. ``reserve`` is the cash to be
    kept for it. What ``is_held`` has its room already; what ``is_fixed``, a held one, stays.
    """

    pair: str
    cluster: str
    notional: Decimal
    worth: Decimal
    leaving: Decimal = ZERO
    reserve: Decimal = ZERO
    is_held: bool = False
    is_fixed: bool = False

    @property
    def gain(self) -> Decimal:
        """What having it is worth over not having it."""
        return self.worth + self.leaving


@dataclass(frozen=True, slots=True)
class Shared:
    """What all pairs share: how many, and how much in quote units.

    ``capital`` bounds notional, ``cash`` notional and reserves together, ``margin`` notional.
    ``clusters`` are those that may have more than ``cluster``.
    """

    pairs: int
    gross: Decimal
    cluster: Decimal
    capital: Decimal
    cash: Decimal
    margin: Decimal
    clusters: Mapping[str, Decimal] = field(default_factory=dict)

    def for_all_of(self, held: "Taken") -> "Shared":
        """Return the limits, none less than what is held uses: prices may have moved past them."""
        return replace(
            self,
            pairs=max(self.pairs, held.count),
            gross=max(self.gross, held.gross),
            capital=max(self.capital, held.gross),
            cash=max(self.cash, held.gross + held.reserve),
            margin=max(self.margin, held.gross),
            clusters={name: max(self.cluster, used) for name, used in held.clusters.items()},
        )

    def rooms(self, held: "Taken", cluster: str, reserve_rate: Decimal) -> Mapping[str, Decimal]:
        """Return how much notional each limit still leaves to a pair of ``cluster``."""
        return {
            "gross_notional": self.gross - held.gross,
            "cluster_notional": self.cluster - held.clusters.get(cluster, ZERO),
            "capital": self.capital - held.gross,
            "reserve": ratio(self.cash - held.gross - held.reserve, 1 + reserve_rate),
            "margin": self.margin - held.gross,
        }


class Taken:
    """What a set uses of the shared limits; changed in place by the search."""

    def __init__(self) -> None:
        self.count = 0
        self.gross = ZERO
        self.reserve = ZERO
        self.clusters: dict[str, Decimal] = {}

    def add(self, candidate: Candidate, sign: int = 1) -> None:
        """Take a candidate in, or out again with ``sign`` -1."""
        self.count += sign
        self.gross += sign * candidate.notional
        self.reserve += sign * candidate.reserve
        used = self.clusters.get(candidate.cluster, ZERO)
        self.clusters[candidate.cluster] = used + sign * candidate.notional

    def blocked_by(self, candidate: Candidate, shared: Shared) -> str | None:
        """Return the limit that ``candidate`` would pass on top; None when it fits."""
        gross = self.gross + candidate.notional
        checks = (
            ("max_pairs", self.count >= shared.pairs),
            ("gross_notional", gross > shared.gross),
            (
                "cluster_notional",
                self.clusters.get(candidate.cluster, ZERO) + candidate.notional
                > shared.clusters.get(candidate.cluster, shared.cluster),
            ),
            ("capital", gross > shared.capital),
            ("reserve", gross + self.reserve + candidate.reserve > shared.cash),
            ("margin", gross > shared.margin),
        )
        return next((name for name, is_passed in checks if is_passed), None)


def choose(candidates: Sequence[Candidate], shared: Shared) -> frozenset[str]:
    """Return the pairs to hold: the greatest worth less what is lost by leaving the others.

    What is held may be held on where prices have carried it beyond a limit. Depth first with the
    best bound: exact unless more than ``LOOKS_MOST`` sets must be looked at, then the best one
    found, never worse than taking the best by worth per notional, improved by exchanges.
    """
    held, taken = Taken(), Taken()
    for candidate in candidates:
        if candidate.is_held:
            held.add(candidate)
    shared = shared.for_all_of(held)
    fixed = [c for c in candidates if c.is_fixed]
    for candidate in fixed:
        taken.add(candidate)
    free = sorted(
        (c for c in candidates if not c.is_fixed and c.gain > ZERO and c.notional > ZERO),
        key=lambda c: (-ratio(c.gain, c.notional), c.pair),
    )
    chosen = _all_that_fit(free, taken, shared)
    if len(chosen) < len(free):
        chosen = _Search(free, taken, shared, _exchanged(chosen, free, taken, shared)).best
    return frozenset(c.pair for c in (*fixed, *chosen))


def _all_that_fit(
    ordered: Sequence[Candidate], taken: Taken, shared: Shared
) -> tuple[Candidate, ...]:
    """Return what fits in the given order, one after another."""
    chosen = []
    for candidate in ordered:
        if taken.blocked_by(candidate, shared) is None:
            taken.add(candidate)
            chosen.append(candidate)
    for candidate in chosen:
        taken.add(candidate, -1)
    return tuple(chosen)


def _exchanged(
    chosen: tuple[Candidate, ...], free: Sequence[Candidate], taken: Taken, shared: Shared
) -> tuple[Candidate, ...]:
    """Return ``chosen`` improved by leaving one out for what then fits, until nothing improves."""
    improved = True
    while improved:
        improved = False
        for out in chosen:
            kept = [c for c in chosen if c is not out]
            others = [c for c in free if c not in chosen]
            found = _all_that_fit([*kept, *others], taken, shared)
            if _gain(found) > _gain(chosen):
                chosen, improved = found, True
                break
    return chosen


def _gain(chosen: Sequence[Candidate]) -> Decimal:
    return sum((c.gain for c in chosen), ZERO)


class _Search:
    """Branch and bound over ``free``, best worth per notional first."""

    def __init__(
        self,
        free: Sequence[Candidate],
        taken: Taken,
        shared: Shared,
        start: tuple[Candidate, ...],
    ) -> None:
        self._free, self._taken, self._shared = free, taken, shared
        self._left = LOOKS_MOST
        self._most = _gain(start)
        self._sums = [_gain(free[n:]) for n in range(len(free) + 1)]
        self.best = start
        self._look(0, (), ZERO)

    def _look(self, place: int, chosen: tuple[Candidate, ...], gain: Decimal) -> None:
        if gain > self._most:
            self._most, self.best = gain, chosen
        if place == len(self._free) or self._left <= 0:
            return
        self._left -= 1
        if gain + self._bound(place) <= self._most:
            return
        candidate = self._free[place]
        if self._taken.blocked_by(candidate, self._shared) is None:
            self._taken.add(candidate)
            self._look(place + 1, (*chosen, candidate), gain + candidate.gain)
            self._taken.add(candidate, -1)
        self._look(place + 1, chosen, gain)

    def _bound(self, place: int) -> Decimal:
        """Return no less than what the rest can add: as if a part of a pair could be had."""
        room = (
            min(self._shared.gross, self._shared.capital, self._shared.margin) - self._taken.gross
        )
        places = self._shared.pairs - self._taken.count
        if room <= ZERO or places <= 0:
            return ZERO
        total = ZERO
        for candidate in self._free[place:]:
            if candidate.notional >= room:
                return min(
                    self._sums[place], total + ratio(candidate.gain * room, candidate.notional)
                )
            room -= candidate.notional
            total += candidate.gain
        return total
