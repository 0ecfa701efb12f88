"""B6: the audit passes the engine, and catches engines that peek or mix up their inputs."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

import pytest
from typer.testing import CliRunner

from services.backtest import commands_audit
from services.backtest.audit import MOVES, Finding, audit, delay
from services.backtest.engine import RunResult, run_carry
from services.carry.cli import app
from shared.domain.errors import Misconfigured
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.history.files import read_history
from shared.history.records import Bar, History, SymbolHistory
from shared.history.rules import sample_rules
from tests.services.backtest.steadfast import steadfast

START = datetime(2023, 11, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)
CUTS = [START + HOUR, START + 13 * HOUR]
SHIFT = START + 12 * HOUR

Change = Callable[[SymbolHistory], SymbolHistory]


@cache
def sample() -> History:
    whole = read_history(symbols=["BTCUSDT"])
    end = int((START + timedelta(days=3)).timestamp()) * 1000
    return whole.slice(end - 63 * 86_400_000, end)


def honest(history: History) -> RunResult:
    return run_carry(
        history,
        sample_rules(),
        CarryPolicy(),
        RiskLimits(),
        ExecutionPolicy(),
        deposit=Decimal(100_000),
        start=START,
        end=START + 36 * HOUR,
        chooser=steadfast({"BTCUSDT": "0.25"}),
    )


def through(change: Change) -> list[Finding]:
    """Audit an engine that sees each history only after ``change``."""

    def run(history: History) -> RunResult:
        return honest(History({n: change(part) for n, part in history.symbols.items()}))

    return audit(run, sample(), CUTS, SHIFT)


def failed(findings: list[Finding]) -> set[str]:
    return {finding.question for finding in findings if not finding.passed}


def test_b6_the_exact_engine_knows_nothing_of_the_future_and_each_input_moves_its_own() -> None:
    findings = audit(honest, sample(), CUTS, SHIFT)
    assert failed(findings) == set()
    assert len(findings) == 2 * len(CUTS) + len(MOVES)
    by_question = {f.question: f for f in findings}
    assert by_question["spot comes one step late"].first == SHIFT + timedelta(seconds=60)
    assert by_question["mark comes one step late"].first == SHIFT + timedelta(seconds=60)
    # The next settlement after noon is at 16:00, and is booked in that hour's point.
    assert by_question["rate comes one step late"].first == START + 16 * HOUR + timedelta(
        seconds=60
    )
    assert by_question["rate comes one step late"].words == "moved funding"
    assert by_question["perp comes one step late"].words == "nothing was traded at it"


def peek(name: str) -> Change:
    def change(part: SymbolHistory) -> SymbolHistory:
        if name == "rate":
            later = (*part.settlements[1:], part.settlements[-1])
            pairs = zip(part.settlements, later, strict=True)
            return replace(part, settlements=tuple(replace(s, rate=n.rate) for s, n in pairs))
        bars = zip(part.bars, (*part.bars[1:], part.bars[-1]), strict=True)
        return replace(part, bars=tuple(_with(b, name, n) for b, n in bars))

    return change


def _with(bar: Bar, name: str, later: Bar) -> Bar:
    prices = {"spot": bar.spot, "perp": bar.perp, "mark": bar.mark, name: getattr(later, name)}
    return Bar(bar.at_ms, **prices)


@pytest.mark.parametrize("name", ["spot", "perp", "mark"])
def test_b6_an_engine_that_sees_the_next_hours_price_is_caught(name: str) -> None:
    assert {"the future is cut off", "the future is bent"} & failed(through(peek(name)))


def test_b6_an_engine_that_sees_the_next_rate_is_caught() -> None:
    assert "the future is bent" in failed(through(peek("rate")))


def test_b6_an_engine_that_pays_at_the_wrong_price_is_caught() -> None:
    def swapped(part: SymbolHistory) -> SymbolHistory:
        bars = tuple(Bar(b.at_ms, b.mark, b.perp, b.spot) for b in part.bars)
        return replace(part, bars=bars)

    # Funding lives on the mark; here it moves with spot.
    assert "spot comes one step late" in failed(through(swapped))


def test_b6_an_engine_that_ignores_an_input_is_caught() -> None:
    def frozen(part: SymbolHistory) -> SymbolHistory:
        return replace(
            part, settlements=tuple(replace(s, rate=Decimal("0.0001")) for s in part.settlements)
        )

    assert "rate comes one step late" in failed(through(frozen))


def test_a_delay_shows_from_its_instant_on_what_was_there_a_step_before() -> None:
    at = int(SHIFT.timestamp()) * 1000
    ours, late = (h.symbols["BTCUSDT"].bars for h in (sample(), delay(sample(), "spot", at)))
    place = next(n for n, bar in enumerate(ours) if bar.at_ms == at)
    assert late[:place] == ours[:place]
    assert [b.spot for b in late[place : place + 3]] == [
        b.spot for b in ours[place - 1 : place + 2]
    ]
    assert late[place].perp == ours[place].perp


def test_the_command_proves_nothing_where_nothing_can_be_traded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands_audit, "NOTIONAL", Decimal("0.01"))  # under every minimum
    done = CliRunner().invoke(app, ["backtest", "audit", "--symbols", "btcusdt", "--cuts", "1"])
    assert isinstance(done.exception, Misconfigured)
    assert "Nothing could be traded" in str(done.exception)


def test_the_command_says_what_it_found_and_ends_well() -> None:
    done = CliRunner().invoke(
        app,
        ["backtest", "audit", "--symbols", "BTCUSDT", "--from", "2023-11-11", "--to", "2023-11-12",
         "--cuts", "1", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    findings = json.loads(done.stdout)["findings"]
    assert len(findings) == 2 * (4 + len(MOVES))
    assert all(f["passed"] for f in findings)
    words = {f["question"]: f["words"] for f in findings}
    # Closed at 18:00: a late last price changes that fill, and no figure before it.
    assert words["hold: perp comes one step late"] == (
        "moved no figure, then trades from 2023-11-11 18:01:00+00:00 on"
    )
    assert words["hold: rate comes one step late"] == "moved funding"
