"""The loop: marks, payments, signals, exits, entries, in that order, hour by hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from services.backtest.reference.desk import Desk, Pair
from services.backtest.reference.tape import PairBar, Settled, Tape
from services.backtest.sweep.terms import Terms
from shared.domain.money import ZERO
from shared.domain.rounding import Rounding


class Strategy(Protocol):
    """What a user writes. Called in this order within an hour; orders only in ``on_instant``."""

    def on_bar(self, bar: PairBar) -> None:
        """Take in one symbol's closes; every hour, every symbol that has a bar."""

    def on_settlement(self, settled: Settled) -> None:
        """Take in one symbol's settled rate; what a held pair receives is booked already."""

    def on_instant(self, desk: Desk) -> None:
        """Trade: called once after all settlements of an hour that has any."""


@dataclass(frozen=True, slots=True)
class ReferenceRun:
    """What a run came to, quote units; fees positive when paid.

    ``pairs`` in the order of their entries. ``drawdown``: the deepest of the hourly equity, taken
    before the hour's bookings. ``equity[t]``: that equity. ``balances[i]``: cash after the i-th
    instant at or after hour 0.
    """

    pairs: tuple[Pair, ...]
    funding: Decimal
    basis: Decimal
    fees: Decimal
    net: Decimal
    drawdown: Decimal
    equity: tuple[Decimal, ...]
    balances: tuple[Decimal, ...]

    def daily_gains(self, day_ends: Sequence[int]) -> list[Decimal]:
        """Return the gain of each day that ends with one of these hours; they sum to ``net``."""
        ends = [*(self.equity[t] for t in day_ends[:-1]), self.net]
        return [now - before for before, now in zip([ZERO, *ends[:-1]], ends, strict=True)]


def run_strategy(tape: Tape, strategy: Strategy, terms: Terms, rounding: Rounding) -> ReferenceRun:
    """Return what ``strategy`` would have done; a pair is closed at its last settlement at latest.

    Raises: InvariantViolation when the strategy opens or closes what it may not.
    """
    desk = Desk(tape, terms, rounding)
    peak, drawdown = ZERO, ZERO
    curve: list[Decimal] = []
    balances: list[Decimal] = []
    for settled in tape.before:
        for one in settled:
            strategy.on_settlement(one)
    on_bar = strategy.on_bar
    for t, (bars, found) in enumerate(zip(tape.bars, tape.settled, strict=True)):
        for bar in bars:
            on_bar(bar)
        desk.hour = t
        equity = desk.equity()
        curve.append(equity)
        if equity > peak:
            peak = equity
        elif peak - equity > drawdown:
            drawdown = peak - equity
        if found is not None:
            _at_instant(tape, strategy, desk, *found)
            balances.append(desk.cash)
    return ReferenceRun(
        pairs=tuple(desk.pairs),
        funding=sum((p.paid for p in desk.pairs), ZERO),
        basis=sum((p.gain for p in desk.pairs), ZERO),
        fees=sum((p.cost for p in desk.pairs), ZERO),
        net=desk.cash,
        drawdown=drawdown,
        equity=tuple(curve),
        balances=tuple(balances),
    )


def _at_instant(
    tape: Tape, strategy: Strategy, desk: Desk, instant: int, settled: Sequence[Settled]
) -> None:
    desk.instant = instant
    for one in settled:
        desk.settle(one)
        strategy.on_settlement(one)
    for symbol in [s for s in desk.positions if tape.last[s] == desk.hour]:
        desk.close(symbol)
    strategy.on_instant(desk)
