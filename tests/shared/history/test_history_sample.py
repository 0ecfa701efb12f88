"""The recorded sample that comes with the package, and the inputs of the published runs."""

import hashlib
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from shared.history.files import SAMPLE, read_history
from shared.history.make_sample import main as make_sample
from shared.history.records import History

ROOT = Path(__file__).parents[3]
FTX_BAR = 1_668_031_200_000  # 2022-11-09 22:00 UTC, the end of the bar of 21:00
FTX_RATE = 1_668_067_200_000  # 2022-11-10 08:00 UTC


@pytest.fixture(scope="module")
def sample() -> History:
    return read_history()


def test_the_sample_holds_every_hour_of_535_days(sample: History) -> None:
    spans = {
        symbol: (len(part.bars), part.bars[0].at_ms, part.bars[-1].at_ms)
        for symbol, part in sample.symbols.items()
    }
    whole = (12_840, 1_656_637_200_000, 1_702_857_600_000)  # 535 * 24 hours
    names = ["BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]
    assert spans == dict.fromkeys(names, whole)


def test_the_sample_holds_every_published_settlement(sample: History) -> None:
    counts = {symbol: len(part.settlements) for symbol, part in sample.symbols.items()}
    assert counts == {
        "BNBUSDT": 1605,
        "BTCUSDT": 1605,
        "ETHUSDT": 1605,
        "SOLUSDT": 1963,
        "XRPUSDT": 1605,
    }


def test_the_two_hourly_weeks_of_sol_keep_their_defects_by_name(sample: History) -> None:
    short = [s for s in sample.symbols["SOLUSDT"].settlements if s.interval_hours == 2]
    repeated = [s for s in short if s.note == "reconstructed_repeat"]
    assert len(short) == 478
    assert len(repeated) == 181
    assert {s.rate for s in repeated} == {Decimal("0.000025")}


def test_the_crash_of_november_2022_is_left_as_it_was(sample: History) -> None:
    sol = sample.symbols["SOLUSDT"]
    (bar,) = [bar for bar in sol.bars if bar.at_ms == FTX_BAR]
    (settled,) = [s for s in sol.settlements if s.at_ms == FTX_RATE]
    assert round((bar.perp / bar.spot - 1) * 10_000) == -3185
    assert settled.rate == Decimal("-0.025")


@pytest.mark.parametrize("folder", [SAMPLE, ROOT / "tests" / "data" / "published"])
def test_the_files_are_those_their_provenance_names(folder: Path) -> None:
    provenance = (folder / "PROVENANCE.md").read_text(encoding="utf-8")
    files = sorted(folder.glob("*.parquet"))
    unknown = [
        path.name
        for path in files
        if f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`" not in provenance
    ]
    assert len(files) >= 4
    assert unknown == []


def test_only_rows_of_licensed_sources_are_in_the_sample() -> None:
    sources = {
        source
        for path in SAMPLE.glob("*.parquet")
        for source in pq.read_table(path, columns=["source"])["source"].unique().to_pylist()
    }
    assert sources == {"pietroc21", "pietroc21_recovered"}


def test_cutting_the_sample_out_of_itself_changes_no_row(tmp_path: Path) -> None:
    make_sample([str(SAMPLE), str(tmp_path)])
    for path in SAMPLE.glob("*.parquet"):
        assert pq.read_table(tmp_path / path.name).equals(pq.read_table(path))
