"""A seeded week of skips, recomputed row by row (F:A8)."""

import numpy as np
import pandas as pd
import pytest

from shared.analytics.counterfactual import HOUR_MS, by_reason, episodes, followed
from shared.domain.errors import Malformed

SETTLEMENTS = pd.DataFrame(
    {
        "symbol": ["BTC"] * 4,
        "at_ms": [h * HOUR_MS for h in (0, 8, 16, 24)],
        "rate": [0.01, 0.02, 0.04, 0.08],
    }
)
BASIS = pd.DataFrame(
    {
        "symbol": ["BTC"] * 3,
        "at_ms": [h * HOUR_MS for h in (0, 9, 20)],
        "basis_rate": [0.003, 0.001, -0.002],
    }
)
ENDS = {"BTC": 24 * HOUR_MS}


def skips(*rows: tuple[str, int, int], cost: float = 0.005) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"symbol": "BTC", "reason": r, "at_ms": at * HOUR_MS, "hold_hours": h, "cost": cost}
            for r, at, h in rows
        ]
    )


def test_a_hold_is_paid_after_it_begins_and_at_its_end() -> None:
    got = followed(skips(("a", 8, 16)), SETTLEMENTS, BASIS, 24 * HOUR_MS, ENDS).iloc[0]
    assert got["funding"] == pytest.approx(0.04 + 0.08)  # not what settled at the start
    assert got["basis_gain"] == pytest.approx(0.003 + 0.002)
    assert got["earned"] == pytest.approx(0.12 + 0.005 - 0.005)


def test_a_hold_that_is_not_over_has_no_result() -> None:
    got = followed(skips(("a", 8, 17)), SETTLEMENTS, BASIS, 24 * HOUR_MS, ENDS).iloc[0]
    assert not got["is_over"]
    assert np.isnan(got["earned"])


def test_a_hold_without_a_price_or_a_settlement_before_it_is_missing_not_zero() -> None:
    early = followed(skips(("a", -1, 8)), SETTLEMENTS, BASIS, 24 * HOUR_MS, ENDS)
    assert np.isnan(early["earned"].iloc[0])
    other = skips(("a", 0, 8)).assign(symbol="ETH")
    assert np.isnan(followed(other, SETTLEMENTS, BASIS, 24 * HOUR_MS, ENDS)["earned"].iloc[0])


def test_a_hold_that_outlives_its_symbols_record_is_over_and_missing() -> None:
    holds = skips(("a", 8, 16), ("a", 8, 17))
    got = followed(holds, SETTLEMENTS, BASIS, 48 * HOUR_MS, ENDS)
    assert list(got["is_over"]) == [True, True]
    assert got["earned"].iloc[0] == pytest.approx(0.12)
    for name in ("funding", "basis_gain", "earned"):
        assert np.isnan(got[name].iloc[1]), name
    assert np.isnan(followed(holds, SETTLEMENTS, BASIS, 48 * HOUR_MS, {})["earned"]).all()


def test_a_pair_skipped_again_inside_its_hold_counts_once() -> None:
    got = episodes(skips(("a", 0, 8), ("a", 1, 8), ("a", 8, 8), ("b", 1, 8)))
    assert list(zip(got["reason"], got["at_ms"] // HOUR_MS, strict=True)) == [
        ("a", 0), ("a", 8), ("b", 1),
    ]  # fmt: skip


def test_reasons_are_told_the_most_expensive_first() -> None:
    follows = pd.DataFrame(
        {"reason": ["a", "a", "b", "b", "c"], "earned": [0.01, -0.04, 0.02, np.nan, np.nan]}
    )
    got = by_reason(follows)
    assert list(got.index) == ["b", "a", "c"]
    assert list(got["skipped"]) == [2, 2, 1]
    assert list(got["known"]) == [1, 2, 0]
    assert got["would_have_earned"].tolist()[:2] == pytest.approx([0.02, -0.03])
    assert got["share_won"].tolist()[:2] == pytest.approx([1.0, 0.5])
    assert np.isnan(got["would_have_earned"].iloc[2])


def test_a_seeded_week_equals_an_independent_recomputation() -> None:
    rng = np.random.default_rng(4)
    names, week = ["BTC", "ETH"], range(0, 7 * 24 + 1, 8)
    settled = pd.DataFrame(
        [
            {"symbol": s, "at_ms": h * HOUR_MS, "rate": rng.normal(1e-4, 2e-4)}
            for s in names
            for h in week
        ]
    )
    levels = pd.DataFrame(
        [
            {"symbol": s, "at_ms": h * HOUR_MS, "basis_rate": rng.normal(0, 3e-4)}
            for s in names
            for h in range(169)
        ]
    )
    wanted = pd.DataFrame(
        {
            "symbol": rng.choice(names, 60),
            "reason": rng.choice(["below_margin", "no_room"], 60),
            "at_ms": rng.integers(0, 140, 60) * HOUR_MS + 60_000,
            "hold_hours": rng.choice([8, 24], 60),
            "cost": 0.0005,
        }
    )
    ends = dict.fromkeys(names, 168 * HOUR_MS)
    got = by_reason(followed(wanted, settled, levels, 168 * HOUR_MS, ends))["would_have_earned"]
    sums = {"below_margin": 0.0, "no_room": 0.0}
    for row in wanted.to_dict("records"):
        start, end = row["at_ms"], row["at_ms"] + row["hold_hours"] * HOUR_MS
        for paid in settled.to_dict("records"):
            if paid["symbol"] == row["symbol"] and start < paid["at_ms"] <= end:
                sums[row["reason"]] += paid["rate"]
        known = levels[levels["symbol"] == row["symbol"]]
        entry = known[known["at_ms"] <= start]["basis_rate"].tolist()[-1]
        leave = known[known["at_ms"] <= end]["basis_rate"].tolist()[-1]
        sums[row["reason"]] += entry - leave - 0.0005
    assert dict(got) == pytest.approx(sums)


def test_a_table_without_a_column_is_refused_by_its_name() -> None:
    with pytest.raises(Malformed, match="skips lacks the column cost"):
        episodes(skips(("a", 0, 8)).drop(columns="cost"))
