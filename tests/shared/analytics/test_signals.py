"""The one row of signals: known values, no look ahead over an interval change, the door out."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from shared.analytics.forecast import forecasts
from shared.analytics.grid import HOUR_MS, FundingHistory
from shared.analytics.loss import loss_probability
from shared.analytics.regime import Regime
from shared.analytics.signals import (
    SignalValues,
    decimals,
    hold_outcomes,
    signal_rows,
    signals_of,
)
from shared.analytics.trend import linear_trend

DAY = 24


def history(eights: int, twos: int = 0, again: int = 0, seed: int = 1) -> FundingHistory:
    """Settlements every 8 h, then every 2 h, then every 8 h again; the basis every hour."""
    hours = np.array([8] * eights + [2] * twos + [8] * again, dtype=np.int64)
    at = np.cumsum(hours)
    rng = np.random.default_rng(seed)
    rates = rng.normal(1e-4, 1e-4, len(hours)) * hours / 8
    basis_ms = np.arange(1, int(at[-1]) + 1, dtype=np.int64) * HOUR_MS
    basis = rng.normal(-4e-4, 2e-4, len(basis_ms))
    return FundingHistory(at * HOUR_MS, rates, hours, basis_ms, basis)


def newest(given: FundingHistory, hold_hours: int = DAY * 7) -> SignalValues:
    values = signals_of(given, hold_hours)
    assert values is not None
    return values


def test_the_row_holds_what_its_parts_say() -> None:
    given = history(500)
    got = newest(given)
    line = linear_trend(given.rates[-21:])
    assert line is not None
    assert (got.slope, got.slope_p) == pytest.approx((line.slope, line.p_value))
    assert got.last_rate == given.rates[-1]
    assert got.basis == given.basis[-1]
    assert [f.horizon for f in got.forecasts] == [1, 3, 9]
    assert got.forecasts[2].mean == pytest.approx(forecasts(given.rates, 9).mean[-1])
    assert got.has_skill is got.forecasts[2].has_skill
    assert got.worst_rate == pytest.approx(np.quantile(given.rates, 0.001))


def test_a_holds_outcomes_say_the_loss_probability() -> None:
    given = history(900)
    got = newest(given, DAY * 7)
    assert got.hold is not None
    assert got.hold.settlements == 21
    outcomes = np.array(got.hold.outcomes)
    assert (np.diff(outcomes) >= 0).all()
    basis = given.basis[given.at_ms // HOUR_MS - 1]
    for chance in (10, 20, 50, 80):
        stated = loss_probability(given.rates, basis, float(outcomes[chance]), 21)
        assert stated == pytest.approx(chance / 100, abs=0.01)


def test_each_row_is_what_was_known_then_over_changes_of_the_interval() -> None:
    given = history(420, 60, 40)
    rows = signal_rows(given, DAY * 3)
    for at in (0, 10, 200, 419, 420, 430, 479, 480, 500, 519):
        then = signals_of(given.until(int(given.at_ms[at])), DAY * 3)
        row = rows[at]
        assert (row is None) is (then is None)
        if row is not None and then is not None:
            assert decimals(row) == decimals(then)
            assert hold_outcomes(row) == hold_outcomes(then)
            assert (row.regime, row.run, row.has_skill) == (then.regime, then.run, then.has_skill)


def test_a_hold_is_as_long_in_hours_at_any_interval() -> None:
    assert newest(history(400), DAY * 3).hold.settlements == 9  # type: ignore[union-attr]
    assert newest(history(400, 60), DAY * 3).hold.settlements == 36  # type: ignore[union-attr]


def test_a_history_that_is_too_short_says_what_it_can_and_nothing_else() -> None:
    got = newest(history(30))
    assert got.average is not None
    assert (got.z_score, got.percentile, got.regime, got.hold) == (None, None, None, None)
    assert (got.worst_rate, got.has_skill) == (None, False)
    assert all(f.mean is None for f in got.forecasts)
    assert decimals(got)["z_score"] is None
    assert hold_outcomes(got) is None
    assert signals_of(history(30).until(0), DAY) is None


def test_without_spot_there_is_no_basis_and_no_hold() -> None:
    given = history(400)
    none = np.zeros(0)
    got = newest(replace(given, basis_ms=none.astype(np.int64), basis=none))
    assert (got.basis, got.basis_percentile, got.hold) == (None, None, None)
    assert got.forecasts[0].mean is not None


def test_a_rate_that_never_moved_is_normal_and_deviates_by_nothing() -> None:
    given = history(400)
    got = newest(replace(given, rates=np.full(400, 1e-4)))
    assert (got.z_score, got.slope, got.slope_p, got.regime) == (0.0, 0.0, 1.0, Regime.NORMAL)


def test_all_fractions_leave_as_decimals_of_twelve_places() -> None:
    named = decimals(newest(history(900)))
    assert {"z_score", "slope_p", "mean_1", "high_9", "hold_mean", "basis"} <= set(named)
    assert all(
        isinstance(value, Decimal) and value.as_tuple().exponent == -12 for value in named.values()
    )
