"""PG6: a user's strategy in plain Python with exact money, against nautilus_trader."""

import gc
import time
from collections.abc import Iterator
from decimal import Decimal

from services.backtest.reference.carry import ThresholdCarry
from services.backtest.reference.engine import run_strategy
from services.backtest.reference.tape import PairBar, tape_of
from services.backtest.sweep.terms import Terms
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.rounding import NONE
from shared.domain.strategy import decide
from tests.bench.figures import Figure, at_least, figures
from tests.bench.ref1 import ONE, columns, market, port
from tests.bench.rivals import data, number, rival, says
from tests.support.markets import market as pair_market
from tests.support.markets import snapshot

HOURS = "4000"
"""Of nautilus_trader's run: it is slow, and its rate does not depend on the length."""


class Watching(ThresholdCarry):
    """REF-1 that also takes in every bar, as the rival's strategy does."""

    def __init__(self) -> None:
        super().__init__(ONE)
        self.last: dict[int, tuple[Decimal, Decimal]] = {}

    def on_bar(self, bar: PairBar) -> None:
        """Keep the newest closes."""
        self.last[bar.symbol] = (bar.spot, bar.perp)


def plugins() -> Iterator[Figure]:
    """Yield the figures of the reference engine."""
    yield from figures("PG6 user strategy", user_strategy)


def user_strategy() -> Iterator[Figure]:
    """Ours, whether its trades are the Decimal reference's, and the rival's rate."""
    folder = data(20)
    tape = tape_of(market(folder))
    best, trades = 1e9, 0
    gc.disable()  # the tape's million tuples are looked through at each collection
    for _ in range(5):
        began = time.perf_counter()
        trades = len(run_strategy(tape, Watching(), Terms(), NONE).pairs)
        best = min(best, time.perf_counter() - began)
    gc.enable()
    rate = tape.events / best
    reference = port("ref_py")
    rows = [reference.LazyDec(c, e) for c, e in zip(columns(folder), (-8, -6, -6), strict=True)]
    costs = Decimal(10_000), Decimal("0.0010"), Decimal("0.00055"), Decimal("0.0002")
    theirs = reference.run(*rows, ONE.span, ONE.entry, ONE.exit, ONE.hold, Decimal(1), *costs)[0]
    said = f"{rate / 1e6:.2f} M events/s, {trades} trades against {theirs} of the Decimal reference"
    yield at_least("PG6 events a second", rate if trades == theirs else 0, 1.5e6, said)
    yield Figure("decide, passes over 5 pairs", f"{passes():,.0f} a second", "no goal", True)
    interpreter = rival("nautilus_trader", "nautilus_trader", "python3.12")
    slow = says(interpreter, "ref_nautilus.py", str(folder), "trade", "20", HOURS)
    their_rate = number(slow, r"-> (\d+) events/s")
    said = f"{rate / their_rate:.0f} x nautilus_trader ({their_rate / 1e6:.3f} M events/s)"
    yield at_least("PG6 against nautilus_trader", rate / their_rate, 30, said)


def passes() -> float:
    """Return how many decisions over five pairs a second has room for."""
    seen = snapshot(*(pair_market(base) for base in ("AAA", "BBB", "CCC", "DDD", "EEE")))
    policy, portfolio, best = CarryPolicy(), Portfolio(), 1e9
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(200):
            decide(portfolio, seen, policy)
        best = min(best, time.perf_counter() - began)
    return 200 / best
