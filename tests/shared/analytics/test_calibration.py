"""How stated probabilities are compared with what happened, on trials whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from shared.analytics.calibration import TRIALS, calibration, reliability, share_of, trials
from shared.analytics.grid import HOUR_MS, FundingHistory

STEP = 8 * HOUR_MS


def history(n: int, seed: int = 1) -> FundingHistory:
    rng = np.random.default_rng(seed)
    at = np.arange(1, n + 1, dtype=np.int64) * STEP
    rates = rng.normal(1e-4, 1e-4, n)
    return FundingHistory(at, rates, np.full(n, 8, dtype=np.int64), at, rng.normal(0, 1e-4, n))


def held(stated: list[float], lost: list[bool]) -> pd.DataFrame:
    n = len(stated)
    return pd.DataFrame(
        {
            "symbol": "BTC", "at_ms": np.arange(n) * STEP, "hold": 3, "cost": 0.001,
            "stated": stated, "lost": lost, "rank": np.linspace(0.05, 0.95, n),
        }
    )  # fmt: skip


def test_a_trial_says_what_the_hold_then_earned_and_whether_that_lost() -> None:
    given = history(400)
    got = trials("BTC", given, 300 * STEP, 401 * STEP)
    one = got[(got["at_ms"] == 301 * STEP) & (got["hold"] == 3)]
    # The settlement at 301 steps is index 300: it receives the rates 301, 302, 303.
    earned = given.rates[301:304].sum() + given.basis[300] - given.basis[303]
    assert list(one["cost"]) == list(TRIALS[3])
    assert list(one["lost"]) == [bool(earned < cost) for cost in TRIALS[3]]


def test_no_probability_knows_the_span_it_is_judged_in() -> None:
    given = history(400)
    other = FundingHistory(
        given.at_ms, given.rates.copy(), given.hours, given.basis_ms, given.basis
    )
    other.rates[310:] = 0.01
    first = trials("BTC", given, 300 * STEP, 401 * STEP)
    second = trials("BTC", other, 300 * STEP, 401 * STEP)
    early = first["at_ms"] <= 310 * STEP
    assert first[early]["stated"].to_numpy() == pytest.approx(second[early]["stated"].to_numpy())
    assert not first[early]["lost"].equals(second[early]["lost"])


def test_holds_that_are_not_over_by_the_end_are_left_out() -> None:
    got = trials("BTC", history(400), 300 * STEP, 350 * STEP)
    assert (got["at_ms"] + got["hold"] * STEP < 350 * STEP).all()
    assert got[got["hold"] == 3]["at_ms"].max() == 346 * STEP


def test_probabilities_of_independent_rates_come_true() -> None:
    got = calibration(trials("BTC", history(1500), 600 * STEP, 1501 * STEP, every=3))
    assert 0.15 <= got.fifth.estimate <= 0.25
    assert got.below_fifth.low <= 0.2 <= got.below_fifth.high


def test_scores_are_worked_by_hand() -> None:
    got = calibration(held([0.2, 0.2, 0.2, 0.9], [True, False, False, True]))
    assert got.brier == pytest.approx((0.64 + 0.04 + 0.04 + 0.01) / 4)
    assert got.brier_constant == pytest.approx(0.25)  # half of all lost
    assert got.fifth.estimate == pytest.approx(1 / 3)
    assert got.stated_fifth == pytest.approx(0.2)
    assert got.below_fifth.estimate == pytest.approx(0.25)  # ranks 0.05 0.35 0.65 0.95


def test_bins_begin_at_their_lower_bound() -> None:
    got = reliability(held([0.15, 0.2499, 0.25], [True, False, True]))
    assert list(got["count"]) == [2, 1]
    assert got["lost"].tolist() == pytest.approx([0.5, 1.0])


def test_losses_that_come_together_leave_a_share_less_sure() -> None:
    rng = np.random.default_rng(2)
    scattered = held([0.2] * 1000, list(rng.random(1000) < 0.2))
    together = held([0.2] * 1000, [at % 500 < 100 for at in range(1000)])
    wide = share_of(together.assign(hit=together["lost"]), together)
    narrow = share_of(scattered.assign(hit=scattered["lost"]), scattered)
    assert wide.estimate == pytest.approx(0.2)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_nothing_stated_around_a_fifth_is_no_share() -> None:
    nothing = held([0.9], [True])
    assert np.isnan(share_of(nothing[nothing["stated"] < 0.5].assign(hit=True), nothing).estimate)
