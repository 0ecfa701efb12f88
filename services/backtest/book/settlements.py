"""Settlements that a leg's own schedule has and its rates have not, while a trade was open."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.backtest.book.booking import Conventions, paid_span
from services.backtest.book.records import SPOT, Leg, PublishedInputs, Rates
from services.backtest.book.tables import moment
from shared.history.records import MalformedHistory


@dataclass(frozen=True, slots=True)
class Missed:
    """The settlements that one leg lacks where a trade of its needs them.

    ``count`` is None where the leg has no schedule to count by: fewer than two rates, and none
    that states its interval. ``first_ms`` is then the first instant at which one could be due.
    """

    leg: Leg
    count: int | None
    first_ms: int


def missed_settlements(
    inputs: PublishedInputs, by: Conventions, *, allow_gaps: bool
) -> tuple[Missed, ...]:
    """Return what each perpetual leg lacks, in order of legs, each settlement counted once.

    Raises: MalformedHistory at the first one, unless ``allow_gaps``.
    """
    found = []
    for leg in sorted({t.leg for t in inputs.trades if t.leg[2] != SPOT}):
        market = inputs.markets[leg]
        spans = [paid_span(t, market, by) for t in inputs.trades if t.leg == leg]
        missed = _missed(leg, market.rates, [span for span in spans if span[0] <= span[1]])
        if missed is None:
            continue
        if not allow_gaps:
            raise _refusal(missed, market.rates)
        found.append(missed)
    return tuple(found)


def _missed(leg: Leg, rates: Rates, spans: Sequence[tuple[int, int]]) -> Missed | None:
    if not spans:
        return None
    if not rates.steps:
        return Missed(leg, None, min(first for first, _ in spans))
    absent = {at for first, last in spans for at in _absent(rates, first, last)}
    return Missed(leg, len(absent), min(absent)) if absent else None


def _absent(rates: Rates, first: int, last: int) -> list[int]:
    """Return the instants from ``first`` to ``last`` at which a rate is due and not there.

    Where the interval changes, a source knows neither instant of the change: any step up to the
    longer of the two intervals is taken, as ``shared.history`` does. Before its first and after
    its last row a schedule goes on as it began and ended.
    """
    steps = rates.steps
    stamps = list(steps)
    near = stamps[max(bisect_left(stamps, first) - 1, 0) : bisect_right(stamps, last) + 1]
    due = list(near)
    due += range(near[0] - steps[near[0]], first - 1, -steps[near[0]])
    for before, after in pairwise(near):
        longest = max(steps[before], steps[after])
        due += range(before + longest, after, longest)
    due += range(near[-1] + steps[near[-1]], last + 1, steps[near[-1]])
    return [at for at in due if first <= at <= last and at not in rates.settled]


def _refusal(missed: Missed, rates: Rates) -> MalformedHistory:
    name = " ".join(missed.leg)
    at = moment(missed.first_ms)
    if missed.count is None:
        return MalformedHistory(
            f"{rates.source}: {name} has no schedule of rates, and a position is open from {at} "
            "on; name a table of its rates with --funding, or say --allow-gaps"
        )
    return MalformedHistory(
        f"{rates.source}: {name}: the settlement of {at} has no rate, the first of {missed.count} "
        "while a position is open; add the rates (with interval_hours where the interval "
        "changed), or say --allow-gaps"
    )
