"""REF-1 as a user would write it: hold what pays, best first, leave what no longer does."""

from decimal import Decimal

from services.backtest.reference.desk import Desk
from services.backtest.reference.tape import PairBar, Settled
from services.backtest.sweep.fixed import RATE_SCALE
from services.backtest.sweep.market import HOURS_NORMAL, Ints
from services.backtest.sweep.terms import ParameterSet


class ThresholdCarry:
    """Enters above ``entry``, best signal first (ties: the lower symbol), leaves below ``exit``.

    The signal is an EMA of the rates per eight hours over the symbol's own settlements. A pair is
    looked at when it settles; one that was left is not entered again at that instant.
    """

    def __init__(self, policy: ParameterSet) -> None:
        self.policy = policy
        self.signals: dict[int, Decimal] = {}
        self._before: dict[int, int] = {}
        self._due: list[int] = []
        self._two, self._over = Decimal(2), Decimal(policy.span + 1)

    def on_bar(self, bar: PairBar) -> None:
        """Prices do not enter this rule."""

    def on_settlement(self, settled: Settled) -> None:
        """Renew the symbol's signal."""
        symbol = settled.symbol
        self.signals[symbol] = self.signal_after(settled)
        self._due.append(symbol)

    def signal_after(self, settled: Settled) -> Decimal:
        """Return the symbol's new signal."""
        rate = settled.rate
        if settled.hours != HOURS_NORMAL:
            rate = rate * HOURS_NORMAL / settled.hours
        old = self.signals.get(settled.symbol)
        return rate if old is None else old + self._two * (rate - old) / self._over

    def on_instant(self, desk: Desk) -> None:
        """Leave, then enter."""
        left = self._leave(desk)
        self._due.clear()
        if desk.free > 0:
            self._enter(desk, left)

    def _leave(self, desk: Desk) -> set[int]:
        left = set()
        for symbol in self._due:
            if symbol not in desk.positions:
                continue
            settled = self._before[symbol] = self._before[symbol] + 1
            if self.signals[symbol] < self.policy.exit or settled >= self.policy.hold:
                desk.close(symbol)
                left.add(symbol)
        return left

    def _enter(self, desk: Desk, left: set[int]) -> None:
        entry = self.policy.entry
        wanted = sorted(
            (-signal, symbol)
            for symbol, signal in self.signals.items()
            if signal > entry and symbol not in left and desk.can_open(symbol)
        )
        for _, symbol in wanted[: desk.free]:
            desk.open(symbol)
            self._before[symbol] = 0


class QuantisedCarry(ThresholdCarry):
    """The same on the very signals the compiled sweep reads: (K, S) in 1e-12."""

    def __init__(self, policy: ParameterSet, signals: Ints) -> None:
        super().__init__(policy)
        self._array = signals

    def signal_after(self, settled: Settled) -> Decimal:
        """Return the signal as it stands in the array."""
        return Decimal(int(self._array[settled.instant, settled.symbol])).scaleb(-RATE_SCALE)
