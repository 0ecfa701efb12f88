"""Runs side by side: only what differs, and a difference that knows how sure it is."""

from typing import Any

import numpy as np
import pytest

from services.backtest.compare import as_json, compare
from services.backtest.record import RUN
from shared.domain.errors import Misconfigured


def stored(daily: list[float], deposit: str = "100000", **parameters: str) -> dict[str, Any]:
    """Return as much of a stored run as a comparison reads; days count from 1 January 2024."""
    days = [str(np.datetime64("2024-01-01") + i) for i in range(len(daily))]
    return {
        "format": RUN, "start": days[0], "end": days[-1], "deposit": deposit,
        "parameters": {"hold": "21 d", "cap": "5", **parameters},
        "net": str(round(sum(daily), 8)), "annualized": 0.02, "drawdown_max": 0.01,
        "sharpe": 1.5, "daily": {"days": days, "net": [str(v) for v in daily]},
    }  # fmt: skip


NOISE = [float(v) for v in np.random.default_rng(2).normal(0.0, 50.0, 200).round(4)]


def test_only_parameters_that_differ_are_shown_and_missing_ones_stay_missing() -> None:
    found = compare({"a": stored(NOISE, entry="0.001"), "b": stored(NOISE, cap="3")})
    assert found.parameters == {"cap": ("5", "3"), "entry": ("0.001", None)}
    assert found.figures["net"][0] == found.figures["net"][1]
    assert found.figures["funding"] == (None, None)


def test_a_steady_two_a_day_is_told_apart_under_noise_that_both_share() -> None:
    better = [v + 2.0 for v in NOISE]
    (difference,) = compare({"a": stored(NOISE), "b": stored(better)}).differences
    assert difference.interval is not None
    assert difference.interval.estimate == pytest.approx(400.0)
    assert difference.says.startswith("b earns more than the first: +400.00 USDT (200 shared days")


def test_noise_of_ones_own_is_not_told_apart() -> None:
    other = [float(v) for v in np.random.default_rng(3).normal(0.0, 50.0, 200).round(4)]
    (difference,) = compare({"a": stored(NOISE), "b": stored(other)}).differences
    assert "cannot be told from the first" in difference.says


def test_a_run_on_half_the_capital_is_scaled_to_the_first() -> None:
    half = stored([v / 2 for v in NOISE], deposit="50000")
    (difference,) = compare({"a": stored(NOISE), "b": half}).differences
    assert difference.interval is not None
    assert difference.interval.estimate == pytest.approx(0.0, abs=1e-9)


def test_days_that_only_one_run_has_do_not_count() -> None:
    (difference,) = compare({"a": stored(NOISE), "b": stored(NOISE[:20])}).differences
    assert difference.says == "b: 20 shared days are too few to tell."


def test_json_carries_the_sentence_with_the_numbers() -> None:
    told = as_json(compare({"a": stored(NOISE), "b": stored([v - 3.0 for v in NOISE])}))
    (row,) = told["differences"]
    assert row["interval"]["estimate"] == pytest.approx(-600.0)
    assert "b earns less than the first: −600.00 USDT" in row["says"]


@pytest.mark.parametrize("names", ["a", "abcde"])
def test_one_run_or_five_are_refused(names: str) -> None:
    with pytest.raises(Misconfigured, match="compare two to 4"):
        compare({name: stored(NOISE) for name in names})
