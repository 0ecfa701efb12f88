"""The look-ahead audit: does a run know anything it could not have known, and only that?

Two questions. *Future*: whatever follows an instant, cut off or bent out of shape, may change
nothing that was said, traded or booked before it. *Shift*: when an input arrives one step later
from an instant on, nothing before it may change, the figures that live on that input must, and no
other figure may until the run decides or trades differently.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from services.backtest.result import EquityPoint, RunResult
from services.backtest.timeline import instant_of, ms_of
from shared.domain.instrument import Category
from shared.history.records import HOUR_MS, Bar, History, Settlement, SymbolHistory

Run = Callable[[History], RunResult]
"""Runs one history from start to end, always alike."""

PRICES: Final = ("spot", "perp", "mark")
MOVES: Final[Mapping[str, frozenset[str]]] = {
    "spot": frozenset({"basis"}),
    "perp": frozenset(),
    "mark": frozenset({"basis", "funding"}),
    "rate": frozenset({"funding"}),
}
"""Which figures of the account each input moves as long as nothing is traded differently.

A perpetual's last price moves none: positions are marked at the mark. It moves fills.
"""
FIGURES: Final = ("funding", "fees", "basis")


@dataclass(frozen=True, slots=True)
class Finding:
    """One question and its answer; ``first`` is where the run differs first, None if nowhere."""

    question: str
    at: datetime
    passed: bool
    first: datetime | None
    words: str


def audit(run: Run, history: History, cuts: Sequence[datetime], shifts: datetime) -> list[Finding]:
    """Return every finding: each future after ``cuts``, each input shifted from ``shifts`` on."""
    whole = run(history)
    found = [
        future(run, whole, made(history, ms_of(at)), how, at)
        for at in cuts
        for how, made in (("cut off", cut), ("bent", bend))
    ]
    return found + [shifted(run, whole, history, name, shifts) for name in MOVES]


def future(run: Run, whole: RunResult, changed: History, how: str, at: datetime) -> Finding:
    """Return whether a run is the same up to ``at`` with what follows changed."""
    first = first_difference(whole, run(changed), until=at)
    words = "nothing before it changes" if first is None else f"known before it could be: {first}"
    return Finding(f"the future is {how}", at, first is None, first, words)


def shifted(run: Run, whole: RunResult, history: History, name: str, at: datetime) -> Finding:
    """Return whether an input that comes one step late from ``at`` on moves what it should."""
    other = run(delay(history, name, ms_of(at)))
    question = f"{name} comes one step late"
    first = first_difference(whole, other)
    if first is not None and first < at:
        return Finding(question, at, False, first, f"changed before it arrived: {first}")
    parted = first_difference(whole, other, curve=False)
    moved = _moved(whole.curve, other.curve, parted)
    strange = moved - MOVES[name]
    if strange:
        words = f"moved {', '.join(sorted(strange))}, which it has no part in"
        return Finding(question, at, False, first, words)
    still = MOVES[name] - moved if parted is None else frozenset[str]()
    if still and _held(whole, at):
        words = f"left {', '.join(sorted(still))} as it was, which live on it"
        return Finding(question, at, False, first, words)
    if first is None:
        return Finding(question, at, True, None, "nothing was traded at it")
    what = ", ".join(sorted(moved)) or "no figure"
    after = "" if parted is None else f", then trades from {parted} on"
    return Finding(question, at, True, first, f"moved {what}{after}")


def first_difference(
    one: RunResult, other: RunResult, *, until: datetime | None = None, curve: bool = True
) -> datetime | None:
    """Return the first instant at which two runs differ before ``until``, None if nowhere.

    Decisions and fills are compared, and with ``curve`` the account at every instant.
    """
    traces: list[tuple[Sequence[Any], Sequence[Any], Callable[[Any], datetime]]] = [
        (one.targets, other.targets, lambda target: target[2]),
        (one.fills, other.fills, lambda booked: booked.decided_at),
    ]
    if curve:
        traces.append((one.curve, other.curve, lambda point: point.at))
    parted = []
    for ours, theirs, at in traces:
        pair = (_before(ours, at, until), _before(theirs, at, until))
        parted += [found] if (found := _first(*pair, at)) is not None else []
    return min(parted, default=None)


def cut(history: History, at_ms: int) -> History:
    """Return what was known before an instant."""
    return history.slice(0, at_ms)


def bend(history: History, at_ms: int) -> History:
    """Return a history whose prices double and whose rates turn, a hundredfold, from then on."""
    return _each(
        history,
        lambda bar: (
            bar if bar.at_ms < at_ms else Bar(bar.at_ms, bar.spot * 2, bar.perp * 2, bar.mark * 2)
        ),
        lambda paid: paid if paid.at_ms < at_ms else replace(paid, rate=-100 * paid.rate),
    )


def delay(history: History, name: str, at_ms: int) -> History:
    """Return a history whose input shows, from an instant on, what it showed a step before."""
    return History(
        {symbol: _delayed(part, name, at_ms) for symbol, part in history.symbols.items()}
    )


def evenly(start: datetime, end: datetime, count: int) -> list[datetime]:
    """Return ``count`` full hours inside (start, end), after the first hour, evenly spaced."""
    first, last = ms_of(start) // HOUR_MS, ms_of(end) // HOUR_MS
    inside = (first + (last - first) * n // (count + 1) for n in range(1, count + 1))
    return [instant_of(hour * HOUR_MS) for hour in inside]


def _delayed(part: SymbolHistory, name: str, at_ms: int) -> SymbolHistory:
    if name == "rate":
        before = (None, *part.settlements)
        paid = tuple(
            s if s.at_ms < at_ms or earlier is None else replace(s, rate=earlier.rate)
            for earlier, s in zip(before, part.settlements, strict=False)
        )
        return replace(part, settlements=paid)
    bars = tuple(
        b if b.at_ms < at_ms or earlier is None else _with(b, name, getattr(earlier, name))
        for earlier, b in zip((None, *part.bars), part.bars, strict=False)
    )
    return replace(part, bars=bars)


def _with(bar: Bar, name: str, price: Decimal) -> Bar:
    prices = {each: getattr(bar, each) for each in PRICES} | {name: price}
    return Bar(bar.at_ms, **prices)


def _each(
    history: History, bar: Callable[[Bar], Bar], paid: Callable[[Settlement], Settlement]
) -> History:
    return History(
        {
            symbol: SymbolHistory(
                symbol, tuple(map(bar, part.bars)), tuple(map(paid, part.settlements))
            )
            for symbol, part in history.symbols.items()
        }
    )


def _before(
    rows: Iterable[Any], at: Callable[[Any], datetime], until: datetime | None
) -> list[Any]:
    return [row for row in rows if until is None or at(row) < until]


def _first(
    ours: Sequence[Any], theirs: Sequence[Any], at: Callable[[Any], datetime]
) -> datetime | None:
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            return min(at(one), at(other))
    longer = max(ours, theirs, key=len)
    shared = min(len(ours), len(theirs))
    return at(longer[shared]) if len(longer) > shared else None


def _held(result: RunResult, at: datetime) -> bool:
    """Whether any perpetual was held at an instant."""
    sizes: dict[str, Decimal] = {}
    for booked in result.fills:
        if booked.decided_at < at and booked.fill.category is Category.LINEAR:
            moved = booked.fill.quantity * booked.fill.side.sign
            sizes[booked.pair] = sizes.get(booked.pair, Decimal(0)) + moved
    return any(sizes.values())


def _moved(
    ours: Sequence[EquityPoint], theirs: Sequence[EquityPoint], until: datetime | None
) -> frozenset[str]:
    """Return which figures differ anywhere before ``until``."""
    pairs = [
        (one, other)
        for one, other in zip(ours, theirs, strict=False)
        if until is None or one.at < until
    ]
    return frozenset(
        name for name in FIGURES if any(getattr(a, name) != getattr(b, name) for a, b in pairs)
    )
