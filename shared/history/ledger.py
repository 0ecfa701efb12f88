"""The completeness ledger: of each full hour, whether a settlement is there, missing or not due.

A rate's ``interval_hours`` says when the one before it settled. Where the interval changes, the
record knows neither hour of the change: a step up to the longer of the two intervals proves nothing
(Bybit SOLUSDT stepped 6 h on 2022-11-10), so nothing is due within it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.history.records import HOUR_MS, History, Settlement, SymbolHistory

INTERVALS: Final = (1, 2, 4, 8, 12, 24)
"""Hours that the venue is known to use; any other distance is two settlements with a hole."""
USUAL: Final = 8
"""The interval that bars without a single settlement are held to, at full UTC hours of it."""


class Due(StrEnum):
    """What the ledger says of one instant."""

    HAVE = "have"
    MISSING = "missing"
    NOT_DUE = "not due"


@dataclass(frozen=True, slots=True)
class Ledger:
    """One symbol's full hours from ``first_ms`` to ``end_ms``, both included (UTC ms).

    ``missing`` are settlement instants, ``bars_missing`` the ends of hours, both oldest first.
    """

    symbol: str
    first_ms: int
    end_ms: int
    have: frozenset[int]
    missing: tuple[int, ...]
    bars_missing: tuple[int, ...] = ()

    def of(self, at_ms: int) -> Due:
        """Return the one thing that an hour of the span is."""
        if at_ms in self.have:
            return Due.HAVE
        return Due.MISSING if at_ms in self.missing else Due.NOT_DUE

    @property
    def not_due(self) -> int:
        """How many hours have nothing due."""
        hours = (self.end_ms - self.first_ms) // HOUR_MS + 1
        return hours - len(self.have) - len(self.missing)

    @property
    def gaps(self) -> int:
        """How many settlements and hours are missing."""
        return len(self.missing) + len(self.bars_missing)


def ledger_of(part: SymbolHistory) -> Ledger:
    """Return one symbol's ledger, from its first bar or, if earlier, its first settlement on.

    It reaches up to the last settlement or, if later, the last bar's opening. Rates that begin
    after the bars lack every settlement before, at the first interval known; rates that end before
    them lack every one from there on. What falls on the end of the last bar lies beyond the record.
    """
    paid = part.settlements
    if not paid and not part.bars:
        return Ledger(part.symbol, 0, -HOUR_MS, frozenset(), ())
    first = min([*(s.at_ms for s in paid[:1]), *(b.at_ms for b in part.bars[:1])])
    last = max([*(s.at_ms for s in paid[-1:]), *(b.at_ms - HOUR_MS for b in part.bars[-1:])])
    missing = (*_before(paid, first, last), *missing_settlements(paid), *_after(paid, last))
    have = frozenset(s.at_ms for s in paid)
    return Ledger(part.symbol, first, last, have, missing, _holes(part))


def ledgers_of(history: History) -> list[Ledger]:
    """Return the ledger of every symbol, by name."""
    return [ledger_of(part) for part in history.symbols.values()]


def missing_settlements(paid: Sequence[Settlement]) -> Iterable[int]:
    """Yield each instant between two settlements at which one was due and is not there."""
    for place in range(1, len(paid)):
        before, now = paid[place - 1], paid[place]
        hours, earlier = _interval(paid, place), _interval(paid, place - 1)
        # The longer interval may still be explained by the one before the change.
        longest = hours if hours == earlier else max(hours, earlier)
        due = []
        at = now.at_ms - hours * HOUR_MS
        while at > before.at_ms and now.at_ms - before.at_ms > longest * HOUR_MS:
            due.append(at)
            at -= hours * HOUR_MS
        yield from reversed(due)


def _before(paid: Sequence[Settlement], first: int, last: int) -> Iterable[int]:
    """Return what was due from ``first`` on and before the first settlement; without one, all."""
    if not paid:
        usual = USUAL * HOUR_MS
        return range(-(-first // usual) * usual, last + 1, usual)
    step = _interval(paid, 0) * HOUR_MS
    return reversed(range(paid[0].at_ms - step, first - 1, -step))


def _after(paid: Sequence[Settlement], last: int) -> Iterable[int]:
    """Return what was due after the last settlement and up to ``last``."""
    if not paid:
        return ()
    step = _interval(paid, len(paid) - 1) * HOUR_MS
    return range(paid[-1].at_ms + step, last + 1, step)


def _interval(paid: Sequence[Settlement], place: int) -> int:
    """Return the hours of the interval that ended at a settlement, by its neighbours if unknown."""
    if paid[place].interval_hours in INTERVALS:
        return paid[place].interval_hours
    for known in (*reversed(paid[:place]), *paid[place + 1 :]):
        if known.interval_hours in INTERVALS:
            return known.interval_hours
    return INTERVALS[-1]


def _holes(part: SymbolHistory) -> tuple[int, ...]:
    have = {bar.at_ms for bar in part.bars}
    if not have:
        return ()
    return tuple(at for at in range(min(have), max(have) + 1, HOUR_MS) if at not in have)
