"""Which bars a published run needs, and what is taken where a file has closes alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import Misconfigured
from tests.services.backtest.listed_run import HOUR, T0, book, checks, made

Change = Callable[[list[Any], list[Any]], None]


def before_it(bars: list[Any], hours: int, **changed: Any) -> None:
    """Put a bar ``hours`` before the opening, ahead of all others."""
    bars.insert(0, {**bars[0], "label_time": T0 - hours * HOUR, **changed})


def closes_alone(market: str) -> Change:
    def change(trades: list[Any], bars: list[Any]) -> None:
        before_it(bars, 1, open=None, close="90")
        for row in (*trades, *bars):
            row["market"] = market
        for bar in bars:
            bar["open"] = None

    return change


def test_a_spot_bar_with_a_close_alone_opens_at_the_close_before_it(tmp_path: Path) -> None:
    trade = {"side": "long", "open_price": "90", "close_price": "110"}
    said = book(**made(tmp_path, trade, change=closes_alone("spot")))
    assert said["opens_from_previous_close"] == {"x:AAAUSD:spot": 3}  # opening to close, both in
    assert checks(said)["open_price"]["differing"] == 0
    assert checks(said)["close_price"]["differing"] == 0


def test_no_open_is_taken_for_a_perpetual(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="00:00 UTC: has no open;"):
        book(**made(tmp_path, change=closes_alone("linear")))


def test_no_open_is_taken_from_a_close_that_is_not_adjacent(tmp_path: Path) -> None:
    def change(trades: list[Any], bars: list[Any]) -> None:
        closes_alone("spot")(trades, bars)
        bars[0]["label_time"] -= HOUR

    said = "00:00 UTC: has no open, nor is there a close just before it"
    with pytest.raises(Misconfigured, match=said):
        book("--allow-gaps", **made(tmp_path, change=change))


def no_open(trades: list[Any], bars: list[Any]) -> None:
    before_it(bars, 1, open=None)


def below_zero(trades: list[Any], bars: list[Any]) -> None:
    before_it(bars, 1, close="-1")


def far_before(trades: list[Any], bars: list[Any]) -> None:
    before_it(bars, 1)
    before_it(bars, 5)


def off_grid(trades: list[Any], bars: list[Any]) -> None:
    before_it(bars, 1)
    before_it(bars, 2)
    bars[0]["label_time"] += 60_000


def hole_after(trades: list[Any], bars: list[Any]) -> None:
    bars.append({**bars[3], "label_time": T0 + 9 * HOUR})


def bad_after(trades: list[Any], bars: list[Any]) -> None:
    bars[3]["open"] = "much"


@pytest.mark.parametrize(
    "change", [no_open, below_zero, far_before, off_grid, hole_after, bad_after]
)
def test_a_fault_where_nothing_is_held_is_no_fault_of_the_run(
    change: Change, tmp_path: Path
) -> None:
    said = book(**made(tmp_path, change=change))
    assert float(said["closed_pnl"]) == -72
    assert said["missed_settlements"] == {}


def test_a_leg_with_bars_of_another_interval_alone_says_of_which(tmp_path: Path) -> None:
    def change(trades: list[Any], bars: list[Any]) -> None:
        for bar in bars:
            bar["interval"] = "8h"

    files = made(tmp_path, change=change)
    said = "no bar of x AAAUSD linear.* of the interval 1h, but of 8h: say --interval 8h"
    with pytest.raises(Misconfigured, match=said):
        book(**files)
    assert book("--interval", "8h", **files)["trades"] == 1
