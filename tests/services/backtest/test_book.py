"""Published trade lists, booked again: the figures are their publisher's (tests/data/published)."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from services.carry.cli import app
from shared.domain.errors import Misconfigured
from tests.services.backtest.listed_run import HOUR, book, checks, made

DATA = Path(__file__).parents[2] / "data" / "published"
STATED = json.loads((DATA / "figures.json").read_text())
THRESHOLD = {
    "trades": DATA / "aha_threshold_trades.parquet",
    "bars": DATA / "aha_bars.parquet",
    "funding": DATA / "aha_threshold_payments.parquet",
}
HOLD = {"trades": DATA / "aha_hold_trades.parquet", "bars": DATA / "aha_bars.parquet"}


@pytest.fixture(scope="module")
def threshold() -> dict[str, Any]:
    return book("--start-value", "10000000", **THRESHOLD)


@pytest.fixture(scope="module")
def hold() -> dict[str, Any]:
    return book("--start-value", "10000000", **HOLD)


def test_every_figure_of_the_890_threshold_trades_is_met_to_1e_10(threshold: Any) -> None:
    found = checks(threshold)
    assert threshold["tolerance"] == "1E-10"
    assert (threshold["trades"], threshold["closed"]) == (890, 876)
    for name in ("open_price", "quantity", "open_fee", "open_value"):
        assert (found[name]["compared"], found[name]["differing"]) == (890, 0)
    for name in ("close_price", "close_fee", "close_value", "pnl"):
        assert (found[name]["compared"], found[name]["differing"]) == (876, 0)
    assert found["payment"]["compared"] == 6962
    assert found["short sized with the long's open value"]["compared"] == 445
    assert threshold["differing"] == 0
    for check in found.values():
        if check["largest"] is not None:
            assert Decimal(check["largest"]["difference"]) <= Decimal("1e-10")


def test_no_payment_of_the_threshold_run_is_missing_or_one_too_many(threshold: Any) -> None:
    found = checks(threshold)
    assert found["payment published and not booked here"]["compared"] == 0
    assert found["payment booked here and not published"]["compared"] == 0


def test_the_threshold_run_sums_to_what_was_published(threshold: Any) -> None:
    assert threshold["closed_pnl"] == "-35718.030756"
    assert threshold["funding"] == "1253848.057624"
    everything = next(h for h in threshold["horizons"] if h["months"] is None)
    assert round(Decimal(everything["final"]), 2) == Decimal("11214756.21")
    assert everything["days"] == 547


@pytest.mark.parametrize(
    ("run", "name"), [("threshold", "aha_simple_threshold"), ("hold", "aha_hold")]
)
def test_returns_and_drawdowns_are_the_published_ones_at_every_horizon(
    run: str, name: str, request: pytest.FixtureRequest
) -> None:
    said = request.getfixturevalue(run)
    assert said["start_value"] == "10000000"
    ours = {h["months"]: h for h in said["horizons"]}
    for theirs in STATED[name]["metrics_as_published"]:
        mine = ours[int(theirs["time_horizon"].removesuffix("M"))]
        assert round(100 * mine["annualised"], 4) == theirs["annualised_return"]
        assert round(100 * mine["drawdown_max"], 4) == theirs["max_drawdown"]
        assert mine["sharpe_without_risk_free_rate"] is not None


def test_the_held_run_is_met_leg_by_leg_on_the_bars_it_saw(hold: Any) -> None:
    assert hold["funding"] == "3613499.091035"
    legs = STATED["aha_hold"]["funding_by_leg"]
    assert len(legs) == 12
    assert {leg: Decimal(f["funding"]) for leg, f in hold["funding_by_leg"].items()} == {
        leg: Decimal(repr(f["funding_usd"])) for leg, f in legs.items()
    }
    assert {f["settlements"] for f in hold["funding_by_leg"].values()} == {1641}
    everything = next(h for h in hold["horizons"] if h["months"] is None)
    assert (everything["initial"], everything["final"]) == ("9986425.932156", "13587499.154727")


def test_on_the_true_bars_the_bybit_shorts_receive_what_they_should_have() -> None:
    said = book(
        "--exchange", "bybit", "--market", "linear",
        trades=HOLD["trades"],
        bars=f"{DATA / 'aha_perp_open.parquet'}:linear",
        funding=DATA / "aha_funding.parquet",
    )  # fmt: skip
    assert {leg: f["funding"] for leg, f in said["funding_by_leg"].items()} == {
        "bybit:BTCUSDT:linear": "395217.060967",
        "bybit:ETHUSDT:linear": "152623.779643",
    }
    # Their opening prices are four hours late, and that is said, row by row.
    assert checks(said)["open_price"]["differing"] == 2


def test_the_threshold_run_ended_half_way_agrees_in_every_figure_until_then() -> None:
    said = book("--to", "2023-12-31T00:00", **THRESHOLD)
    assert 0 < said["closed"] < said["trades"] < 890
    assert said["differing"] == 0
    found = checks(said)
    assert found["payment"]["compared"] == said["settlements"] < 6962


def test_one_wrong_cell_is_one_difference_with_its_place(tmp_path: Path) -> None:
    rows = pq.read_table(THRESHOLD["trades"]).to_pylist()
    rows[10]["close_fee"] += 0.25
    rows[500]["close_fee"] += 7
    bent = tmp_path / "trades.parquet"
    pq.write_table(pa.Table.from_pylist(rows), bent)
    found = checks(book(trades=bent, bars=THRESHOLD["bars"]))
    fee = found["close_fee"]
    assert fee["differing"] == 2
    assert fee["first"]["place"].startswith("row 11, ")
    assert fee["largest"]["place"].startswith("row 501, ")
    assert round(Decimal(fee["largest"]["difference"]), 6) == 7
    assert found["quantity"]["differing"] == 0


def test_bars_with_a_hole_are_taken_when_it_is_allowed(tmp_path: Path) -> None:
    said = book("--allow-gaps", **made(tmp_path, change=last_hole))
    assert Decimal(said["funding"]) == Decimal("20.7")


def test_a_list_that_states_nothing_is_booked_all_the_same_from_csv(tmp_path: Path) -> None:
    said = book(**made(tmp_path))
    # 900 of value, 9 units; paid 1 % of 9 x 110 and of 9 x 120; closed at 120: 1,080 less 108.
    assert said["conventions"]["rounding"] == "none"
    assert Decimal(said["funding"]) == Decimal("9.9") + Decimal("10.8")
    assert Decimal(said["closed_pnl"]) == 900 - (1080 - 108)


@pytest.mark.parametrize(
    ("arguments", "funding", "pnl"),
    [
        (["--pnl", "cash"], "20.7", 900 - (1080 + 108)),
        (["--entry-paid"], "29.7", -72),
        (["--no-exit-paid"], "9.9", -72),
        (["--payment-price", "close"], "18.9", -72),
        # 1,000 of value, 10 units: 11 + 12; 1,000 - (1,200 - 120).
        (["--fees", "added"], "23", -80),
        (["--to", "2023-01-01T03:00"], "20.7", -72),
    ],
)
def test_each_convention_changes_what_it_names(
    arguments: list[str], funding: str, pnl: int, tmp_path: Path
) -> None:
    said = book(*arguments, **made(tmp_path))
    assert Decimal(said["funding"]) == Decimal(funding)
    assert Decimal(said["closed_pnl"]) == pnl


def test_a_long_pays_what_a_short_receives(tmp_path: Path) -> None:
    assert Decimal(book(**made(tmp_path, {"side": "long"}))["funding"]) == Decimal("-20.7")


def test_a_difference_ends_with_code_one_when_asked_to(tmp_path: Path) -> None:
    files = made(tmp_path, {"open_fee": "101"})
    named = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    assert CliRunner().invoke(app, ["backtest", "book", *named]).exit_code == 0
    assert CliRunner().invoke(app, ["backtest", "book", *named, "--strict"]).exit_code == 1


def test_figures_may_be_asked_to_be_equal_to_the_last_digit(tmp_path: Path) -> None:
    files = made(tmp_path, {"open_fee": "100", "open_value": "900.0000000000001"})
    assert book(**files)["differing"] == 0
    found = book("--tolerance", "0", **files)
    assert [c["figure"] for c in found["checks"] if c["differing"]] == ["open_value"]
    with pytest.raises(Misconfigured, match="--tolerance -1 is not zero or more"):
        book("--tolerance", "-1", **files)


def swap(trades: list[Any], bars: list[Any]) -> None:
    bars[1], bars[2] = bars[2], bars[1]


def double(trades: list[Any], bars: list[Any]) -> None:
    bars[2]["label_time"] = bars[1]["label_time"]


def hole(trades: list[Any], bars: list[Any]) -> None:
    del bars[2]


def last_hole(trades: list[Any], bars: list[Any]) -> None:
    bars.append({**bars[3], "label_time": bars[3]["label_time"] + 2 * HOUR})


def off_grid(trades: list[Any], bars: list[Any]) -> None:
    bars[2]["label_time"] += 60_000


def no_number(trades: list[Any], bars: list[Any]) -> None:
    bars[1]["open"] = "much"


def absent(trades: list[Any], bars: list[Any]) -> None:
    bars[1]["open"] = "NaN"


def negative(trades: list[Any], bars: list[Any]) -> None:
    bars[1]["open"] = "-5"


def nameless(trades: list[Any], bars: list[Any]) -> None:
    bars[1]["exchange"] = None


def twice(trades: list[Any], bars: list[Any]) -> None:
    trades.append(dict(trades[0]))


def sideways(trades: list[Any], bars: list[Any]) -> None:
    trades[0]["side"] = "flat"


def short_of_nothing(trades: list[Any], bars: list[Any]) -> None:
    trades[0]["position_size_usd"] = "-1000"


def in_per_cent(trades: list[Any], bars: list[Any]) -> None:
    trades[0]["fee_rate"] = "0.11"


def elsewhere(trades: list[Any], bars: list[Any]) -> None:
    trades[0]["exchange"] = "y"


def early(trades: list[Any], bars: list[Any]) -> None:
    trades[0]["open_time"] -= HOUR


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swap, r"bars\.csv: AAAUSD, row 3 at .*01:00.* out of order"),
        (double, r"bars\.csv: AAAUSD, row 3 at 2023-01-01 01:00 UTC: is there twice"),
        (hole, r"bars\.csv: x AAAUSD linear at 2023-01-01 02:00 UTC is missing"),
        (off_grid, r"bars\.csv: x AAAUSD linear at .* off the grid"),
        (absent, r"bars\.csv: AAAUSD, row 2.*has no open"),
        (no_number, r"bars\.csv: AAAUSD, row 2.*'much', which is no number"),
        (negative, r"bars\.csv: AAAUSD, row 2.*-5, which is not above 0"),
        (nameless, r"bars\.csv: AAAUSD, row 2.*has no exchange"),
        (twice, r"trades\.csv: AAAUSD, row 2.*is there twice, first in row 1"),
        (sideways, r"trades\.csv: AAAUSD, row 1.*'flat', neither long nor short"),
        (short_of_nothing, r"trades\.csv: AAAUSD, row 1.*position_size_usd -1000, .* below 0"),
        (in_per_cent, r"trades\.csv: AAAUSD, row 1.*fee_rate 0\.11, more than 10 %"),
        (elsewhere, r"bars\.csv: no bar of y AAAUSD linear"),
        (early, r"x AAAUSD linear: no bar starts at 2022-12-31 23:00 UTC"),
    ],
)
def test_bad_rows_are_refused_by_file_symbol_and_place(
    change: Callable[[list[Any], list[Any]], None], said: str, tmp_path: Path
) -> None:
    files = made(tmp_path, change=change)
    with pytest.raises(Misconfigured, match=said):
        book(**files)
