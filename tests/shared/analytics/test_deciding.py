"""The core's signals: against SciPy and NumPy, and what they make of a flip."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import linregress, percentileofscore

from shared.analytics import deciding
from shared.analytics.deciding import Statistician, reverting, signals_of
from shared.domain.funding import FundingSettlement
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Holding, Portfolio
from shared.domain.signals import Signals
from shared.domain.strategy import Verdict, decide
from shared.domain.view import MarketView
from tests.support.markets import market, pair, snapshot

POLICY = CarryPolicy()
END = datetime(2023, 11, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)


def settled(
    rates: list[float], hours: int = 8, end: datetime = END
) -> tuple[FundingSettlement, ...]:
    count = len(rates)
    return tuple(
        FundingSettlement(
            "BTCUSDT", Decimal(repr(rate)), end - (count - 1 - n) * hours * HOUR, hours * HOUR
        )
        for n, rate in enumerate(rates)
    )


def told(settlements: tuple[FundingSettlement, ...]) -> Signals:
    signals = signals_of(settlements, POLICY)
    assert signals is not None
    return signals


def noisy(count: int, mean: float = 0.0001) -> list[float]:
    return [float(rate) for rate in np.random.default_rng(3).normal(mean, 0.0001, count)]


def test_a_rate_that_never_changed_is_expected_to_stay() -> None:
    of = told(settled([0.0003] * 300))
    level = Decimal("0.0003")
    assert (of.next_mean, of.exit_mean, of.hold_mean, of.worst_rate) == (level,) * 4
    assert {of.exit_error, of.hold_error, of.slope, of.z_score} == {Decimal(0)}
    assert (of.slope_p, of.percentile) == (Decimal(1), Decimal("0.5"))
    assert of.regime == "normal"
    assert of.hold_outcomes == (63 * level,) * 41
    assert of.persistence == Decimal("0.996677740864")  # 300 of 301: 299 followed, and one each
    assert of.has_skill is False
    assert of.is_complete


def test_trend_percentile_and_worst_rate_are_scipys_and_numpys() -> None:
    rates = noisy(300)
    of = told(settled(rates))
    line = linregress(np.arange(21), rates[-21:])
    expected = {
        "slope": line.slope,
        "slope_p": line.pvalue,
        "percentile": percentileofscore(rates, rates[-1], kind="mean") / 100,
        "worst_rate": np.quantile(rates, 0.001),
        "z_score": (rates[-1] - np.mean(rates[-21:])) / np.std(rates[-21:], ddof=1),
    }
    for name, value in expected.items():
        assert float(getattr(of, name)) == pytest.approx(value, abs=2e-12), name


def test_only_the_days_of_the_history_count() -> None:
    rates = noisy(700)
    assert told(settled(rates)) == told(settled(rates)[-360:])  # 120 days of eight hours
    assert told(settled(rates)) != told(settled(rates)[-359:])


def test_a_short_past_tells_no_distribution_and_so_is_not_complete() -> None:
    of = told(settled(noisy(146)))
    assert (of.hold_outcomes, of.has_skill, of.is_complete) == (None, None, False)
    # Twenty to begin with, then 64 begun holds that are over: the older ones weigh less.
    assert told(settled(noisy(147))).is_complete


def test_signals_are_per_newest_interval_whatever_the_older_ones_were() -> None:
    of_eight = settled([0.0004] * 200, 8, END - 2 * HOUR)
    of = told((*of_eight, *settled([0.0001], 2)))
    level = Decimal("0.0001")
    assert (of.next_mean, of.hold_mean, of.z_score) == (level, level, Decimal(0))
    assert of.hold_outcomes is not None
    assert of.hold_outcomes[20] == 252 * level  # 21 days of two hours


def test_a_forecast_keeps_a_share_of_the_distance_from_the_level() -> None:
    # Two rates alone: the level is 0 + 2 / 22 of the new one, and memory the stated 0.8.
    found = reverting(np.array([0.0, 0.0011]), 2)
    assert found is not None
    # 0.0001 + 0.001 x (0.8 + 0.64) / 2
    assert found.mean == pytest.approx(0.00082, abs=1e-15)


def after(rates: list[float]) -> Verdict:
    """What is done with a pair held for long, after these settlements."""
    settlements = settled(rates)
    now = market(
        settlements=settlements[-21:],
        signals=told(settlements),
        settled_by=settlements[-1].settled_at,
    )
    held = Portfolio({"BTCUSDT": Holding("BTCUSDT", Decimal(1), END - timedelta(days=60))})
    (appraisal,) = decide(held, snapshot(now), POLICY).appraisals
    return appraisal.verdict


def test_many_tiny_negative_prints_never_make_a_pair_leave() -> None:
    """S3, trap 31: 60 flips in 270 settlements, each exit would cost 37 bps."""
    dice = np.random.default_rng(182)
    negative = np.zeros(270, dtype=bool)
    negative[dice.choice(270, 80, replace=False)] = True
    rates = np.where(negative, -dice.uniform(1e-6, 5e-5, 270), dice.uniform(1e-5, 1.5e-4, 270))
    past = noisy(200, 0.0002)
    flips = sum(a != b for a, b in pairwise(negative))
    assert flips >= 60
    shape = [*past, *map(float, rates)]
    assert {after(shape[:count]) for count in range(200, 471, 3)} == {Verdict.HOLD}


@pytest.mark.parametrize("past", [[0.0005] * 300, noisy(300)])
def test_a_deep_flip_is_left_within_one_settlement(past: list[float]) -> None:
    assert after(past) is Verdict.HOLD
    assert after([*past, -0.01]) is Verdict.CLOSE


def test_one_bad_print_that_is_no_flip_is_waited_out() -> None:
    assert after([*noisy(300), -0.001]) is Verdict.HOLD


def test_signals_are_computed_once_a_settlement_and_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(settlements: tuple[FundingSettlement, ...], policy: CarryPolicy) -> Signals | None:
        calls.append(settlements[-1].settled_at)
        return signals_of(settlements, policy)

    monkeypatch.setattr(deciding, "signals_of", counted)
    view = MarketView([pair("BTC"), pair("ETH")], keep=500)
    statistician = Statistician(view, POLICY)
    for row in settled([0.0003] * 200):
        view.settled(row)
    for _ in range(3):
        statistician.tell_all()
    assert calls == [END]  # nothing is known of ETH
    (later,) = settled([0.0003], 8, END + 8 * HOUR)
    view.settled(later)
    assert statistician.due() == ["BTCUSDT"]
    statistician.tell_all()
    assert calls == [END, END + 8 * HOUR]
    told_of = view.markets["BTCUSDT"].signals
    assert told_of is not None
    assert told_of.as_of == later.settled_at
