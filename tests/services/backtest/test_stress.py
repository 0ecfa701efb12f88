"""What a bad day would have cost: by hand, at the hour in which a run held most."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from services.backtest.record import run_record
from services.backtest.report import write_stored
from services.backtest.stress import bad_days
from services.backtest.summary import summarize
from services.backtest.text import MINUS, THIN
from shared.config.policy import load_policy
from shared.domain.policy import CarryPolicy
from shared.history.rules import sample_rules
from tests.services.backtest.test_engine import START, flat_history, run

D = Decimal


def test_each_gap_is_priced_by_what_the_fullest_hour_held() -> None:
    result = run(flat_history("0.0005"))
    found = bad_days(result.fullest, sample_rules(), CarryPolicy())
    assert found is not None
    assert found["at"] == (START + timedelta(seconds=60)).isoformat()
    assert D(found["gross"]) == D("0.333") * 30000
    assert found["rates"] == {"BTCUSDT": "-0.00375"}  # its cap
    assert found["unwind"] == "0.005"  # the policy's
    (spot,) = (b.fill for b in result.fills if b.fill.category.value == "spot")
    bare = spot.quantity - spot.fee - D("0.333")  # what the coin taken as a fee leaves unhedged
    by_move = {D(row["move"]): row for row in found["rows"]}
    assert sorted(by_move) == [D("-0.6"), D("-0.3"), D("-0.1"), D("0.1"), D("0.3"), D("0.6")]
    for move, row in by_move.items():
        mark = 30000 * (1 + move)
        paid = D("0.333") * mark * D("0.00375") * 3  # three settlements of eight hours
        lost = D("0.333") * mark * D("0.005")  # both legs together, in a thin book
        assert D(row["result"]) == bare * (mark - 30000) - paid - lost
        assert row["down"] is None  # a hedged account minds a rise alone
        assert D(row["up"]) > 5


def test_the_page_shows_it_and_a_run_that_held_nothing_has_none(tmp_path: Path) -> None:
    policy = load_policy(None)
    for rate, shown in (("0.0005", True), ("0.00001", False)):
        history = flat_history(rate)
        result = run(history)
        record = run_record(summarize(result, 1.0), history, sample_rules(), policy, {})
        assert (record["bad_days"] is not None) is shown
        write_stored(tmp_path / "page.html", record)
        page = (tmp_path / "page.html").read_text()
        assert ("<h2>A bad day</h2>" in page) is shown
        assert (f"BTC {MINUS}37.5{THIN}bps" in page) is shown
