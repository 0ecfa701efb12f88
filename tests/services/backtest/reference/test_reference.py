"""The reference engine against amounts worked by hand, and against the yardstick's Decimals."""

import importlib.util
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from services.backtest.reference.carry import ThresholdCarry
from services.backtest.reference.desk import Desk
from services.backtest.reference.engine import run_strategy
from services.backtest.reference.tape import PairBar, Settled, tape_of
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.run import sweep
from services.backtest.sweep.terms import ParameterSet, Terms
from shared.domain.errors import InvariantViolation
from shared.domain.rounding import BOOKING, NONE
from tests.services.backtest.sweep.markets import steady

YARDSTICKS = Path(__file__).parents[5] / "shared" / "bench"
FREE = Terms(Decimal(1000), 1, Decimal(0), Decimal(0), Decimal(0))


def hand_worked() -> SweepMarket:
    """Rates 3, 5, -1, 1 bp; spot 100 then 110, perpetual and mark 100 then 108 from hour 16 on."""
    market = steady([[30_000, 50_000, -10_000, 10_000]])
    market.spot[0, 16:] = 110 * 10**8
    market.perp[0, 16:] = 108 * 10**8
    market.mark[0, 16:] = 108 * 10**8
    return market


def test_one_pair_comes_to_what_the_calculator_says() -> None:
    # Span 1: the signal is the rate. In at the 1st (3 bp > 2 bp), out at the 3rd (-1 bp < 0).
    policy = ParameterSet(1, Decimal("0.0002"), Decimal(0), 9)
    terms = Terms(Decimal(1000), 1, Decimal("0.001"), Decimal("0.0005"), Decimal("0.01"))
    run = run_strategy(tape_of(hand_worked()), ThresholdCarry(policy), terms, BOOKING)
    (pair,) = run.pairs
    # Spot in 101, perpetual in 99; quantity 1000 / 101 = 9.900990099..., booked 9.90099010.
    assert (pair.spot_in, pair.perp_in) == (Decimal(101), Decimal(99))
    assert pair.quantity == Decimal("9.90099010")
    # 9.9009901 x 100 = 990.09901 at 5 bp; 9.9009901 x 108 = 1069.3069308 at -1 bp.
    assert [amount for _, amount in pair.payments] == [
        Decimal("0.49504950"),  # 0.495049505: a tie, to the even 0
        Decimal("-0.10693069"),
    ]
    # Spot out 108.9, perpetual out 109.08: 9.9009901 x 7.9 - 9.9009901 x 10.08.
    assert pair.gain == Decimal("78.21782179") - Decimal("99.80198021")
    # In: 1000.0000001 -> 1.00000000, 980.1980199 -> 0.49009901.
    # Out: 1078.21782189 -> 1.07821782, 1080.000000108 -> 1080.00000011 -> 0.54000000.
    assert pair.cost == sum(map(Decimal, ("1.0", "0.49009901", "1.07821782", "0.54")))
    assert run.net == run.funding + run.basis - run.fees == run.balances[-1]
    # From a peak of 0. Entered, it is worth -1.49009901 - 9.9009901 x 2 = -21.29207921; closed,
    # -1.49009901 + 0.49504950 - 0.10693069 - 21.58415842 - 1.61821782.
    assert run.drawdown == Decimal("24.30435644")
    assert run.equity[8] == Decimal("-21.29207921")
    swept = sweep(hand_worked(), [policy], terms)
    assert swept.money_at(0, "net") == run.net
    assert swept.money_at(0, "drawdown") == run.drawdown


def test_flat_basis_and_no_costs_leave_exactly_the_funding() -> None:
    market = steady([[30_000, 50_000, 40_000]])
    policy = ParameterSet(1, Decimal("0.0002"), Decimal(0), 9)
    run = run_strategy(tape_of(market), ThresholdCarry(policy), FREE, NONE)
    # 1000 x (5 bp + 4 bp): closed at its last settlement after being paid.
    assert [run.net, run.basis, run.fees] == [Decimal("0.90"), Decimal(0), Decimal(0)]
    assert run.pairs[0].left == 2


def test_the_best_signal_is_entered_first_and_a_tie_goes_to_the_lower_symbol() -> None:
    market = steady([[30_000] * 3, [40_000] * 3, [40_000] * 3])
    run = run_strategy(
        tape_of(market), ThresholdCarry(ParameterSet(1, Decimal(0), Decimal(0), 9)), FREE, NONE
    )
    assert [pair.symbol for pair in run.pairs] == [1]


def test_the_longest_hold_counts_settlements_and_bars_reentry_at_the_same_one() -> None:
    policy = ParameterSet(1, Decimal(0), Decimal(-1), 2)
    run = run_strategy(tape_of(steady([[30_000] * 8])), ThresholdCarry(policy), FREE, NONE)
    assert [(p.entered, p.left) for p in run.pairs] == [(0, 2), (3, 5), (6, 7)]


class Greedy:
    """Opens the same symbol twice: what a plug-in may not do."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_bar(self, bar: PairBar) -> None:
        self.seen.append(f"bar {bar.at_ms // 3_600_000 % 24}")

    def on_settlement(self, settled: Settled) -> None:
        self.seen.append(f"rate {settled.rate}")

    def on_instant(self, desk: Desk) -> None:
        desk.open(0)
        desk.open(0)


def test_a_strategy_sees_an_hour_before_its_settlement_and_may_not_open_twice() -> None:
    greedy = Greedy()
    with pytest.raises(InvariantViolation, match="C00USDT cannot be opened now"):
        run_strategy(tape_of(steady([[1, 1]])), greedy, Terms(), NONE)
    assert greedy.seen[-2:] == ["bar 8", "rate 1.0000E-8"]


def yardstick(name: str) -> ModuleType:
    path = YARDSTICKS / f"{name}.py"
    if not path.exists():
        pytest.skip(f"the yardstick programs are not there: {YARDSTICKS}")
    spec = importlib.util.spec_from_file_location(f"yardstick_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def test_ref_1_makes_the_trades_of_the_yardsticks_decimal_run() -> None:
    reference, made = yardstick("ref_py"), yardstick("gen").make(12, 1, seed=11)
    rate, spot, perp = (np.ascontiguousarray(column.T) for column in made)
    symbols, instants = rate.shape
    market = SweepMarket(
        tuple(f"C{s:02}USDT" for s in range(symbols)), 3_600_000, spot * 100, perp * 100,
        perp * 100, np.arange(instants, dtype=np.int64) * 8 + 7, rate * 10_000,
        np.full((symbols, instants), 8, np.int64),
    )  # fmt: skip
    tape = tape_of(market)
    rows = [reference.LazyDec(c, e) for c, e in zip(made, (-8, -6, -6), strict=True)]
    total = 0
    for span, entry, leave, hold in ((12, "0.0003", "0.0001", 90), (3, "0.00015", "0.00014", 9)):
        policy = ParameterSet(span, Decimal(entry), Decimal(leave), hold)
        run = run_strategy(tape, ThresholdCarry(policy), Terms(), NONE)
        costs = (Decimal(10_000), Decimal("0.0010"), Decimal("0.00055"), Decimal("0.0002"))
        said = reference.run(*rows, span, policy.entry, policy.exit, hold, Decimal(1), *costs)
        trades, funding, basis, fees, cash, drawdown = said
        total += trades
        assert len(run.pairs) == trades
        for ours, theirs in (
            (run.funding, funding), (run.basis, basis), (run.fees, fees), (run.net, cash),
            (run.drawdown, drawdown),
        ):  # fmt: skip
            assert abs(ours - theirs) < Decimal("1e-18")
        booked = sweep(market, [policy]).money_at(0, "net")
        assert abs(booked - cash) < Decimal("1e-6") * max(abs(cash), 1)
    assert total > 300
