"""Folders of recorded history, read exactly or refused by name."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.history.files import read_history
from shared.history.merge import rows_of
from shared.history.records import HOUR_MS, Bar, MalformedHistory, Settlement

START = 1_700_006_400_000  # 2023-11-15 00:00 UTC
FUNDED = "funding_time"
PRICE_FILES = ("klines_spot.parquet", "klines_perp.parquet", "mark_price.parquet")


def hour(n: int) -> int:
    return START + n * HOUR_MS


def write_closes(
    path: Path,
    closes: Sequence[Any],
    times: Sequence[int | None] | None = None,
    symbol: str = "BTCUSDT",
    exchange: str = "bybit",
    interval: str = "1h",
) -> None:
    rows = len(closes)
    table = pa.table(
        {
            "exchange": [exchange] * rows,
            "symbol": [symbol] * rows,
            "interval": [interval] * rows,
            "open_time": pa.array(times or [hour(n) for n in range(rows)], pa.int64()),
            "close": closes,
        }
    )
    _append(path, table)


def write_rates(
    path: Path,
    rates: Sequence[str | None],
    hours: Sequence[int] | None = None,
    intervals: Sequence[int | None] | None = None,
    notes: Sequence[str] | None = None,
    symbol: str = "BTCUSDT",
) -> None:
    rows = len(rates)
    table = pa.table(
        {
            "exchange": ["bybit"] * rows,
            "symbol": [symbol] * rows,
            "funding_time": [hour(n) for n in hours or range(0, 8 * rows, 8)],
            "rate_str": rates,
            "interval_hours": pa.array(intervals or [8] * rows, pa.int8()),
            "note": notes or ["ok"] * rows,
        }
    )
    _append(path, table)


def _append(path: Path, table: Any) -> None:
    kept = [pq.read_table(path)] if path.exists() else []
    pq.write_table(pa.concat_tables([*kept, table]), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten good hours of one symbol with one settlement."""
    for name in PRICE_FILES:
        write_closes(tmp_path / name, [100.5] * 10)
    write_rates(tmp_path / "funding.parquet", ["0.0001"])
    return tmp_path


def rewrite(folder: Path, name: str, *values: Any, **fields: Any) -> None:
    (folder / name).unlink()
    (write_rates if name == "funding.parquet" else write_closes)(folder / name, *values, **fields)


def replace_column(path: Path, name: str, values: Any) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, values), path)


def refusal(folder: Path, symbols: Sequence[str] | None = None) -> str:
    with pytest.raises(MalformedHistory) as caught:
        read_history(folder, symbols)
    return str(caught.value)


def test_a_bar_is_known_at_the_end_of_its_hour(folder: Path) -> None:
    rewrite(folder, "klines_spot.parquet", [37299.37])
    rewrite(folder, "klines_perp.parquet", [37335.2])
    rewrite(folder, "mark_price.parquet", [37334.99])
    (bar,) = read_history(folder).symbols["BTCUSDT"].bars
    assert bar == Bar(hour(1), Decimal("37299.37"), Decimal("37335.2"), Decimal("37334.99"))


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        (0.1, "0.1"),
        (0.3309, "0.3309"),
        (20280.0, "20280"),
        (44532.71, "44532.71"),
        ("8.280", "8.280"),
        (Decimal("251.0102"), "251.0102"),
    ],
)
def test_a_price_is_the_published_decimal(folder: Path, stored: Any, published: str) -> None:
    rewrite(folder, "mark_price.parquet", [stored])
    (bar,) = read_history(folder).symbols["BTCUSDT"].bars
    assert str(bar.mark) == published


def test_a_rate_is_read_from_its_text_with_interval_and_note(folder: Path) -> None:
    rewrite(folder, "funding.parquet", ["-0.00000398"], intervals=[2], notes=["repeat"])
    (settled,) = read_history(folder).symbols["BTCUSDT"].settlements
    assert settled == Settlement(hour(0), Decimal("-0.00000398"), 2, "repeat")


def test_bars_cover_only_the_hours_that_all_three_prices_cover(folder: Path) -> None:
    rewrite(folder, "klines_spot.parquet", [1.0] * 5, times=[hour(n) for n in range(2, 7)])
    rewrite(folder, "mark_price.parquet", [1.0] * 5)
    bars = read_history(folder).symbols["BTCUSDT"].bars
    assert [bar.at_ms for bar in bars] == [hour(3), hour(4), hour(5)]


def test_settlements_before_the_bars_are_kept_and_later_ones_left_out(folder: Path) -> None:
    rewrite(folder, "funding.parquet", ["0.01", "0.02", "0.03"], hours=[-6, 2, 10])
    kept = read_history(folder).symbols["BTCUSDT"].settlements
    assert [settled.at_ms for settled in kept] == [hour(-6), hour(2), hour(10)]
    rewrite(folder, "funding.parquet", ["0.01", "0.02", "0.03"], hours=[-5, 3, 11])
    kept = read_history(folder).symbols["BTCUSDT"].settlements
    assert [settled.at_ms for settled in kept] == [hour(-5), hour(3)]


def test_other_exchanges_and_intervals_are_passed_over(folder: Path) -> None:
    write_closes(folder / "klines_perp.parquet", [1.0], exchange="binance")
    write_closes(folder / "klines_perp.parquet", [1.0], interval="15m")
    bars = read_history(folder).symbols["BTCUSDT"].bars
    assert {bar.perp for bar in bars} == {Decimal("100.5")}


def test_without_names_only_symbols_in_all_files_are_read(folder: Path) -> None:
    write_closes(folder / "klines_perp.parquet", [1.0], symbol="WIFUSDT")
    assert list(read_history(folder).symbols) == ["BTCUSDT"]


def test_a_named_symbol_that_a_file_lacks_is_refused(folder: Path) -> None:
    write_closes(folder / "klines_perp.parquet", [1.0], symbol="WIFUSDT")
    text = refusal(folder, ["BTCUSDT", "WIFUSDT"])
    assert "klines_spot.parquet: no row of WIFUSDT; leave the symbol out" in text


@pytest.mark.parametrize("name", PRICE_FILES)
def test_a_missing_hour_is_refused_by_file_symbol_and_instant(folder: Path, name: str) -> None:
    rewrite(folder, name, [1.0] * 9, times=[hour(n) for n in range(10) if n != 4])
    text = refusal(folder)
    assert f"{name}: BTCUSDT 2023-11-15 04:00 UTC is missing; fetch that hour" in text


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ([hour(0), hour(1), hour(1)], "2023-11-15 01:00 UTC is there twice; remove one"),
        ([hour(0), hour(2), hour(1)], "2023-11-15 01:00 UTC is out of order; sort the file"),
        ([hour(0), hour(1) + 60_000, hour(2)], "2023-11-15 01:01 UTC is not on a whole hour"),
    ],
)
def test_a_bad_label_is_refused_by_name(folder: Path, times: list[int], problem: str) -> None:
    rewrite(folder, "klines_perp.parquet", [1.0] * 3, times=times)
    text = refusal(folder)
    assert "klines_perp.parquet: BTCUSDT" in text
    assert problem in text


@pytest.mark.parametrize(
    ("close", "problem"),
    [
        (None, "2023-11-15 01:00 UTC has no close"),
        (0.0, "2023-11-15 01:00 UTC closes at 0"),
        (-1.0, "2023-11-15 01:00 UTC closes at -1"),
        (float("nan"), "2023-11-15 01:00 UTC closes at NaN"),
        (float("inf"), "2023-11-15 01:00 UTC closes at Infinity"),
    ],
)
def test_a_close_that_is_no_price_is_refused(
    folder: Path, close: float | None, problem: str
) -> None:
    rewrite(folder, "mark_price.parquet", [1.0, close, 1.0])
    assert f"mark_price.parquet: BTCUSDT {problem}" in refusal(folder)


def test_a_close_that_is_no_number_is_refused_by_its_hour(folder: Path) -> None:
    rewrite(folder, "mark_price.parquet", ["1.0", "abc"])
    text = refusal(folder)
    assert "mark_price.parquet: BTCUSDT 2023-11-15 01:00 UTC closes at 'abc'; import" in text


@pytest.mark.parametrize(
    ("close", "says"),
    [
        (pa.array([True]), "bool"),
        (pa.array([b"1"]), "binary"),
        (pa.array([0.1], pa.float32()), "float"),
    ],
)
def test_closes_of_a_type_that_holds_no_price_are_refused(
    folder: Path, close: Any, says: str
) -> None:
    rewrite(folder, "mark_price.parquet", close)
    assert f"mark_price.parquet: column close holds {says}; write it as text" in refusal(folder)


@pytest.mark.parametrize("symbols", [None, ["BTCUSDT"]])
@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("klines_spot.parquet", "exchange"),
        ("klines_perp.parquet", "symbol"),
        ("mark_price.parquet", "interval"),
        ("mark_price.parquet", "open_time"),
        ("funding.parquet", "exchange"),
        ("funding.parquet", "symbol"),
        ("funding.parquet", "funding_time"),
    ],
)
def test_a_row_that_is_nobodys_is_refused_by_its_number(
    folder: Path, name: str, column: str, symbols: list[str] | None
) -> None:
    rewrite(folder, "funding.parquet", ["0.01"] * 10)
    held = pq.read_table(folder / name)[column]
    values = held.to_pylist()
    replace_column(folder / name, column, pa.array([*values[:3], None, *values[4:]], held.type))
    assert f"{name}: row 4 of 10 has no {column}; import the row again" in refusal(folder, symbols)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_utc_timestamp_is_the_millisecond_it_says(folder: Path, unit: str) -> None:
    expected = read_history(folder)
    for name, column in [*((n, "open_time") for n in PRICE_FILES), ("funding.parquet", FUNDED)]:
        held = pq.read_table(folder / name)[column]
        stamps = held.cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp(unit, "UTC"))
        replace_column(folder / name, column, stamps)
        assert rows_of(folder, name, "bybit")[column].to_pylist() == held.to_pylist()
    assert read_history(folder) == expected


@pytest.mark.parametrize(
    ("kind", "says"),
    [(pa.timestamp("ms"), "timestamp[ms]"), (pa.float64(), "double"), (pa.string(), "string")],
)
def test_times_that_are_no_utc_instants_are_refused_by_their_column(
    folder: Path, kind: pa.DataType, says: str
) -> None:
    path = folder / "klines_perp.parquet"
    replace_column(path, "open_time", pq.read_table(path)["open_time"].cast(kind))
    text = refusal(folder)
    assert f"klines_perp.parquet: column open_time holds {says}; write it as int64, UTC" in text


def test_a_timestamp_finer_than_a_millisecond_is_refused_and_not_rounded(folder: Path) -> None:
    path = folder / "klines_perp.parquet"
    stamps = pa.array([hour(n) * 1000 + (n == 2) for n in range(10)], pa.timestamp("us", "UTC"))
    replace_column(path, "open_time", stamps)
    text = refusal(folder)
    assert "column open_time holds 2023-11-15 02:00:00.000001" in text
    assert "finer than a millisecond" in text


@pytest.mark.parametrize(
    ("hours", "intervals", "settles"),
    [
        ([0, 16], [8, 8], "2023-11-15 16:00 UTC settles 16 h after the one before"),
        ([0, 4], [8, 8], "2023-11-15 04:00 UTC settles 4 h after the one before"),
        ([0, 9], [8, 2], "2023-11-15 09:00 UTC settles 9 h after the one before"),
        ([0, 0], [8, 8], "2023-11-15 00:00 UTC is there twice"),
    ],
)
def test_a_step_the_schedule_does_not_explain_is_refused(
    folder: Path, hours: list[int], intervals: list[int], settles: str
) -> None:
    rewrite(folder, "funding.parquet", ["0.1", "0.1"], hours=hours, intervals=intervals)
    assert f"funding.parquet: BTCUSDT {settles}" in refusal(folder)


@pytest.mark.parametrize(("step", "before", "after"), [(6, 8, 2), (2, 8, 2), (8, 8, 2), (8, 2, 8)])
def test_a_change_of_interval_may_step_up_to_the_longer_one(
    folder: Path, step: int, before: int, after: int
) -> None:
    rewrite(folder, "funding.parquet", ["0.1"] * 2, hours=[0, step], intervals=[before, after])
    paid = read_history(folder).symbols["BTCUSDT"].settlements
    assert [settled.interval_hours for settled in paid] == [before, after]


@pytest.mark.parametrize("rate", ["", "much", "NaN", "Infinity"])
def test_a_rate_that_is_no_number_is_refused(folder: Path, rate: str) -> None:
    rewrite(folder, "funding.parquet", ["0.1", rate])
    text = refusal(folder)
    assert f"funding.parquet: BTCUSDT 2023-11-15 08:00 UTC has the rate {rate!r}" in text


@pytest.mark.parametrize("rate", ["0.1", "-0.1"])
def test_a_rate_of_a_tenth_is_the_most_that_is_believed(folder: Path, rate: str) -> None:
    rewrite(folder, "funding.parquet", ["0.01", rate])
    assert read_history(folder).symbols["BTCUSDT"].settlements[1].rate == Decimal(rate)
    rewrite(folder, "funding.parquet", ["0.01", f"{rate}01"])
    text = refusal(folder)
    assert f"BTCUSDT 2023-11-15 08:00 UTC has the rate {rate}01, more than 10% of the" in text


@pytest.mark.parametrize("rate", [0.0002, float("nan")])
def test_a_rate_that_differs_from_its_text_is_refused_by_its_row(folder: Path, rate: float) -> None:
    path = folder / "funding.parquet"
    rewrite(folder, path.name, ["0.0001", "0.0001"])
    table = pq.read_table(path)
    pq.write_table(table.append_column("rate", pa.array([0.0001, 0.0001])), path)
    assert len(read_history(folder).symbols["BTCUSDT"].settlements) == 2
    replace_column(path, "rate", pa.array([0.0001, rate]))
    text = refusal(folder)
    assert f"BTCUSDT 2023-11-15 08:00 UTC has the rate_str 0.0001 and the rate {rate}; find" in text


@pytest.mark.parametrize(("rate", "interval"), [(None, 8), ("0.1", None), ("0.1", 0)])
def test_a_settlement_without_rate_or_interval_is_refused(
    folder: Path, rate: str | None, interval: int | None
) -> None:
    rewrite(folder, "funding.parquet", [rate], intervals=[interval])
    assert "BTCUSDT 2023-11-15 00:00 UTC has no rate or no interval" in refusal(folder)


def test_a_settlement_beside_the_full_hour_is_refused_and_not_lost(folder: Path) -> None:
    late = pa.array([hour(8) + 3], pa.int64())  # three milliseconds after eight
    replace_column(folder / "funding.parquet", FUNDED, late)
    assert "BTCUSDT 2023-11-15 08:00 UTC is not on a whole hour" in refusal(folder)


def test_prices_that_never_meet_are_refused(folder: Path) -> None:
    rewrite(folder, "klines_spot.parquet", [1.0], times=[hour(50)])
    assert "BTCUSDT has no hour in which spot, perpetual and mark" in refusal(folder)


def test_a_missing_file_is_refused_by_its_path(folder: Path) -> None:
    (folder / "mark_price.parquet").unlink()
    assert f"{folder / 'mark_price.parquet'}: no such file" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("mark_price.parquet", "close"),
        ("mark_price.parquet", "exchange"),
        ("klines_spot.parquet", "interval"),
        ("funding.parquet", "rate_str"),
    ],
)
def test_a_missing_column_is_refused_by_its_name(folder: Path, name: str, column: str) -> None:
    path = folder / name
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    assert refusal(folder) == f"{path}: no column {column}; write the file again with it"


def test_a_file_that_is_no_parquet_is_refused(folder: Path) -> None:
    (folder / "mark_price.parquet").write_bytes(b"open_time,close\n0,1\n")
    assert "mark_price.parquet: " in refusal(folder)


def test_a_folder_without_a_bybit_symbol_is_refused(folder: Path) -> None:
    rewrite(folder, "klines_spot.parquet", [1.0], exchange="binance")
    assert "no symbol is in all four files" in refusal(folder)
