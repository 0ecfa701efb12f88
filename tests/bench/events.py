"""PG5: the compiled replay, with orders, fees and partial fills, against memory and hftbacktest."""

import re
import time
from collections.abc import Iterator
from decimal import Decimal

from services.backtest.replay.events import events_of
from services.backtest.replay.run import replay
from services.backtest.sweep.terms import Terms
from tests.bench.figures import Figure, at_least, at_most, figures
from tests.bench.ref1 import ONE, market
from tests.bench.rivals import bandwidth, data, rival, says
from tests.services.backtest.replay.exact import ExactReplay

DEPTH = Decimal(2_500)
"""USDT that a close gives: an order of 10,000 takes some four fills a leg."""
EVENT_BYTES = 11


def events() -> Iterator[Figure]:
    """Yield the figures of the event replay."""
    yield from figures("PG5 compiled event replay", event_replay)


def event_replay() -> Iterator[Figure]:
    """All closes and settlements of three years; on a tenth of it each fill is compared."""
    same, compared = as_exact()
    history = market(data(200))
    column = events_of(history)
    best = 1e9
    for _ in range(15):
        began = time.perf_counter()
        found = replay(history, column, ONE, Terms(), DEPTH)
        best = min(best, time.perf_counter() - began)
    count, read = len(column.kind), bandwidth()
    passes = best / (count * EVENT_BYTES / read / 1e9)
    said = (
        f"{passes:.1f} x reading the events ({count / 1e6:.2f} M in {best * 1e3:.0f} ms; "
        f"{read:.1f} GB/s), {found.fills} fills, {found.parts} of them partial; "
        f"{compared} fills {'equal' if same else 'DIFFER from'} the Decimal replay's"
    )
    yield at_most("PG5 compiled event replay", passes if same else 99, 10, said)
    rates = re.findall(
        r"([\d.]+) M events/s", says(rival("hftbacktest", "hftbacktest"), "ref_hft.py")
    )
    theirs, ours = max(map(float, rates)), count / best / 1e6
    said = f"{ours / theirs:.0f} x hftbacktest ({ours:.0f} against {theirs:.1f} M events/s)"
    yield at_least("PG5 against hftbacktest", ours / theirs, 20, said)


def as_exact() -> tuple[bool, int]:
    """Return whether every fill and sum is the Decimal replay's, and how many fills there are."""
    history = market(data(20))
    column = events_of(history)
    exact = ExactReplay(ONE, Terms(), DEPTH).run(column)
    found = replay(history, column, ONE, Terms(), DEPTH, log=len(exact.log) + 1)
    fills = [(*row[:3], *(int(v.scaleb(8)) for v in row[3:])) for row in exact.log]
    same = fills == [tuple(row) for row in found.log.tolist()] and (
        (found.orders, found.parts, found.funding, found.fees, found.net, found.drawdown)
        == (exact.orders, exact.parts, exact.funding, exact.fees, exact.net, exact.drawdown)
    )
    return same, len(fills)
