"""The pairs that are held, opened or closed, with their money since the opening: pure."""

from decimal import Decimal, localcontext
from typing import Final

from services.api.amounts import negated, product, tidy
from services.api.ranking import annualized
from services.api.schemas import PairView
from shared.domain.errors import Transient
from shared.domain.funding import funding_payment
from shared.domain.money import ZERO, ratio
from shared.domain.position import PairState
from shared.domain.profit import WIDE, Life, Parts
from shared.store.views.desk import DeskRows, HoldingRow

AT_WORK: Final = (PairState.OPENING, PairState.UNWINDING, PairState.BROKEN)
SMALL_USDT: Final = Decimal(5)
"""A residual that is worth less stands for nothing (as ``PairPosition.is_hedged``)."""


def pair_views(desk: DeskRows) -> list[PairView]:
    """Return every pair that holds a perpetual or is being worked on, by name."""
    return [_view(h, desk) for h in desk.holdings if h.perp_quantity != ZERO or h.state in AT_WORK]


def net_delta(holding: HoldingRow) -> Decimal | None:
    """Return spot plus perpetual at the mark, USDT; None when that needs a mark and has none."""
    return _at_mark(_residual(holding), holding)


def notional(holding: HoldingRow) -> Decimal | None:
    """Return the larger leg at the mark, USDT; None when that needs a mark and has none."""
    return _at_mark(max(abs(holding.spot_quantity), abs(holding.perp_quantity)), holding)


def due(holding: HoldingRow) -> Decimal | None:
    """Return what the next settlement brings at the venue's running rate, received positive."""
    if holding.perp_quantity == ZERO:
        return ZERO
    if holding.mark is None or holding.predicted_rate is None:
        return None
    with localcontext(WIDE):
        return tidy(funding_payment(holding.perp_quantity, holding.mark, holding.predicted_rate))


def is_hedged(holding: HoldingRow) -> bool | None:
    """Return whether both legs are one; None when that needs a mark and has none."""
    if abs(_residual(holding)) <= holding.lot:
        return True
    delta = net_delta(holding)
    return None if delta is None else abs(delta) <= SMALL_USDT


def _view(holding: HoldingRow, desk: DeskRows) -> PairView:
    life = desk.lives.get(holding.pair)
    if life is not None and life.closed_at is not None:
        life = None
    parts = Parts() if life is None else life.parts
    net = _net(life, holding)
    return PairView(
        pair=holding.pair,
        symbol=holding.pair,
        base=holding.base,
        state=PairState(holding.state).value,
        opened_at=holding.opened_at,
        spot_quantity=holding.spot_quantity,
        perp_quantity=holding.perp_quantity,
        notional_usdt=notional(holding),
        net_delta_usdt=net_delta(holding),
        last_rate=holding.last_rate,
        expected_rate=holding.expected_rate,
        funding_interval_hours=holding.interval_hours,
        annualized_on_notional=annualized(holding.expected_rate, holding.interval_hours),
        funding_usdt=tidy(parts.funding),
        fees_usdt=tidy(parts.fees),
        basis_usdt=None if net is None else _rest(net, parts),
        net_usdt=None if net is None else tidy(net),
        due_usdt=due(holding),
        next_settlement_at=holding.next_funding_at,
        break_even_ratio=_break_even_ratio(parts.funding, negated(parts.fees)),
        correlation_id=holding.correlation_id,
    )


def _net(life: Life | None, holding: HoldingRow) -> Decimal | None:
    if life is None:
        return ZERO
    try:
        return life.pnl(holding.mid, holding.mark).net
    except Transient:  # held without a price: its worth is not known
        return None


def _rest(net: Decimal, parts: Parts) -> Decimal:
    """Return what prices, executions, interest and rounding brought, realised or not."""
    with localcontext(WIDE):
        return tidy(net - parts.funding - parts.fees)


def _break_even_ratio(funding: Decimal, fees: Decimal) -> Decimal | None:
    """Return funding over what both ways in and out cost, taking the way out like the way in."""
    return None if fees <= ZERO else ratio(funding, WIDE.multiply(fees, Decimal(2)))


def _residual(holding: HoldingRow) -> Decimal:
    return WIDE.add(holding.spot_quantity, holding.perp_quantity)


def _at_mark(quantity: Decimal, holding: HoldingRow) -> Decimal | None:
    if quantity == ZERO:
        return ZERO
    return None if holding.mark is None else product(quantity, holding.mark)
