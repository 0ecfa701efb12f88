"""S2, A5: when a pair is entered, by funding, costs and where its basis stands. Worked by hand.

All in bps of notional. A hold has 63 settlements; trading costs 37: fees of 31, one spread of 1 a
leg, and 4 crossings at an allowance of 1. The value is 63 rates less 37, less what the basis is
expected to rise to its usual level; 10 are asked, within 42 settlements of the rate. The chance of
a loss is the share of outcomes under 37 less what the basis has risen since the settlement, a
quarter at most; of the past levels a tenth at least must lie under the basis of now.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.market import PairMarket, Quote
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.signals import Distribution
from shared.domain.strategy import Verdict, decide
from shared.domain.universe import Reason
from tests.support.markets import INSTANT, market, signals, snapshot

POLICY = CarryPolicy()
QUARTERS = "-10 -5 0 5 10"  # bps
OUTCOMES = "20 40 60 80 100"
LEVEL = "0 0 0 0 0"


@dataclass(frozen=True)
class Case:
    """What is known, then what is made of it; ``now`` is the basis, ``then`` at the settlement."""

    rate: str
    now: str
    usual: str
    then: str
    value: str
    percentile: str
    loss: str
    reason: Reason
    levels: str = QUARTERS
    outcomes: str = OUTCOMES


OPEN, FAR, LOW = Reason.WORTH_OPENING, Reason.BREAK_EVEN_TOO_FAR, Reason.BASIS_LOW
LIKELY, MARGIN, PAID = Reason.LOSS_TOO_LIKELY, Reason.BELOW_MARGIN, Reason.LONGS_ARE_PAID
CASES = [
    # 63 - 37; 17 of the 20 between 20 and 40 are under 37.
    Case("1", "0", "0", "0", "26", "0.5", "0.2125", OPEN),
    # A premium of 5 that goes away is earned on top, and lies in the outcomes already.
    Case("1", "5", "0", "5", "31", "0.75", "0.2125", OPEN),
    # One that came after the settlement does not: 32 are enough.
    Case("1", "5", "0", "0", "31", "0.75", "0.15", OPEN),
    Case("1", "5", "5", "0", "26", "0.75", "0.15", OPEN),
    Case("1", "10", "10", "10", "26", "1", "0.2125", OPEN),
    Case("1", "30", "0", "30", "56", "1", "0.2125", OPEN),
    # It pays for more than trading: 3 are left before any funding.
    Case("1", "40", "0", "40", "66", "1", "0.2125", OPEN),
    # A usual discount is bought back as it was sold.
    Case("1", "-5", "-5", "-5", "26", "0.25", "0.2125", OPEN),
    # One of 5 that goes away makes 42 of the costs, 42 settlements; one of 6 makes 43.
    Case("1", "-5", "0", "-5", "21", "0.25", "0.2125", OPEN),
    Case("1", "-6", "0", "-6", "20", "0.2", "0.2125", FAR),
    # Fallen since the settlement: 40 are needed, a quarter of the outcomes, then more.
    Case("1", "-3", "0", "0", "23", "0.35", "0.25", OPEN),
    Case("1", "-3.1", "0", "0", "22.9", "0.345", "0.25125", LIKELY),
    Case("1", "-5", "0", "0", "21", "0.25", "0.275", LIKELY),
    # Two fifths of the way from the least to the first quarter is a tenth.
    Case("1", "-8", "-8", "-8", "26", "0.1", "0.2125", OPEN),
    Case("1", "-8.1", "-8.1", "-8.1", "26", "0.095", "0.2125", LOW),
    Case("1", "-10", "-10", "-10", "26", "0", "0.2125", LOW),
    Case("1", "-30", "-30", "-30", "26", "0", "0.2125", LOW),
    # The margin: 0.4 x 63 = 25.2 less 37, and 21.7 or 21.8 of premium.
    Case("0.4", "21", "0", "21", "9.2", "1", "0.2125", MARGIN),
    Case("0.4", "21.7", "0", "21.7", "9.9", "1", "0.2125", MARGIN),
    Case("0.4", "21.8", "0", "21.8", "10", "1", "0.2125", OPEN),
    # 37 / 0.73 are 51 settlements; at 0.9 exactly 42 with a premium short of 37.8.
    Case("0.73", "0", "0", "0", "8.99", "0.5", "0.2125", FAR),
    Case("0.9", "0.8", "1.6", "0.8", "18.9", "0.54", "0.2125", OPEN),
    Case("0.9", "0.8", "1.7", "0.8", "18.8", "0.54", "0.2125", FAR),
    # What does not pay is not entered for its basis, however dear the perpetual is.
    Case("0", "0", "0", "0", "-37", "0.5", "0.2125", PAID),
    Case("-1", "0", "0", "0", "-100", "0.5", "0.2125", PAID),
    Case("-1", "200", "0", "200", "100", "1", "0.2125", PAID),
    # Outcomes all alike: none is under itself, all are under a cost that is greater.
    Case("1", "0", "0", "0", "26", "0.5", "0", OPEN, outcomes="37 37 37 37 37"),
    Case("1", "0", "0", "0", "26", "0.5", "1", LIKELY, outcomes="36 36 36 36 36"),
    Case("1", "1", "0", "0", "27", "0.55", "0", OPEN, outcomes="36 36 36 36 36"),
    Case("1", "0", "0", "0", "26", "0.5", "0.5", LIKELY, outcomes="0 20 37 60 80"),
    # A basis that never moved stands in its middle, anything else outside.
    Case("1", "0", "0", "0", "26", "0.5", "0.2125", OPEN, levels=LEVEL),
    Case("1", "-1", "0", "-1", "25", "0", "0.2125", LOW, levels=LEVEL),
    Case("1", "1", "0", "1", "27", "1", "0.2125", OPEN, levels=LEVEL),
    # A quarter of all levels are the least: half of them count as under it.
    Case("1", "-5", "-5", "-5", "26", "0.125", "0.2125", OPEN, levels="-5 -5 0 0 5"),
]


def bps(text: str) -> Decimal:
    return Decimal(text) / 10_000


def row(text: str) -> Distribution:
    return tuple(bps(number) for number in text.split())


def priced(basis: str) -> Quote:
    """A perpetual's book round 10,000 and its basis, a spread of one bp wide."""
    mid, size = 10_000 * (1 + bps(basis)), Decimal(100)
    return Quote(mid - mid / 20_000, size, mid + mid / 20_000, size, INSTANT)


def told(case: Case) -> PairMarket:
    rate = bps(case.rate)
    known = signals(
        str(rate),
        basis=bps(case.then),
        basis_usual=bps(case.usual),
        basis_levels=row(case.levels),
        hold_outcomes=row(case.outcomes),
    )
    return market(rate=str(rate), perp=priced(case.now), signals=known)


@pytest.mark.parametrize("case", CASES)
def test_a_pair_is_entered_only_with_margin_and_at_an_acceptable_basis(case: Case) -> None:
    (found,) = decide(Portfolio(), snapshot(told(case)), POLICY).appraisals
    assert found.costs is not None
    assert found.costs.trading == bps("37")
    assert found.value == bps(case.value)
    assert found.basis_percentile == Decimal(case.percentile)
    assert found.loss_probability == Decimal(case.loss)
    assert found.reason is case.reason
    assert found.verdict is (Verdict.OPEN if case.reason is OPEN else Verdict.PASSED_OVER)


def test_without_the_basis_at_the_settlement_nothing_is_opened_and_that_is_said() -> None:
    unknown: dict[str, Any] = {
        "basis": None, "basis_usual": None, "basis_levels": None, "hold_outcomes": None,
        "hold_deviation": None,
    }  # fmt: skip
    of = market(signals=signals(**unknown))
    (found,) = decide(Portfolio(), snapshot(of), POLICY).appraisals
    assert (found.verdict, found.reason) == (Verdict.PASSED_OVER, Reason.BASIS_MISSING)
