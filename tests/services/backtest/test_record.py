"""The stored document: complete without a single trade, and its id that of its content."""

from decimal import Decimal
from pathlib import Path

from services.backtest.engine import run_carry
from services.backtest.record import run_record, with_id
from services.backtest.report import write_stored
from services.backtest.summary import summarize
from shared.config.policy import load_policy
from shared.history.records import History
from shared.history.rules import sample_rules
from tests.services.backtest.test_engine_market import DAY, START, flat, run, torn

POLICY = load_policy(None)


def test_a_run_that_opened_nothing_has_a_record_and_a_page(tmp_path: Path) -> None:
    part = flat(rate="0.00001", last=START + 31 * DAY)
    history = History({"BTCUSDT": part})
    result = run_carry(
        history,
        sample_rules(),
        POLICY.carry,
        POLICY.limits,
        POLICY.execution,
        deposit=Decimal(100_000),
        start=START,
        end=START + 30 * DAY,
    )
    record = run_record(summarize(result, 1.0), history, sample_rules(), POLICY, {"deposit": "1"})
    assert (record["trades"], record["net"], record["time_in_market"]) == ([], "0", 0.0)
    assert record["intervals"]["net"]["high"] == 0.0
    assert "sharpe" not in record["intervals"]
    write_stored(tmp_path / "page.html", record)
    assert "No pair was opened. Most often:" in (tmp_path / "page.html").read_text()


def test_a_liquidation_stands_first_on_the_page(tmp_path: Path) -> None:
    part = torn()
    result = run(part, deposit=11_000)
    record = run_record(
        summarize(result, 1.0), History({"BTCUSDT": part}), sample_rules(), POLICY, {}
    )
    write_stored(tmp_path / "page.html", record)
    text = (tmp_path / "page.html").read_text()
    assert text.index("Liquidated 12 Nov 2023 00:01") < text.index("Verdict</small>")
    assert "The run ends there." in text


def test_the_days_add_up_to_the_net_and_each_day_to_its_parts() -> None:
    part = flat()
    result = run(part, days=4)
    record = run_record(
        summarize(result, 1.0), History({"BTCUSDT": part}), sample_rules(), POLICY, {}
    )
    daily = record["daily"]
    assert daily["days"] == ["2023-11-11", "2023-11-12", "2023-11-13", "2023-11-14"]
    assert sum(map(Decimal, daily["net"])) == Decimal(record["net"])
    names = ("funding", "fees", "basis", "slippage")
    for i, net in enumerate(daily["net"]):
        assert sum(Decimal(daily[name][i]) for name in names) == Decimal(net)
    # Opened at 00:01 of the first day: two settlements that day, and the midnight's on the next.
    paid = Decimal("0.333") * 30000 * Decimal("0.0005")
    assert [Decimal(v) for v in daily["funding"]] == [2 * paid, 3 * paid, 3 * paid, 3 * paid]


def test_the_id_follows_from_the_content_and_not_from_how_long_it_took() -> None:
    first = with_id({"net": "1", "seconds": 3.0})
    assert first["id"] == with_id({"net": "1", "seconds": 9.0})["id"]
    assert first["id"] != with_id({"net": "2", "seconds": 3.0})["id"]
