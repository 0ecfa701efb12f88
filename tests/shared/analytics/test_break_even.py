"""Break-even horizons, by hand (F:A2)."""

from decimal import Decimal

import pytest

from shared.analytics.break_even import BreakEven, horizon, next_shorter


@pytest.mark.parametrize(
    ("cost", "rate", "hours", "current", "shorter"),
    [
        # 35 bp at 1 bp per 8 h: 35 settlements, 280 h; at 4 h half the rate, 70 settlements, 280 h
        ("0.0035", "0.0001", 8, (35, 280), (70, 280)),
        # 34.1 rounds up to 35; at 4 h 68.2 to 69, which is 276 h and sooner
        ("0.00341", "0.0001", 8, (35, 280), (69, 276)),
        ("0.0035", "0.0001", 1, (35, 35), None),
        ("0", "0.0001", 4, (0, 0), (0, 0)),
        ("-0.001", "0.0001", 2, (0, 0), (0, 0)),
    ],
)
def test_a_cost_is_earned_after_whole_settlements(
    cost: str,
    rate: str,
    hours: int,
    current: tuple[int, int],
    shorter: tuple[int, int] | None,
) -> None:
    got = horizon(Decimal(cost), Decimal(rate), hours)
    assert got.current == BreakEven(*current)
    assert got.shorter == (None if shorter is None else BreakEven(*shorter))


@pytest.mark.parametrize("rate", ["0", "-0.0001"])
def test_a_rate_that_pays_nothing_never_breaks_even(rate: str) -> None:
    got = horizon(Decimal("0.0035"), Decimal(rate), 8)
    assert (got.current, got.shorter) == (None, None)


def test_the_ladder_is_the_venues() -> None:
    assert [next_shorter(h) for h in (8, 4, 2, 1)] == [4, 2, 1, None]
