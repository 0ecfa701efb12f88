"""Figures of papers beside ours: the arithmetic by hand, the recorded history where it is."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from services.backtest import bands
from services.carry.cli import app
from shared.domain.errors import Misconfigured

FULL = Path(__file__).parents[3] / ".." / "shared" / "data"
HOURS = np.arange(0, 4, dtype=np.int64) * bands.HOUR_MS


def series(*values: float) -> bands.Series:
    return HOURS[: len(values)], np.array(values)


def test_a_hedged_step_earns_funding_and_what_spot_gains_on_the_perpetual() -> None:
    returns = bands.hedged_returns(
        series(0.5, 0.01, 0.02), series(100, 110, 110), series(100, 105, 126)
    )
    # 0.01 + 10 % - 5 %, then 0.02 + 0 - 20 %; the first settlement ends no step.
    assert returns == pytest.approx([0.06, -0.18])


def test_a_year_of_steps_has_the_mean_by_count_and_the_spread_by_its_root() -> None:
    mean, deviation, ratio = bands.yearly(np.array([0.01, 0.03]), 4)
    assert mean == pytest.approx(0.08)
    assert deviation == pytest.approx(2 * 0.01414213562)  # sample deviation of one hundredth apart
    assert ratio == pytest.approx(0.08 / 0.0282842712)


def test_a_basis_that_halves_each_hour_has_a_half_life_of_an_hour() -> None:
    rng = np.random.default_rng(5)
    values = np.zeros(200_000)
    for n, shock in enumerate(rng.normal(size=len(values) - 1), 1):
        values[n] = 0.5 * values[n - 1] + shock
    at = np.arange(len(values), dtype=np.int64) * bands.HOUR_MS
    assert bands.half_life((at, values)) == pytest.approx(1.0, abs=0.02)


def test_neighbours_over_a_gap_are_no_neighbours() -> None:
    at = np.array([0, 1, 2, 50, 51, 52], dtype=np.int64) * bands.HOUR_MS
    values = np.array([4.0, 2.0, 1.0, 5.0, 3.0, 1.0])
    pairs = np.corrcoef([4.0, 2.0, 5.0, 3.0], [2.0, 1.0, 3.0, 1.0])[0, 1]  # not (1, 5)
    assert bands.half_life((at, values)) == pytest.approx(np.log(0.5) / np.log(pairs))


def test_a_folder_without_the_history_is_refused_by_name(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["backtest", "bands", "--data", str(tmp_path)])
    assert isinstance(done.exception, Misconfigured)
    assert "funding.parquet does not exist" in str(done.exception)


@pytest.mark.parametrize(
    ("times", "rates", "said"),
    [
        ([0, 2, 1], [0.1, 0.1, 0.1], "BTCUSDT 1970-01-01 01:00 UTC is out of order or there twice"),
        ([0, 1, 1], [0.1, 0.1, 0.1], "BTCUSDT 1970-01-01 01:00 UTC is out of order or there twice"),
        ([0, 1, 2], [0.1, 0.1, float("inf")], "BTCUSDT 1970-01-01 02:00 UTC has a rate that"),
    ],
)
def test_bad_rows_are_refused_by_file_symbol_and_place(
    times: list[int], rates: list[float], said: str, tmp_path: Path
) -> None:
    table = {
        "exchange": ["binance"] * 3,
        "symbol": ["BTCUSDT"] * 3,
        "funding_time": [hour * bands.HOUR_MS for hour in times],
        "rate": rates,
    }
    pq.write_table(pa.table(table), tmp_path / "funding.parquet")
    with pytest.raises(Misconfigured, match=said):
        bands.funding(tmp_path, "binance", "BTCUSDT")


@pytest.mark.skipif(not FULL.exists(), reason="the full recorded history is not on this machine")
def test_each_band_is_printed_with_a_word_and_known_figures_come_out() -> None:
    found = {band.figure: band for band in bands.all_bands(FULL)}
    assert len(found) == 16
    # Quoted from the data paper: 15.63 before the risk-free rate, 8.22 and 8.19 after custody.
    assert round(found["mean carry a year"].ours, 1) == 15.6
    assert found["binance, BTC and ETH, after FTX, less 57 bp of custody"].ours == pytest.approx(
        8.22, abs=0.02
    )
    assert found["bybit, BTC and ETH, after FTX, less 57 bp of custody"].ours == pytest.approx(
        8.19, abs=0.02
    )
    assert found["bybit BTCUSDT, settlements of exactly the interest"].word == "inside"
    assert found["mean carry a year"].word.startswith("above by")
