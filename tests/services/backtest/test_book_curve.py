"""Where the account of a published run begins and ends, and which bars it is valued at."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import Misconfigured
from tests.services.backtest.listed_run import HOUR, T0, book, made


def all_of_it(said: dict[str, Any]) -> dict[str, Any]:
    (found,) = [h for h in said["horizons"] if h["months"] is None]
    return found  # type: ignore[no-any-return]


def another_leg(trades: list[Any], bars: list[Any], by: int) -> None:
    """Trade a second symbol as the first, ``by`` milliseconds later."""
    for row, name in ((trades[0], "open_time"), *((bar, "label_time") for bar in list(bars))):
        later = {**row, "symbol": "BBBUSD", name: row[name] + by}
        if row is trades[0]:
            later["close_time"] += by
        (trades if row is trades[0] else bars).append(later)


def long_after(trades: list[Any], bars: list[Any]) -> None:
    another_leg(trades, bars, 48 * HOUR)


def beside_the_grid(trades: list[Any], bars: list[Any]) -> None:
    another_leg(trades, bars, HOUR // 2)
    for trade in trades:
        trade["close_time"] = None


def idle_before(trades: list[Any], bars: list[Any]) -> None:
    bars[:0] = [{**bars[0], "label_time": T0 + hours * HOUR} for hours in range(-48, 0)]


def held_for_two_days(trades: list[Any], bars: list[Any]) -> None:
    trades[0]["close_time"] = T0 + 48 * HOUR
    bars += [{**bars[3], "label_time": T0 + hours * HOUR} for hours in range(4, 60)]


def test_the_account_begins_at_the_first_opening_or_where_it_is_told_to(tmp_path: Path) -> None:
    def change(trades: list[Any], bars: list[Any]) -> None:
        idle_before(trades, bars)
        held_for_two_days(trades, bars)

    files = made(tmp_path, change=change)
    opened = all_of_it(book("--start-value", "5000", **files))
    earlier = all_of_it(book("--start-value", "5000", "--from", "2022-12-30T00:00", **files))
    assert (opened["days"], earlier["days"]) == (2, 4)
    # 900 of value in 9 units: nothing gained yet, and 90 to close them at 100.
    assert Decimal(opened["initial"]) == 4910
    assert Decimal(earlier["initial"]) == 5000


def test_legs_that_share_no_bar_are_refused_in_words(tmp_path: Path) -> None:
    files = made(tmp_path, change=beside_the_grid)
    with pytest.raises(Misconfigured, match="No two bars from 2023-01-01 00:00 UTC on are shared"):
        book("--start-value", "5000", **files)


def test_an_account_that_begins_after_the_last_bar_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No two bars from 2024-01-01 00:00 UTC on"):
        book("--start-value", "5000", "--from", "2024-01-01T00:00", **made(tmp_path))


def test_a_leg_that_is_not_held_need_have_no_bar(tmp_path: Path) -> None:
    said = book("--start-value", "5000", **made(tmp_path, change=long_after))
    # Each leg in its own days: 20.7 of funding, 72 of loss.
    assert Decimal(said["end"]["realised"]) == 5000 + 2 * (Decimal("20.7") - 72)
    assert said["end"]["at"] == "2023-01-03 03:00 UTC"


def test_what_closes_after_the_end_is_still_open_there(tmp_path: Path) -> None:
    said = book("--start-value", "5000", "--to", "2023-01-01T01:00", **made(tmp_path))
    assert (said["trades"], said["closed"], said["settlements"]) == (1, 0, 1)
    # 9 units at 110: paid 9.90, 90 down, 99 to close them.
    assert Decimal(said["end"]["marked"]) == 5000 + Decimal("9.9") - 90 - 99


def test_what_opens_after_the_end_is_left_out(tmp_path: Path) -> None:
    files = made(tmp_path, change=long_after)
    assert book("--to", "2023-01-01T03:00", **files)["trades"] == 1
    with pytest.raises(Misconfigured, match="no trade is chosen and opens until 2022-12-31 00:00"):
        book("--to", "2022-12-31T00:00", **files)
