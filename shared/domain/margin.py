"""How far prices may move before the venue liquidates, what a bad day costs, what is kept for it.

One unified account in cross margin: coins back a share of their worth, a perpetual's loss is owed
in full, and a negative balance of the settlement coin is a loan that binds margin of its own.
Source: Bybit V5, account, cross-margin formulas.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from shared.domain.money import ONE, ZERO, ratio


@dataclass(frozen=True, slots=True)
class Exposure:
    """Both legs of a pair, base units (the perpetual is signed), and what the venue asks of it.

    ``collateral`` is the share of the spot's worth that backs the account, ``maintenance`` the
    least margin as a share of the perpetual's worth.
    """

    pair: str
    spot_quantity: Decimal
    perp_quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal
    collateral: Decimal
    maintenance: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """``cash`` is the wallet in the settlement coin; a loan binds ``borrow_margin`` of itself."""

    cash: Decimal
    exposures: tuple[Exposure, ...]
    borrow_margin: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class LiquidationLine:
    """The price moves that liquidate, as fractions: ``up`` >= 0, ``down`` <= 0; None: none does."""

    up: Decimal | None
    down: Decimal | None


def liquidation_line(account: Account, pairs: Iterable[str] | None = None) -> LiquidationLine:
    """Return how far the prices of ``pairs`` (None: of all) may move together, the rest standing.

    Headroom is balance less maintenance. It is linear in the move but for the kink where the loan
    begins, and falls faster beyond it: so it ends at the nearer root of both lines.
    """
    moved = None if pairs is None else set(pairs)
    at_rest, slope, cash, cash_slope = _lines(account, moved)
    borrow = account.borrow_margin
    lines = ((at_rest, slope), (at_rest + borrow * cash, slope + borrow * cash_slope))
    if min(level for level, _ in lines) <= ZERO:
        return LiquidationLine(ZERO, ZERO)
    roots = [ratio(-level, tilt) for level, tilt in lines if tilt != ZERO]
    up = min((root for root in roots if root > ZERO), default=None)
    down = max((root for root in roots if -ONE < root < ZERO), default=None)
    return LiquidationLine(up, down)


def _lines(account: Account, moved: set[str] | None) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return headroom without loan at no move and its slope, and the same of the cash equity."""
    cash, backed, bound, cash_slope, slope = account.cash, ZERO, ZERO, ZERO, ZERO
    for of in account.exposures:
        perp = of.perp_quantity * of.mark_price
        spot = of.spot_quantity * of.mark_price
        cash += perp - of.perp_quantity * of.entry_price
        backed += of.collateral * spot
        bound += of.maintenance * abs(perp)
        if moved is None or of.pair in moved:
            cash_slope += perp
            slope += perp + of.collateral * spot - of.maintenance * abs(perp)
    return cash + backed - bound, slope, cash, cash_slope


def notional_within(
    capital: Decimal,
    distance: Decimal,
    collateral: Decimal,
    maintenance: Decimal,
    borrow_margin: Decimal,
) -> Decimal:
    """Return the greatest hedged notional, bought out of ``capital``, that survives ``distance``.

    ``distance`` is a rise of all prices together, as a fraction; a fall does a hedged pair no harm.
    """
    grown = ONE + distance
    lost = grown * (ONE + maintenance - collateral)
    without_loan = ratio(capital, lost) if lost > ZERO else capital * 1_000
    with_loan = ratio(capital * (ONE + borrow_margin), lost + borrow_margin * grown)
    return min(without_loan, with_loan)


def tail_reserve_rate(
    worst_rate: Decimal, unwind_intervals: Decimal, unwind_slippage: Decimal
) -> Decimal:
    """Return the cash to keep per unit of notional (R13).

    The worst funding of a thousand settlements, paid at each one that the unwinding may meet
    (begun intervals count), plus what unwinding in a thin book loses. Source: Ethena's reserve.
    """
    settlements = unwind_intervals.to_integral_value(ROUND_CEILING)
    return max(ZERO, -worst_rate) * settlements + unwind_slippage


@dataclass(frozen=True, slots=True)
class Scenario:
    """A bad day: all prices move by a fraction, then ``settlements``, then we unwind.

    ``funding_rates`` are by pair, each at every settlement; a pair without one settles nothing.
    ``unwind_cost`` is a fraction of the notional, of both legs together.
    """

    price_move: Decimal
    funding_rates: Mapping[str, Decimal]
    settlements: int
    unwind_cost: Decimal


@dataclass(frozen=True, slots=True)
class Stressed:
    """What a scenario earns (+) or loses (-), in quote units, and the line it leaves before that.

    ``line`` is reckoned after the move and the funding, before the unwinding.
    """

    result: Decimal
    line: LiquidationLine


def stressed(account: Account, scenario: Scenario) -> Stressed:
    """Return what becomes of ``account``; a hedged pair nets the move, funding is at its mark."""
    result, cash, moved = ZERO, account.cash, []
    for of in account.exposures:
        mark = of.mark_price * (ONE + scenario.price_move)
        rate = scenario.funding_rates.get(of.pair, ZERO)
        funding = -of.perp_quantity * mark * rate * scenario.settlements
        drift = (of.spot_quantity + of.perp_quantity) * (mark - of.mark_price)
        result += funding + drift - abs(of.perp_quantity) * mark * scenario.unwind_cost
        cash += funding
        moved.append(replace(of, mark_price=mark))
    after = replace(account, cash=cash, exposures=tuple(moved))
    return Stressed(result, liquidation_line(after))


class MarginAction(StrEnum):
    """What is done before the venue does it, in this order."""

    ADD_MARGIN = "add_margin"
    TRIM_BOTH_LEGS = "trim_both_legs"
    MOVE_FUNDS = "move_funds"


def margin_actions(
    *,
    balance: Decimal,
    maintenance: Decimal,
    rate_max: Decimal,
    spare: Decimal,
    trim_most: Decimal,
    elsewhere: Decimal,
) -> tuple[tuple[MarginAction, Decimal], ...]:
    """Return what brings maintenance / balance down to ``rate_max``, in quote units, in order (R4).

    ``spare`` may be added, then notional of both legs worth up to ``trim_most`` of maintenance be
    given up, then up to ``elsewhere`` be moved in from another account. Amounts are the margin
    added, or the maintenance freed by trimming.
    """
    missing = ratio(maintenance, rate_max) - balance
    done = []
    added = min(max(ZERO, missing), spare)
    if added > ZERO:
        done.append((MarginAction.ADD_MARGIN, added))
        missing -= added
    trimmed = min(max(ZERO, missing) * rate_max, trim_most)
    if trimmed > ZERO:
        done.append((MarginAction.TRIM_BOTH_LEGS, trimmed))
        missing -= ratio(trimmed, rate_max)
    moved = min(max(ZERO, missing), elsewhere)
    if moved > ZERO:
        done.append((MarginAction.MOVE_FUNDS, moved))
    return tuple(done)
