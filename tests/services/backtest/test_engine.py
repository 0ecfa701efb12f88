"""The exact engine on the sample: honest about time, exact to the last digit, repeatable."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.backtest.engine import RunResult, run_carry
from services.backtest.trades import break_down
from shared.domain.funding import funding_payment
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.risk import RiskLimits
from shared.history.files import read_history
from shared.history.records import (
    HOUR_MS,
    Bar,
    History,
    MalformedHistory,
    Settlement,
    SymbolHistory,
)
from shared.history.rules import sample_rules
from shared.venue.exchange import Exchange

START = datetime(2023, 11, 11, tzinfo=UTC)
DAY = timedelta(days=1)
DEPOSIT = Decimal(100_000)
TOLD = "services.backtest.trades.funding_payment"


@pytest.fixture(scope="module")
def sample() -> History:
    return read_history()


def run(
    history: History, start: datetime = START, days: int = 4, policy: CarryPolicy | None = None
) -> RunResult:
    return run_carry(
        history,
        sample_rules(),
        policy or CarryPolicy(),
        RiskLimits(),
        ExecutionPolicy(),
        deposit=DEPOSIT,
        start=start,
        end=start + days * DAY,
    )


def flat_history(rate: str, price: str = "30000") -> History:
    """BTC at one price on both legs and the mark, settling ``rate`` every eight hours."""
    first = int((START - 65 * DAY).timestamp()) * 1000
    hours = range(1, 69 * 24 + 1)
    bars = tuple(Bar(first + h * HOUR_MS, *[Decimal(price)] * 3) for h in hours)
    paid = tuple(
        Settlement(b.at_ms, Decimal(rate), 8) for b in bars if b.at_ms % (8 * HOUR_MS) == 0
    )
    return History({"BTCUSDT": SymbolHistory("BTCUSDT", bars, paid)})


def test_with_one_price_for_both_legs_the_whole_basis_is_the_spread_crossed() -> None:
    result = run(flat_history("0.0005"))
    # 0.333 BTC would be 9,990 USDT; the ask is above 30,000, so one lot of 0.001 less is sure.
    (target,) = result.targets
    assert target[1] == Decimal("0.333")
    spot, perp = (b.fill for b in result.fills)
    # Opened across both half spreads, marked at the middle. The coin that went as a fee is a fee,
    # at the price it was bought for: only what was kept loses the half spread.
    kept = spot.quantity - spot.fee
    lost = (spot.price - 30000) * kept + (30000 - perp.price) * perp.quantity
    assert result.curve[-1].basis == -lost
    assert lost > 0


def test_funding_is_the_rate_times_the_mark_times_the_size_at_each_settlement() -> None:
    result = run(flat_history("0.0005"))
    # Opened at 00:01; 08:00, 16:00 and 00:00 for four days, less the midnight that ends the run.
    assert result.settlements == 11
    assert result.curve[-1].funding == 11 * Decimal("0.0005") * 30000 * Decimal("0.333")


def test_a_position_is_not_paid_by_the_settlement_at_which_the_run_starts() -> None:
    result = run(flat_history("0.0005"), days=1)
    paid_at_first_instant = result.curve[0].funding
    assert result.curve[0].at == START + timedelta(seconds=60)
    assert paid_at_first_instant == 0


def test_the_parts_add_up_to_the_venues_own_equity_at_every_hour_of_a_month(
    sample: History,
) -> None:
    result = run(sample, days=30)
    assert len(result.curve) == 720
    for point in result.curve:
        assert point.equity - DEPOSIT == point.funding - point.fees + point.basis
    assert result.settlements > 200


def test_what_comes_later_changes_no_earlier_decision(sample: History) -> None:
    cut = int((START + 2 * DAY).timestamp()) * 1000
    bent = History(
        {
            name: SymbolHistory(
                name,
                tuple(
                    b if b.at_ms < cut else replace(b, spot=b.spot * 2, perp=b.perp * 2)
                    for b in part.bars
                ),
                tuple(
                    s if s.at_ms < cut else replace(s, rate=-100 * s.rate) for s in part.settlements
                ),
            )
            for name, part in sample.symbols.items()
        }
    )
    before = START + 2 * DAY
    told, bent_told = ([t for t in run(h, days=4).targets if t[2] < before] for h in (sample, bent))
    assert told == bent_told
    assert len(told) == 5


def test_an_hour_that_one_pair_lacks_is_named_and_refused(sample: History) -> None:
    gone = int((START + timedelta(hours=8)).timestamp()) * 1000
    part = sample.symbols["XRPUSDT"]
    holed = replace(part, bars=tuple(b for b in part.bars if b.at_ms != gone))
    with pytest.raises(MalformedHistory, match="XRPUSDT: the hour that ends of 2023-11-11T08"):
        run(History({**sample.symbols, "XRPUSDT": holed}))


def test_the_order_throttle_bites_in_a_back_test_too(sample: History) -> None:
    limits = RiskLimits(orders_per_hour=4)
    result = run_carry(
        sample,
        sample_rules(),
        CarryPolicy(),
        limits,
        ExecutionPolicy(),
        deposit=DEPOSIT,
        start=START,
        end=START + timedelta(minutes=30),
    )
    assert len(result.fills) == 4  # two pairs of two legs, then no more within the hour
    assert set(result.refused) == {"order_rate"}


def test_two_runs_are_equal(sample: History) -> None:
    assert run(sample) == run(sample)


def test_the_week_of_november_2022_keeps_sols_two_hour_settlements(sample: History) -> None:
    start = datetime(2022, 11, 1, tzinfo=UTC)
    blind = replace(
        CarryPolicy(),
        exit_margin=Decimal(-10),
        entry_margin=Decimal(-10),
        loss_probability_max=Decimal(1),
        basis_percentile_min=Decimal(0),
        break_even_limit_settlements=10**6,
    )
    result = run(sample, start, 13, blind)
    # Held over all of it, each SOL of some 33 USDT pays three: those of two hours are in it.
    assert result.held_at_end["SOLUSDT"] < 0
    assert result.funding_by_pair["SOLUSDT"] < 3 * result.held_at_end["SOLUSDT"]
    assert all(p.equity > 0 for p in result.curve)


def test_a_deep_lasting_flip_is_left_and_money_stops_flowing() -> None:
    history = flat_history("0.0005").symbols["BTCUSDT"]
    cut = int((START + DAY).timestamp()) * 1000
    bent = tuple(
        s if s.at_ms < cut else replace(s, rate=Decimal("-0.01")) for s in history.settlements
    )
    result = run(History({"BTCUSDT": SymbolHistory("BTCUSDT", history.bars, bent)}))
    opened, closed = result.targets
    assert (opened[1] > 0, closed[1]) == (True, Decimal(0))
    # The mean of 21 after one settlement at -1 % is 0; after two it is -5 bps, 315 bps over the
    # hold, which is far more than leaving and coming back costs.
    assert closed[2] <= START + DAY + timedelta(hours=16, minutes=1)
    assert result.held_at_end == {}
    after = {p.funding for p in result.curve if p.at >= closed[2]}
    assert len(after) == 1


def test_too_little_capital_is_refused_by_the_margin_limit_and_trades_nothing() -> None:
    result = run_carry(
        flat_history("0.0005"),
        sample_rules(),
        CarryPolicy(),
        RiskLimits(),
        ExecutionPolicy(),
        deposit=Decimal(1000),
        start=START,
        end=START + DAY,
    )
    assert result.fills == []
    assert set(result.refused) == {"margin"}


def test_each_settlement_is_worked_out_once_however_long_the_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trap 26: held twice as long, twice the work; sums made anew at each payment are quadratic."""
    history, made = flat_history("0.0005"), {"paid": 0, "told": 0}

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any) -> Any:
            made[name] += 1
            return function(*args)

        return counting

    monkeypatch.setattr(Exchange, "settle", counted("paid", Exchange.settle))
    monkeypatch.setattr(TOLD, counted("told", funding_payment))
    for days, settlements in ((2, 5), (4, 11)):
        made.update(paid=0, told=0)
        result = run(history, days=days)
        break_down(result, history, sample_rules())
        assert result.settlements == settlements
        assert made == {"paid": settlements, "told": settlements}
