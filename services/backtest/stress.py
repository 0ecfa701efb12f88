"""What a bad day would have cost at the hour in which the run held most (R4).

All prices gap, shorts then pay the cap for a day, and everything is unwound in a thin book.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from services.backtest.holdings import STABLE
from services.backtest.result import FullestHour
from shared.domain.margin import Account, Exposure, Scenario, stressed
from shared.domain.money import ZERO, plain
from shared.domain.policy import CarryPolicy
from shared.domain.position import PairPosition
from shared.history.rules import ProductRules
from shared.venue.exchange import Exchange

MOVES: Final = tuple(Decimal(move) for move in ("-0.6", "-0.3", "-0.1", "0.1", "0.3", "0.6"))
SETTLEMENTS: Final = 3
"""A day of eight hours."""


def fuller(
    known: FullestHour | None,
    at: datetime,
    venue: Exchange,
    held: Mapping[str, PairPosition],
    policy: CarryPolicy,
) -> FullestHour | None:
    """Return the account of this hour if more is held than in any before, else ``known``."""
    shorts = {name: p for name, p in held.items() if p.perp_quantity}
    gross = sum((abs(p.perp_quantity) * venue.marks[name] for name, p in shorts.items()), ZERO)
    if gross <= (ZERO if known is None else known.gross):
        return known
    exposures = tuple(
        Exposure(
            name,
            position.spot_quantity,
            position.perp_quantity,
            venue.positions[name].entry_price,
            venue.marks[name],
            policy.collateral_ratio,
            policy.maintenance_rate,
        )
        for name, position in shorts.items()
    )
    cash = venue.wallet.get(STABLE, ZERO)
    return FullestHour(at, gross, Account(cash, exposures, policy.borrow_margin_rate))


def bad_days(
    fullest: FullestHour | None, products: Iterable[ProductRules], policy: CarryPolicy
) -> dict[str, Any] | None:
    """Return each gap's outcome, USDT, as stored; None when nothing was ever held.

    ``up`` and ``down`` are how far prices may go on from there, fractions; None: any distance. Both
    zero: the account is liquidated.
    """
    if fullest is None:
        return None
    held = {exposure.pair for exposure in fullest.account.exposures}
    rates = {p.symbol: -p.funding_cap for p in products if p.symbol in held and p.funding_cap}
    rows = []
    for move in MOVES:
        scenario = Scenario(move, rates, SETTLEMENTS, policy.unwind_slippage)
        bad = stressed(fullest.account, scenario)
        up, down = bad.line.up, bad.line.down
        rows.append(
            {
                "move": plain(move),
                "result": plain(bad.result),
                "up": None if up is None else plain(up),
                "down": None if down is None else plain(down),
            }
        )
    return {
        "at": fullest.at.isoformat(),
        "gross": plain(fullest.gross),
        "rates": {name: plain(rate) for name, rate in rates.items()},
        "unwind": plain(policy.unwind_slippage),
        "rows": rows,
    }
