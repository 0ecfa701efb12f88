"""What a run passed over: the same table as the dashboard's, recomputed here bar by bar (F:A8)."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from services.backtest.page_tables import skipped
from services.backtest.result import Skip
from services.backtest.skipped import skipped_table
from services.carry.cli import app
from shared.history.files import read_history
from shared.history.records import HOUR_MS, History

HOLD = 24
MINUTE_MS = 60_000
NAN = float("nan")


def week(history: History) -> list[Skip]:
    """The last week of the sample, a decision an hour, a minute after it; some are not skips."""
    random = Random(5)
    last = history.symbols["BTCUSDT"].bars[-1].at_ms
    return [
        Skip(
            pair,
            random.choice(("below_margin", "no_room")),
            at + MINUTE_MS,
            NAN if random.random() < 0.02 else round(random.gauss(0.0005, 0.0002), 6),
        )
        for at in range(last - 7 * 24 * HOUR_MS, last + 1, HOUR_MS)
        for pair in ("BTCUSDT", "SOLUSDT")
        if random.random() < 0.8
    ]


def recomputed(history: History, skips: list[Skip]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    free_from: dict[tuple[str, str], int] = {}
    for skip in skips:
        key = skip.pair, skip.reason
        if skip.at_ms < free_from.get(key, 0):
            continue
        part, end = history.symbols[skip.pair], skip.at_ms + HOLD * HOUR_MS
        free_from[key] = end
        bars = {bar.at_ms + MINUTE_MS: float(bar.perp / bar.spot - 1) for bar in part.bars}
        earned = None
        if end in bars and skip.cost == skip.cost:
            paid = [float(s.rate) for s in part.settlements if skip.at_ms < s.at_ms <= end]
            earned = sum(paid) + bars[skip.at_ms] - bars[end] - skip.cost
        found.setdefault(skip.reason, []).append(earned)
    return found


def test_a_seeded_week_equals_an_independent_recomputation() -> None:
    history = read_history(None, ["BTCUSDT", "SOLUSDT"])
    skips = week(history)
    told = skipped_table(skips, history, timedelta(hours=HOLD))
    expected = recomputed(history, skips)
    assert told["hold_hours"] == HOLD
    assert {row["reason"] for row in told["reasons"]} == set(expected)
    for row in told["reasons"]:
        holds = expected[row["reason"]]
        known = [earned for earned in holds if earned is not None]
        assert 0 < len(known) < len(holds)
        assert (row["skipped"], row["known"]) == (len(holds), len(known))
        assert row["running"] == 2  # the last hold of each pair reaches beyond the history
        for name, value in (
            ("would_have_earned", sum(known)),
            ("mean", sum(known) / len(known)),
            ("share_won", sum(earned > 0 for earned in known) / len(known)),
        ):
            assert abs(float(row[name]) - value) < 1e-11, name


@pytest.mark.parametrize("what", ["bars", "settlements"])
def test_a_hold_that_outlives_its_pairs_record_is_neither_known_nor_running(what: str) -> None:
    whole = read_history(None, ["BTCUSDT", "SOLUSDT"])
    at = whole.symbols["SOLUSDT"].bars[-1].at_ms - 240 * HOUR_MS
    kept = whole.symbols["SOLUSDT"].slice(0, at + 1)  # the last is paid and quoted at ``at``
    gone = replace(whole.symbols["SOLUSDT"], **{what: getattr(kept, what)})
    history = History({"BTCUSDT": whole.symbols["BTCUSDT"], "SOLUSDT": gone})
    begun = at + MINUTE_MS - HOLD * HOUR_MS
    skips = [
        Skip(pair, "no_room", begun + hours * HOUR_MS, 0.001)
        for pair in ("BTCUSDT", "SOLUSDT")
        for hours in (0, HOLD)
    ]
    (row,) = skipped_table(skips, history, timedelta(hours=HOLD))["reasons"]
    assert (row["skipped"], row["known"], row["running"]) == (4, 3, 0)


def test_a_run_that_passed_nothing_over_has_no_table() -> None:
    history = read_history(None, ["BTCUSDT"])
    told = skipped_table([], history, timedelta(hours=HOLD))
    assert told == {"hold_hours": HOLD, "reasons": []}
    assert skipped(told) is None
    assert skipped(None) is None  # a stored run of before


def test_the_page_of_a_run_shows_what_each_reason_would_have_earned(tmp_path: Path) -> None:
    span = ["--from", "2023-10-25", "--to", "2023-12-05", "--symbols", "BTCUSDT,SOLUSDT"]
    page = tmp_path / "run.html"
    arguments = ["backtest", "run", *span, "--json", "--report", str(page)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    reasons = record["skipped"]["reasons"]
    assert {row["reason"] for row in reasons} == set(record["passed_over"])
    known = [row for row in reasons if row["known"]]
    assert known
    text = page.read_text()
    assert "Skipped, would have earned" in text
    for row in known:
        bps = Decimal(row["would_have_earned"]).scaleb(4).quantize(Decimal("0.1"))
        assert f">{bps:+,}</td>".replace("-", "\N{MINUS SIGN}") in text
