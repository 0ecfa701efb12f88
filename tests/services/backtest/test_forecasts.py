"""The public score of the forecasts (F:A6): recomputed from the stored ones, by pandas alone."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from services.backtest.cli import backtest
from services.backtest.statistics import recorded
from shared.domain.errors import Misconfigured


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every stored forecast, and the printed scores."""
    store = tmp_path_factory.mktemp("forecasts") / "made.csv"
    got = CliRunner().invoke(backtest, ["forecasts", "--json", "--store", str(store)])
    assert got.exit_code == 0, got.output
    return pd.read_csv(store), pd.DataFrame(json.loads(got.stdout)["scores"])


def test_the_score_can_be_reckoned_again_from_the_stored_forecasts(
    said: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    made, scores = said
    over = made.dropna(subset=["mean", "realised"])
    errors = over.assign(
        ours=(over["mean"] - over["realised"]) ** 2, theirs=(over["last"] - over["realised"]) ** 2
    )
    sums = errors.groupby(["symbol", "horizon"])[["ours", "theirs"]].sum()
    expected = 1 - sums["ours"] / sums["theirs"]
    assert len(scores) == 15
    got = scores.set_index(["symbol", "horizon"])["skill"]
    assert dict(got) == pytest.approx(dict(expected), rel=1e-9)


def test_what_a_forecast_was_judged_by_is_what_then_settled(
    said: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    made, _ = said
    rates = {
        s.at_ms: float(s.rate) for s in recorded(None, "BTCUSDT").symbols["BTCUSDT"].settlements
    }
    row = made[(made["symbol"] == "BTCUSDT") & (made["horizon"] == 3)].iloc[100]
    step = 8 * 3_600_000
    following = [rates[int(row["at_ms"]) + k * step] for k in (1, 2, 3)]
    assert row["last"] == rates[int(row["at_ms"])]
    assert row["realised"] == pytest.approx(sum(following) / 3)


def test_three_and_nine_settlements_ahead_the_forecast_beats_the_last_rate(
    said: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    scores = said[1].set_index(["horizon", "symbol"])
    assert (scores.loc[3]["skill"] > 0).all()
    assert (scores.loc[9]["skill"] > 0.2).all()
    assert scores["in_range"].between(0.70, 0.85).all()  # stated: 0.8


def test_the_table_says_what_skill_is() -> None:
    got = CliRunner().invoke(backtest, ["forecasts", "--symbols", "btcusdt"])
    assert got.exit_code == 0, got.output
    assert "sizes nothing" in " ".join(got.stdout.split())


def test_a_folder_without_history_is_refused(tmp_path: Path) -> None:
    got = CliRunner().invoke(backtest, ["forecasts", "--data", str(tmp_path)])
    assert isinstance(got.exception, Misconfigured)
