"""``carry backtest run`` as its user runs it."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.carry.cli import app
from shared.domain.errors import Misconfigured

SPAN = ["--from", "2023-11-11", "--to", "2023-11-14"]


def test_a_run_ends_with_a_summary_and_a_page_that_needs_no_other_host(tmp_path: Path) -> None:
    page = tmp_path / "made" / "report.html"
    done = CliRunner().invoke(app, ["backtest", "run", *SPAN, "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert "Net" in done.output
    text = page.read_text()
    assert "<h1>Carry, exact run</h1>" in text
    assert '<script src="http' not in text
    assert "<link" not in text


def test_json_has_money_as_text_and_parts_that_add_up() -> None:
    done = CliRunner().invoke(app, ["backtest", "run", *SPAN, "--json", "--no-report"])
    line = json.loads(done.stdout)
    parts = [Decimal(line[name]) for name in ("funding", "fees", "basis")]
    assert sum(parts) == Decimal(line["net"])
    assert line["pairs_opened"] == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "yesterday"], "yesterday is no instant"),
        (["--from", "2023-11-11T00:30"], "full hour"),
        (["--from", "2023-11-12", "--to", "2023-11-11"], "not before"),
        (["--from", "2021-01-01"], "stay inside it"),
        (["--symbols", "DOGEUSDT"], "DOGEUSDT has no rules"),
        (["--deposit", "-5"], "not above zero"),
        (["--deposit", "much"], "no amount"),
        (["--data", "nowhere"], "cannot be read"),
    ],
)
def test_bad_input_is_one_sentence_that_names_it(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["backtest", "run", "--no-report", *arguments])
    assert isinstance(done.exception, Misconfigured)
    assert said in str(done.exception)


def test_data_show_names_every_symbol_with_its_hours() -> None:
    done = CliRunner().invoke(app, ["data", "show"])
    assert done.output.count("12840 hours") == 5
