"""What a sweep came to, set by set."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.kernel import BASIS, BEYOND, DRAWDOWN, FEES, FUNDING, NET, TRADES
from services.backtest.sweep.market import Ints, money
from services.backtest.sweep.terms import ParameterSet, Params, as_set
from shared.domain.errors import Misconfigured
from shared.domain.money import plain


@dataclass(frozen=True, slots=True, eq=False)
class SweepResult:
    """N sets in the order they were given.

    ``params`` (N, 4): see ``terms.Params``. ``trades`` (N,): pairs opened (each was closed too).
    ``funding`` (+ received), ``basis``, ``fees`` (+ paid), ``net`` = funding + basis - fees,
    ``drawdown`` (deepest, hourly, >= 0): (N,) int64 in 1e-8 USDT, exact.
    ``daily_returns`` (N, D) float64: the gain of each UTC day over the capital, not compounded;
    a row sums to net / capital. ``days``: the D midnights at which they begin, UTC ms.
    """

    params: Params
    trades: Ints
    funding: Ints
    basis: Ints
    fees: Ints
    net: Ints
    drawdown: Ints
    daily_returns: NDArray[np.float64]
    days: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.params)

    def set_at(self, i: int) -> ParameterSet:
        """Return set ``i`` as it was given."""
        return as_set(self.params[i])

    def money_at(self, i: int, name: str) -> Decimal:
        """Return ``funding``, ``basis``, ``fees``, ``net`` or ``drawdown`` of set ``i``, USDT."""
        return money(getattr(self, name)[i])

    def row(self, i: int) -> dict[str, Any]:
        """Return set ``i`` as plain JSON values, money and rates as decimal text."""
        one = self.set_at(i)
        return {
            "span": one.span,
            "entry": plain(one.entry),
            "exit": plain(one.exit),
            "hold": one.hold,
            "trades": int(self.trades[i]),
            **{
                name: plain(self.money_at(i, name))
                for name in ("funding", "basis", "fees", "net", "drawdown")
            },
        }


def result_of(
    params: Params, out: Ints, returns: NDArray[np.float64], days: Sequence[int]
) -> SweepResult:
    """Return the kernel's figures as a result.

    Raises: Misconfigured naming the first set whose sums grew beyond fixed point.
    """
    beyond = np.flatnonzero(out[:, BEYOND])
    if len(beyond):
        raise Misconfigured(
            f"{as_set(params[beyond[0]])} books more than fixed point holds: lower the notional."
        )
    trades, funding, basis, fees, net, drawdown = (
        np.ascontiguousarray(out[:, i]) for i in (TRADES, FUNDING, BASIS, FEES, NET, DRAWDOWN)
    )
    return SweepResult(params, trades, funding, basis, fees, net, drawdown, returns, tuple(days))
