"""What flatters a result, each assumption with its price in USDT, on the trades as they were made.

A price answers: had this been otherwise and every decision the same, by how much would the run have
earned less? What cannot be priced from the history at hand says why, and has no number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Final

from services.backtest.trades import Breakdown, Move
from shared.domain.instrument import Category
from shared.domain.money import ZERO
from shared.domain.profit import WIDE
from shared.history.records import HOUR_MS, History

SPREADS: Final = 3
"""How many times the stated half spread a stressed book is taken to have."""
FEES_RAISED: Final = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class Assumption:
    """One assumption. Dropping it adds ``effect`` to the result, USDT; None is not known."""

    key: str
    says: str
    instead: str
    effect: Decimal | None


def flattering(found: Breakdown, history: History) -> tuple[Assumption, ...]:
    """Return what flatters the run of ``found``, each with what dropping it would change."""
    with localcontext(WIDE):
        return (
            Assumption(
                "constant_spread",
                "Books keep their stated half spread",
                f"{SPREADS} times as wide at every fill",
                (SPREADS - 1) * found.parts.slippage,
            ),
            Assumption(
                "filled_at_once",
                "Orders fill in the minute of the decision",
                "an hour later, at the next closes",
                _an_hour_later(found.moves, history),
            ),
            Assumption(
                "open_pairs_marked",
                "Open pairs are marked, not closed",
                "closed at the end, fees and half spreads paid",
                -found.exit_costs,
            ),
            Assumption(
                "fees_as_stated",
                "Fees are today's for every year",
                "half as much again",
                FEES_RAISED * found.parts.fees,
            ),
            Assumption(
                "no_faults",
                "No outage, reject or partial fill",
                "not priced: a run with faults is needed",
                None,
            ),
            Assumption(
                "survivors",
                "These symbols survived",
                "not priced: the history holds none that was delisted",
                None,
            ),
            Assumption(
                "no_deleveraging",
                "No short is deleveraged",
                "not priced: the venue publishes no history of it",
                None,
            ),
        )


def not_assumed(found: Breakdown) -> tuple[Assumption, ...]:
    """Return what this run does not leave out, each with what leaving it out would have added."""
    with localcontext(WIDE):
        return (
            Assumption("fees", "Fees left out", "", -found.parts.fees),
            Assumption("half_spread", "Filled at the close", "", -found.parts.slippage),
            Assumption("basis", "One price for both legs", "", -found.parts.basis),
        )


def priced_in(net: Decimal, assumptions: tuple[Assumption, ...]) -> Decimal:
    """Return ``net`` with every priced assumption dropped, USDT."""
    with localcontext(WIDE):
        return net + sum((a.effect for a in assumptions if a.effect is not None), ZERO)


def _an_hour_later(moves: tuple[Move, ...], history: History) -> Decimal:
    """Return what the same quantities at the next hour's closes would have gained, USDT.

    A fill in the history's last hour has no next close and stays as it is.
    """
    closes = {name: _closes(history, name) for name in {m.pair for m in moves}}
    gained = ZERO
    for move in moves:
        later = int((move.at + timedelta(hours=1)).timestamp()) * 1000
        prices = closes[move.pair].get(later - later % HOUR_MS)
        if prices is not None:
            gained += move.moved * (move.reference - prices[move.category])
    return gained


def _closes(history: History, name: str) -> Mapping[int, Mapping[Category, Decimal]]:
    return {
        bar.at_ms: {Category.SPOT: bar.spot, Category.LINEAR: bar.perp}
        for bar in history.symbols[name].bars
    }
