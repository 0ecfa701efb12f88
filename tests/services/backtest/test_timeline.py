"""What a run knows of the schedule: when it settles next, not that this will change."""

from decimal import Decimal

import pytest

from services.backtest.timeline import Timeline
from shared.history.records import HOUR_MS, Bar, History, Settlement, SymbolHistory

ONE = Decimal(1)


def hours_of(name: str, timeline: Timeline, hour: float) -> tuple[float, float]:
    at, interval = timeline.next_funding(name, int(hour * HOUR_MS))
    assert at is not None
    assert interval is not None
    return at.timestamp() / 3600, interval.total_seconds() / 3600


def timeline(*settled: tuple[int, int]) -> Timeline:
    bars = tuple(Bar(h * HOUR_MS, ONE, ONE, ONE) for h in range(1, 60))
    paid = tuple(Settlement(at * HOUR_MS, Decimal(0), hours) for at, hours in settled)
    history = History({"AUSDT": SymbolHistory("AUSDT", bars, paid)})
    return Timeline(history, ["AUSDT"], 0, 60 * HOUR_MS)


@pytest.mark.parametrize(
    ("hour", "known"),
    [
        (7.9, (8, 8)),
        (8, (16, 8)),  # two-hourly from 12:00 on; nobody says so before
        (11.9, (16, 8)),
        (12, (14, 2)),
        (14, (16, 2)),
        (18, (24, 8)),  # eight-hourly again, and 18:00 was the last of the two-hourly
    ],
)
def test_a_change_of_interval_is_known_when_its_first_interval_has_begun(
    hour: float, known: tuple[float, float]
) -> None:
    # As SOL did on 10 November 2022: 08:00, then 14:00 and 16:00 at two hours each.
    assert hours_of("AUSDT", timeline((8, 8), (14, 2), (16, 2), (18, 2), (24, 8)), hour) == known


@pytest.mark.parametrize("end", [9, 11, 13])
def test_what_comes_later_does_not_change_what_was_known(end: int) -> None:
    whole = timeline((8, 8), (14, 2), (16, 2))
    assert hours_of("AUSDT", whole, min(end, 11)) == hours_of("AUSDT", timeline((8, 8)), 9)


def test_before_the_first_settlement_and_after_the_last_the_schedule_goes_on() -> None:
    assert hours_of("AUSDT", timeline((8, 8), (16, 8)), 2) == (8, 8)
    assert hours_of("AUSDT", timeline((8, 8), (16, 8)), 30) == (32, 8)
    assert timeline().next_funding("AUSDT", 0) == (None, None)
