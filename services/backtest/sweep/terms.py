"""What every set of a sweep has in common, and the sets themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.backtest.sweep.fixed import RATE_SCALE, RESULT_MAX, SCALE, UNIT
from services.backtest.sweep.market import SweepMarket
from shared.domain.errors import Misconfigured
from shared.domain.rounding import units

SPAN_MAX: Final = 100_000
SETS_MAX: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """Costs and limits: USDT, fractions of notional, pairs.

    ``notional`` is bought of spot at each entry, the same quantity sold of the perpetual. Taker
    fees on both legs; ``slippage`` worsens every fill. ``cap`` is how many pairs are held at most.
    ``capital`` (None: cap times notional) is what returns are of.
    """

    notional: Decimal = Decimal(10_000)
    cap: int = 10
    spot_fee: Decimal = Decimal("0.0010")
    perp_fee: Decimal = Decimal("0.00055")
    slippage: Decimal = Decimal("0.0002")
    capital: Decimal | None = None

    def __post_init__(self) -> None:
        _require(self.notional > 0, f"notional {self.notional} is not above zero.")
        _require(1 <= self.cap <= 10_000, f"cap {self.cap} is not within 1 and 10000.")
        _require(self.all_capital > 0, f"capital {self.capital} is not above zero.")
        for name in ("spot_fee", "perp_fee", "slippage"):
            _require(abs(getattr(self, name)) < 1, f"{name} {getattr(self, name)} is no fraction.")
        _require(self.slippage >= 0, f"slippage {self.slippage} is below zero.")

    @property
    def all_capital(self) -> Decimal:
        """What returns are of, USDT."""
        return self.notional * self.cap if self.capital is None else self.capital

    def in_units(self) -> tuple[int, int, int, int, int, int]:
        """Return notional, cap, spot fee, perpetual fee, slippage and capital as whole units."""
        return (
            units(self.notional, SCALE, "notional"),
            self.cap,
            units(self.spot_fee, RATE_SCALE, "spot_fee"),
            units(self.perp_fee, RATE_SCALE, "perp_fee"),
            units(self.slippage, RATE_SCALE, "slippage"),
            units(self.all_capital, SCALE, "capital"),
        )


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """One policy: EMA ``span`` in settlements; enter above ``entry``, leave below ``exit``.

    Both are rates per eight hours; ``hold`` is how many settlements a pair is held at most.
    """

    span: int
    entry: Decimal
    exit: Decimal
    hold: int


Params = NDArray[np.int64]
"""(N, 4): span, entry and exit in 1e-12, hold."""


def as_params(sets: Sequence[ParameterSet]) -> Params:
    """Return the sets as the kernel reads them.

    Raises: Misconfigured naming the first set and value that is out of range.
    """
    _require(0 < len(sets) <= SETS_MAX, f"{len(sets)} sets: give 1 to {SETS_MAX}.")
    rows = np.empty((len(sets), 4), np.int64)
    for i, one in enumerate(sets):
        _require(1 <= one.span <= SPAN_MAX, f"span {one.span} is not within 1 and {SPAN_MAX}.")
        _require(1 <= one.hold <= SPAN_MAX, f"hold {one.hold} is not within 1 and {SPAN_MAX}.")
        for name in ("entry", "exit"):
            value = getattr(one, name)
            _require(abs(value) <= 1, f"{name} {value} is not within -1 and 1.")
        entry, leave = (
            units(v, RATE_SCALE, n) for n, v in (("entry", one.entry), ("exit", one.exit))
        )
        rows[i] = one.span, entry, leave, one.hold
    return rows


def as_set(row: Params) -> ParameterSet:
    """Return one row of ``as_params`` as it was given."""
    span, entry, leave, hold = (int(value) for value in row)
    return ParameterSet(
        span, Decimal(entry).scaleb(-RATE_SCALE), Decimal(leave).scaleb(-RATE_SCALE), hold
    )


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of the four lists, spans outermost, holds innermost."""

    spans: tuple[int, ...]
    entries: tuple[Decimal, ...]
    exits: tuple[Decimal, ...]
    holds: tuple[int, ...]

    def sets(self) -> list[ParameterSet]:
        """Return the sets in order."""
        return [
            ParameterSet(*one) for one in product(self.spans, self.entries, self.exits, self.holds)
        ]


def check_range(market: SweepMarket, terms: Terms) -> None:
    """Refuse a market on which a position could outgrow the integers.

    Raises: Misconfigured naming the symbol: bought at its lowest and valued at its highest price a
        pair must stay below 2 ** 61 units, and all pairs at once over all instants below 2 ** 63.
    """
    notional = int(terms.in_units()[0])
    for s, symbol in enumerate(market.symbols):
        there = market.spot[s] > 0
        if not there.any():
            continue
        lowest = int(market.spot[s][there].min())
        highest = 2 * max(
            int(column[s].max()) for column in (market.spot, market.perp, market.mark)
        )
        quantity = notional * UNIT // lowest + 1
        _require(
            quantity < RESULT_MAX and quantity * highest // UNIT * terms.cap < RESULT_MAX,
            f"{symbol} from {lowest} to {highest // 2} (1e-8) with notional {terms.notional} is "
            "beyond fixed point: lower the notional or leave the symbol out.",
        )


def _require(right: bool, message: str) -> None:
    if not right:
        raise Misconfigured(message)
