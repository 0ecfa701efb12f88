"""The core's signals: against SciPy and NumPy, and what they make of a flip."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, percentileofscore

from shared.analytics import deciding
from shared.analytics.deciding import Statistician, reverting, signals_of
from shared.analytics.holds import holds
from shared.analytics.loss import hold_distribution
from shared.domain.funding import FundingSettlement
from shared.domain.market import BasisLevel
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Holding, Portfolio
from shared.domain.signals import Signals, share_below
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


def levels_of(
    settlements: tuple[FundingSettlement, ...], basis: list[float] | None = None
) -> dict[datetime, float]:
    """The basis at every settlement, zero unless given."""
    given = [0.0] * len(settlements) if basis is None else basis
    return {s.settled_at: b for s, b in zip(settlements, given, strict=True)}


def told(settlements: tuple[FundingSettlement, ...], basis: list[float] | None = None) -> Signals:
    signals = signals_of(settlements, levels_of(settlements, basis), POLICY)
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
    rates = noisy(1200)
    assert told(settled(rates)) == told(settled(rates)[-1095:])  # a year of eight hours
    assert told(settled(rates)) != told(settled(rates)[-1094:])


def test_a_short_past_tells_no_distribution_and_so_is_not_complete() -> None:
    # Twenty to begin with, then 64 begun holds that are over: the older ones weigh less.
    assert told(settled(noisy(146))).hold_outcomes is None
    assert told(settled(noisy(147))).hold_outcomes is not None
    # The forecast looks back over 90, and is weighed by 30 whose 63 settlements are over.
    assert told(settled(noisy(181))).hold_mean is None
    assert told(settled(noisy(182))).is_complete


def test_what_a_hold_brings_is_its_funding_and_what_the_basis_falls() -> None:
    """A basis that forgets its level at once, 3 bps round zero: 10 bps dear are 10 bps earned."""
    basis = [float(b) for b in np.random.default_rng(8).normal(0, 3e-4, 600)]
    settlements = settled([0.0001] * 600)
    dear, cheap = (told(settlements, [*basis[:-1], last]) for last in (0.001, -0.001))
    assert dear.hold_outcomes is not None
    assert cheap.hold_outcomes is not None
    assert dear.hold_deviation is not None
    assert float(dear.hold_outcomes[20]) == pytest.approx(0.0063 + 0.001, abs=3e-4)
    assert float(cheap.hold_outcomes[20]) == pytest.approx(0.0063 - 0.001, abs=3e-4)
    assert float(dear.hold_deviation) == pytest.approx(3e-4, rel=0.2)
    assert dear.hold_mean == cheap.hold_mean == Decimal("0.0001")


def test_the_core_states_the_loss_that_the_calibration_checks() -> None:
    """R14: what ``carry backtest calibrate`` finds to hold is what is decided by."""
    dice = np.random.default_rng(21)
    rates = [float(r) for r in dice.normal(1e-4, 1e-4, 1300)]
    basis = [float(b) for b in dice.normal(-3e-4, 3e-4, 1300)]
    settlements = settled(rates)
    of = told(settlements, basis)
    assert of.hold_outcomes is not None
    stated = hold_distribution(holds(np.array(rates), np.array(basis), 63), most=1095)
    assert stated is not None
    for cost in (0.0040, 0.0055, 0.0065, 0.0075):
        said = float(share_below(of.hold_outcomes, Decimal(str(cost))))
        assert said == pytest.approx(stated.loss_probability(cost), abs=0.03), cost


def test_the_basis_is_told_as_a_level_its_usual_one_and_where_it_may_lie() -> None:
    basis = [float(b) for b in np.random.default_rng(8).normal(-4e-4, 3e-4, 300)]
    of = told(settled(noisy(300)), basis)
    average = pd.Series(basis).ewm(span=21, adjust=False).mean().iloc[-1]
    assert float(of.basis or 0) == pytest.approx(basis[-1], abs=1e-12)
    assert float(of.basis_usual or 0) == pytest.approx(average, abs=1e-12)
    assert of.basis_levels is not None
    quantiles = np.quantile(basis, np.linspace(0, 1, 41))
    assert [float(level) for level in of.basis_levels] == pytest.approx(quantiles, abs=1e-12)


def test_a_level_that_is_missing_is_the_one_before_but_the_newest_is_never_made_up() -> None:
    settlements = settled(noisy(300))
    basis = [float(b) for b in np.random.default_rng(8).normal(0, 3e-4, 300)]
    gapped = levels_of(settlements, basis)
    del gapped[settlements[150].settled_at]
    filled = [*basis[:150], basis[149], *basis[151:]]
    assert signals_of(settlements, gapped, POLICY) == told(settlements, filled)
    del gapped[END]
    of = signals_of(settlements, gapped, POLICY)
    assert of is not None
    said = (of.basis, of.basis_usual, of.basis_levels, of.hold_outcomes, of.hold_deviation)
    assert (said, of.is_complete) == ((None,) * 5, False)
    assert of.hold_mean is not None  # the rates are known all the same


def test_a_hold_is_judged_by_those_since_the_basis_is_known() -> None:
    settlements, basis = settled(noisy(400)), [1e-4] * 400
    late = levels_of(settlements[-147:], basis[:147])
    of = signals_of(settlements, late, POLICY)
    alone = told(settlements[-147:], basis[:147])
    assert of is not None
    assert of.is_complete
    assert of.hold_outcomes == alone.hold_outcomes
    del late[settlements[-147].settled_at]
    too_late = signals_of(settlements, late, POLICY)
    assert too_late is not None
    assert too_late.hold_outcomes is None


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

    def counted(
        settlements: tuple[FundingSettlement, ...],
        levels: dict[datetime, float],
        policy: CarryPolicy,
    ) -> Signals | None:
        calls.append(settlements[-1].settled_at)
        return signals_of(settlements, levels, policy)

    monkeypatch.setattr(deciding, "signals_of", counted)
    view = MarketView([pair("BTC"), pair("ETH")], keep=500)
    statistician = Statistician(view, POLICY)
    for row in settled([0.0003] * 200):
        view.settled(row)
        view.levelled(BasisLevel("BTCUSDT", row.settled_at, Decimal(0)))
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
    # It had to do without the basis then: once that is known it is told of anew.
    assert (told_of.basis, statistician.lacking()) == (None, ["BTCUSDT"])
    view.levelled(BasisLevel("BTCUSDT", later.settled_at, Decimal("0.0002")))
    assert (statistician.due(), statistician.lacking()) == (["BTCUSDT"], [])
    statistician.tell_all()
    again = view.markets["BTCUSDT"].signals
    assert again is not None
    assert again.basis == Decimal("0.0002")
    assert len(calls) == 3


def test_levels_that_the_view_lets_go_are_not_kept() -> None:
    """A desk that is left alone for years holds the levels of its history, and no more."""
    view = MarketView([pair("BTC")], keep=30)
    statistician = Statistician(view, POLICY)
    for row in settled([0.0003] * 40):
        view.settled(row)
        view.levelled(BasisLevel("BTCUSDT", row.settled_at, Decimal(0)))
        statistician.tell_all()
    assert statistician._levels["BTCUSDT"].keys() == view.levels("BTCUSDT").keys()
    assert len(view.levels("BTCUSDT")) == 30
