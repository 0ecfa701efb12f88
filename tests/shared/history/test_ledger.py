"""The completeness ledger: have, missing or not due, one of them for each hour."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.history.ledger import Due, ledger_of
from shared.history.records import HOUR_MS, Bar, Settlement, SymbolHistory


def history(
    hours: Sequence[int], intervals: Sequence[int], bars: Sequence[int] = ()
) -> SymbolHistory:
    one = Decimal(1)
    return SymbolHistory(
        "BTCUSDT",
        tuple(Bar(h * HOUR_MS, one, one, one) for h in bars),
        tuple(
            Settlement(h * HOUR_MS, Decimal("0.0001"), i)
            for h, i in zip(hours, intervals, strict=True)
        ),
    )


def hours_of(stamps: Sequence[int]) -> list[int]:
    return [at // HOUR_MS for at in stamps]


def test_m6_three_deleted_settlements_are_named() -> None:
    kept = [h for h in range(8, 200, 8) if h not in (24, 32, 160)]
    found = ledger_of(history(kept, [8] * len(kept)))
    assert hours_of(found.missing) == [24, 32, 160]


@given(st.sets(st.integers(1, 40), min_size=2))
def test_m6_every_hour_is_exactly_one_of_three(steps: set[int]) -> None:
    hours = sorted(8 * step for step in steps)
    found = ledger_of(history(hours, [8] * len(hours)))
    said = [found.of(h * HOUR_MS) for h in range(hours[0], hours[-1] + 1)]
    assert said.count(Due.HAVE) == len(hours)
    assert said.count(Due.MISSING) == (hours[-1] - hours[0]) // 8 + 1 - len(hours)
    assert said.count(Due.NOT_DUE) == found.not_due


def test_trap_20_a_change_of_interval_is_followed_and_is_no_hole() -> None:
    # 8 h until 16, a step of 6 h to 22, every 2 h until 30, back to 8 h by a step of 6 h.
    found = ledger_of(history([8, 16, 22, 24, 26, 28, 30, 36, 44], [8, 8, 2, 2, 2, 2, 2, 8, 8]))
    assert found.missing == ()


def test_a_hole_among_two_hourly_settlements_is_named_as_two_hourly() -> None:
    found = ledger_of(history([8, 16, 22, 24, 30, 32], [8, 8, 2, 2, 2, 2]))
    assert hours_of(found.missing) == [26, 28]


def test_a_distance_that_no_venue_uses_is_two_intervals_with_a_hole() -> None:
    # A backfill tells an interval by the distance of two rows: sixteen hours is a lost row.
    found = ledger_of(history([8, 16, 32, 40], [8, 8, 16, 8]))
    assert hours_of(found.missing) == [24]


def test_trap_23_a_record_of_rates_that_ends_lacks_all_that_follows() -> None:
    found = ledger_of(history([8, 16], [8, 8], bars=range(9, 35)))
    assert hours_of(found.missing) == [24, 32]


def test_m6_a_record_of_rates_that_begins_after_the_bars_lacks_all_that_came_before() -> None:
    found = ledger_of(history([32, 34, 36], [2, 2, 2], bars=range(25, 38)))
    assert hours_of(found.missing) == [26, 28, 30]
    assert (found.first_ms // HOUR_MS, found.of(25 * HOUR_MS)) == (25, Due.NOT_DUE)


def test_rates_from_before_the_bars_on_lack_nothing_there() -> None:
    found = ledger_of(history([8, 16, 24, 32], [8] * 4, bars=range(20, 34)))
    assert (found.first_ms // HOUR_MS, found.missing) == (8, ())


def test_m6_bars_without_any_settlement_lack_one_every_eight_hours() -> None:
    found = ledger_of(history([], [], bars=range(9, 34)))
    assert hours_of(found.missing) == [16, 24, 32]
    # The hours 9 to 32, less those three.
    assert (found.gaps, found.not_due) == (3, 21)


@pytest.mark.parametrize("bars", [[], [9]])
def test_a_record_too_short_to_be_paid_in_lacks_nothing(bars: list[int]) -> None:
    found = ledger_of(history([], [], bars=bars))
    assert (found.gaps, found.not_due) == (0, 0)


def test_an_hour_without_a_bar_is_named_too() -> None:
    found = ledger_of(history([8, 16], [8, 8], bars=[9, 10, 13, 14]))
    assert hours_of(found.bars_missing) == [11, 12]
    assert found.gaps == 2
