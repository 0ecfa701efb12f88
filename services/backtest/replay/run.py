"""``replay``: what one set comes to when its orders are worked in parts."""

from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from services.backtest.replay.events import Events
from services.backtest.replay.kernel import (
    BEYOND,
    DRAWDOWN,
    FEES,
    FIELDS,
    FIGURES,
    FILL_FIELDS,
    FILLS,
    FUNDING,
    NET,
    ORDERS,
    PARTS,
    SIGNAL,
    run_events,
)
from services.backtest.sweep.fixed import SCALE
from services.backtest.sweep.market import Ints, SweepMarket, money
from services.backtest.sweep.signals import UNKNOWN
from services.backtest.sweep.terms import ParameterSet, Terms, as_params, check_range
from shared.domain.errors import Misconfigured
from shared.domain.rounding import units


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """Money in USDT: ``funding`` + received, ``fees`` + paid, ``net`` at the last closes.

    ``parts``: how many of the ``fills`` left something of their order over. ``drawdown``: the
    deepest fall from hour to hour, each looked at before what settles at its end.
    ``log`` (n, 6): see ``kernel``.
    """

    orders: int
    fills: int
    parts: int
    funding: Decimal
    fees: Decimal
    net: Decimal
    drawdown: Decimal
    log: Ints


def replay(
    market: SweepMarket,
    events: Events,
    one: ParameterSet,
    terms: Terms,
    depth: Decimal,
    *,
    log: int = 0,
) -> Replayed:
    """Return what ``one`` comes to if a close gives at most ``depth`` USDT a leg.

    ``log``: how many fills to keep.

    Raises: Misconfigured when a term, the depth or a price is out of range, by name.
    """
    if depth <= 0:
        raise Misconfigured(f"depth {depth} is not above zero.")
    check_range(market, replace(terms, notional=max(terms.notional, depth)))
    span, entry, leave, hold = (int(value) for value in as_params([one])[0])
    notional, cap, spot_fee, perp_fee, slip, _ = terms.in_units()
    book = np.zeros((len(market.symbols), FIELDS), np.int64)
    book[:, SIGNAL] = UNKNOWN
    out, fills = np.zeros(FIGURES, np.int64), np.zeros((log, FILL_FIELDS), np.int64)
    run_events(
        events, (span, entry, leave, hold), (notional, cap, spot_fee, perp_fee, slip),
        units(depth, SCALE, "depth"), book, out, fills,
    )  # fmt: skip
    if out[BEYOND]:
        raise Misconfigured(f"{one} books more than fixed point holds: lower the notional.")
    return Replayed(
        int(out[ORDERS]), int(out[FILLS]), int(out[PARTS]), money(out[FUNDING]), money(out[FEES]),
        money(out[NET]), money(out[DRAWDOWN]), fills[: out[FILLS]],
    )  # fmt: skip
