"""A settlement that a published run needs is there, or its absence is said."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.domain.errors import Misconfigured
from tests.services.backtest.listed_run import HOUR, T0, book, checks, made

Row = tuple[int, str | None, int | None]
"""Hours after the opening, rate, interval_hours."""


def without_rates(trades: list[Any], bars: list[Any]) -> None:
    for bar in bars:
        del bar["funding_rate"]


def rates(folder: Path, rows: Sequence[Row], name: str = "funding") -> Path:
    path = folder / f"{name}.parquet"
    table = [
        {
            "exchange": "x", "symbol": "AAAUSD", "funding_time": T0 + hours * HOUR,
            "rate_str": rate, "interval_hours": interval,
        }
        for hours, rate, interval in rows
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(table), path)
    return path


def only(hours: set[int]) -> Any:
    def change(trades: list[Any], bars: list[Any]) -> None:
        for n, bar in enumerate(bars):
            bar["funding_rate"] = "0.01" if n in hours else None

    return change


def test_a_perpetual_without_any_rate_is_refused_and_not_booked_at_zero(tmp_path: Path) -> None:
    files = made(tmp_path, change=without_rates)
    said = r"bars\.csv: x AAAUSD linear has no schedule of rates.*2023-01-01 00:00 UTC.*--funding"
    with pytest.raises(Misconfigured, match=said):
        book(**files)
    assert book("--allow-gaps", **files)["missed_settlements"] == {
        "x:AAAUSD:linear": {"count": None, "first": "2023-01-01 00:00 UTC"}
    }


@pytest.mark.parametrize(
    ("hours", "first", "funding"),
    [
        ({0, 2, 3}, "2023-01-01 01:00 UTC", "10.8"),  # a hole
        ({2, 3}, "2023-01-01 01:00 UTC", "10.8"),  # they begin late
        ({0, 1}, "2023-01-01 02:00 UTC", "9.9"),  # they end early
    ],
)
def test_rates_of_the_bars_that_miss_a_settlement_are_refused_or_counted(
    hours: set[int], first: str, funding: str, tmp_path: Path
) -> None:
    files = made(tmp_path, change=only(hours))
    with pytest.raises(Misconfigured, match=rf"bars\.csv: x AAAUSD linear: the .* {first} has no"):
        book(**files)
    said = book("--allow-gaps", **files)
    assert said["missed_settlements"] == {"x:AAAUSD:linear": {"count": 1, "first": first}}
    assert Decimal(said["funding"]) == Decimal(funding)


@pytest.mark.parametrize(
    "rows",
    [
        [(0, "0.01", 1), (1, None, 1), (2, "0.01", 1)],
        [(0, "0.01", 1), (2, "0.01", 1)],
        [(0, "0.01", None), (1, None, None), (2, "0.01", None)],
    ],
)
def test_a_table_of_rates_without_one_that_is_due_is_refused(
    rows: list[Row], tmp_path: Path
) -> None:
    files = made(tmp_path, change=without_rates)
    said = r"funding\.parquet: x AAAUSD linear: the settlement of 2023-01-01 01:00 UTC has no rate"
    with pytest.raises(Misconfigured, match=said):
        book(**files, funding=rates(tmp_path, rows))


@pytest.mark.parametrize(
    "rows",
    [
        [(-8, "0.05", 8), (0, "0.05", 8), (2, "0.01", 2)],  # the interval changed between
        [(-6, "0.05", 2), (0, "0.05", 2), (2, "0.01", 2)],  # what is missed was before the opening
    ],
)
def test_a_schedule_that_changes_or_misses_outside_the_trade_is_taken(
    rows: list[Row], tmp_path: Path
) -> None:
    files = made(tmp_path, change=without_rates)
    said = book(**files, funding=rates(tmp_path, rows))
    assert said["missed_settlements"] == {}
    assert Decimal(said["funding"]) == Decimal("10.8")  # 9 units x 120 x 1 %


def test_a_position_that_stays_open_needs_its_rates_up_to_the_last_bar(tmp_path: Path) -> None:
    files = made(tmp_path, {"close_time": None}, change=only({0, 1, 2}))
    with pytest.raises(Misconfigured, match="settlement of 2023-01-01 03:00 UTC has no rate"):
        book(**files)


def test_a_settlement_stamped_some_milliseconds_late_is_paid_at_its_minute(tmp_path: Path) -> None:
    path = rates(tmp_path, [(0, "0.01", 1), (1, "0.01", 1), (2, "0.01", 1)])
    table = pq.read_table(path).to_pylist()
    late = [{**row, "funding_time": row["funding_time"] + 7} for row in table]
    pq.write_table(pa.Table.from_pylist(late), path)
    said = book(**made(tmp_path, change=without_rates), funding=path)
    assert Decimal(said["funding"]) == Decimal("20.7")


def test_two_tables_of_rates_are_one_and_never_state_a_settlement_twice(tmp_path: Path) -> None:
    files = made(tmp_path, change=without_rates)
    first = rates(tmp_path, [(0, "0.01", 1), (1, "0.01", 1)], "first")
    then = rates(tmp_path, [(2, "0.01", 1)], "then")
    said = book("--funding", str(then), **files, funding=first)
    assert Decimal(said["funding"]) == Decimal("20.7")  # 9 units x (110 + 120) x 1 %
    again = rates(tmp_path, [(1, "0.02", 1), (2, "0.01", 1)], "again")
    twice = r"again\.parquet: x AAAUSD linear has a rate of 2023-01-01 01:00 UTC in two files"
    with pytest.raises(Misconfigured, match=twice):
        book("--funding", str(again), **files, funding=first)


def test_payments_logged_in_two_files_are_refused_and_not_the_last_of_them(tmp_path: Path) -> None:
    first = logged(tmp_path, ["9.9"])
    second = tmp_path / "second.parquet"
    second.write_bytes(first.read_bytes())
    twice = r"x AAAUSD linear pays at 2023-01-01 01:00 UTC in two files; name one of them"
    with pytest.raises(Misconfigured, match=twice):
        book("--funding", str(second), **made(tmp_path), funding=first)


def logged(folder: Path, payments: Sequence[str], late_ms: int = 0) -> Path:
    """Log payments of the first settlement after the opening."""
    path = folder / "log.parquet"
    leg = {"exchange": "x", "symbol": "AAAUSD", "market": "linear"}
    rows = [{"time": T0 + HOUR + late_ms, **leg, "funding_payment": paid} for paid in payments]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def two_positions(trades: list[Any], bars: list[Any]) -> None:
    trades.append({**trades[0], "margin": "coin"})


def test_equal_payments_of_as_many_positions_are_summed(tmp_path: Path) -> None:
    files = made(tmp_path, change=two_positions)
    said = checks(book(**files, funding=logged(tmp_path, ["9.9", "9.9"])))
    assert (said["payment"]["compared"], said["payment"]["differing"]) == (1, 0)
    with pytest.raises(Misconfigured, match=r"log\.parquet: AAAUSD, row 3 at .*: is there twice"):
        book(**files, funding=logged(tmp_path, ["9.9", "9.9", "9.9"]))


def test_an_equal_payment_of_one_position_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"row 2 at .*: is there twice"):
        book(**made(tmp_path), funding=logged(tmp_path, ["9.9", "9.9"]))


def test_a_payment_logged_some_milliseconds_late_is_compared_at_its_minute(tmp_path: Path) -> None:
    said = checks(book(**made(tmp_path), funding=logged(tmp_path, ["9.9"], late_ms=7)))
    assert (said["payment"]["compared"], said["payment"]["differing"]) == (1, 0)


def test_spot_needs_no_rates(tmp_path: Path) -> None:
    def spot(trades: list[Any], bars: list[Any]) -> None:
        without_rates(trades, bars)
        for row in (*trades, *bars):
            row["market"] = "spot"

    assert book(**made(tmp_path, change=spot))["missed_settlements"] == {}
