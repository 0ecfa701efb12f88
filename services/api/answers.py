"""The four answers of the home page, from one reading of the desk: pure."""

from decimal import Decimal

from services.api.amounts import negated, product, summed, tidy
from services.api.happened import latest_events
from services.api.holdings import due, is_hedged, net_delta, notional
from services.api.schemas import (
    Answer,
    EarningAnswer,
    HedgedAnswer,
    Need,
    OverviewView,
    SafeAnswer,
)
from services.api.words import count, listed, usdt
from shared.domain.log import STABLE
from shared.domain.money import ZERO
from shared.domain.position import PairState
from shared.domain.profit import WIDE
from shared.domain.risk import RiskLimits
from shared.store.views.desk import DeskRows


def overview(desk: DeskRows, limits: RiskLimits) -> OverviewView:
    """Return the answers as of the newest valued instant; what is not known is said to be so."""
    return OverviewView(
        as_of=desk.market.venue_at if desk.worth is None else desk.worth.venue_at,
        hedged=_hedged(desk),
        safe=_safe(desk, limits),
        earning=_earning(desk),
        needs=_needs(desk, limits),
        latest=latest_events(desk),
    )


def _hedged(desk: DeskRows) -> HedgedAnswer:
    hedged = [is_hedged(holding) for holding in desk.holdings]
    answer: Answer = "yes"
    if False in hedged:
        answer = "no"
    elif None in hedged or desk.doubted or not hedged:
        answer = "unknown"
    return HedgedAnswer(
        answer=answer,
        net_delta_usdt=summed(map(net_delta, desk.holdings)) if hedged else None,
        gross_notional_usdt=_exposure(desk),
        orders_in_doubt=len(desk.doubted),
        unhedged_seconds_max=desk.conduct.unhedged_seconds_max,
    )


def _safe(desk: DeskRows, limits: RiskLimits) -> SafeAnswer:
    exposure, difference = _exposure(desk), _difference(desk)
    answer: Answer = "yes"
    if (exposure is not None and exposure > limits.gross_notional) or _differing(desk):
        answer = "no"
    elif None in (exposure, difference, desk.worth):
        answer = "unknown"
    return SafeAnswer(
        answer=answer,
        exposure_usdt=exposure,
        exposure_limit_usdt=limits.gross_notional,
        equity_usdt=None if desk.worth is None else tidy(desk.worth.equity),
        ledger_difference_usdt=difference,
    )


def _earning(desk: DeskRows) -> EarningAnswer:
    worth = desk.worth
    if worth is None:
        return EarningAnswer(
            answer="unknown",
            net_usdt=None,
            net_24h_usdt=None,
            funding_usdt=None,
            fees_usdt=None,
            basis_usdt=None,
            next_due_usdt=_next_due(desk),
            return_on_capital=None,
        )
    before = worth.net_day_before
    return EarningAnswer(
        answer="yes" if worth.net > ZERO else "no",
        net_usdt=tidy(worth.net),
        net_24h_usdt=None if before is None else tidy(WIDE.subtract(worth.net, before)),
        funding_usdt=tidy(worth.funding),
        fees_usdt=negated(worth.fees),
        basis_usdt=tidy(worth.basis),
        next_due_usdt=_next_due(desk),
        return_on_capital=tidy(WIDE.subtract(worth.growth, Decimal(1))),
    )


def _next_due(desk: DeskRows) -> Decimal | None:
    """Return what the next settlement of all brings; pairs that settle later are not in it."""
    at = desk.market.next_settlement_at
    if at is None or not desk.holdings:
        return None
    held = [h for h in desk.holdings if h.perp_quantity != ZERO]
    return summed(due(h) for h in held if h.next_funding_at in (at, None))


def _exposure(desk: DeskRows) -> Decimal | None:
    return summed(map(notional, desk.holdings)) if desk.holdings else None


def _differing(desk: DeskRows) -> list[str]:
    return [balance.asset for balance in desk.balances if balance.ours != balance.venue]


def _difference(desk: DeskRows) -> Decimal | None:
    """Return all differences from the venue's balances, added without sign, USDT."""
    if not desk.balances:
        return None
    prices: dict[str, Decimal | None] = {h.base: h.mid for h in desk.holdings}
    prices[STABLE] = Decimal(1)
    parts: list[Decimal | None] = []
    for balance in desk.balances:
        gap = abs(WIDE.subtract(balance.ours, balance.venue))
        price = prices.get(balance.asset)
        parts.append(ZERO if gap == ZERO else None if price is None else product(gap, price))
    return summed(parts)


def _needs(desk: DeskRows, limits: RiskLimits) -> list[Need]:
    return [*_tasks(desk, limits), *_watched(desk)]


def _tasks(desk: DeskRows, limits: RiskLimits) -> list[Need]:
    found = []
    if desk.conduct.kill_level > 0:
        found.append(
            _task(
                f"Stopped at level {desk.conduct.kill_level}",
                f"{desk.conduct.kill_reason}. Nothing new is opened until it is lifted.",
            )
        )
    if coins := _differing(desk):
        gap = _difference(desk)
        by = "" if gap is None else f" by {usdt(gap, '0.00000001')}"
        found.append(
            _task(
                "The ledger differs from the venue",
                f"{listed(coins)}{by}. Entries are paused, exits go on.",
            )
        )
    found += [
        _task(
            f"{holding.base} is broken",
            "One leg stands without the other and could not be taken back. Close it at the venue.",
        )
        for holding in desk.holdings
        if holding.state == PairState.BROKEN
    ]
    exposure = _exposure(desk)
    if exposure is not None and exposure > limits.gross_notional:
        found.append(
            _task(
                "The exposure limit is passed",
                f"{usdt(exposure, '1')} at work, limit {usdt(limits.gross_notional, '1')}.",
            )
        )
    return found


def _watched(desk: DeskRows) -> list[Need]:
    found = []
    if desk.doubted:
        pairs = listed(sorted(set(desk.doubted)))
        found.append(
            _watching(
                f"{count(len(desk.doubted), 'order is', 'orders are')} in doubt",
                f"The venue's answer was lost. No new order on {pairs} until it is known.",
            )
        )
    late = desk.conduct.late_instants
    if late:
        found.append(
            _watching(
                f"{count(late, 'decision instant was', 'decision instants were')} late",
                "In the last 24 h at the venue. They are named in the decision journal.",
            )
        )
    return found


def _task(title: str, detail: str) -> Need:
    return Need(kind="needs_you", title=title, detail=detail)


def _watching(title: str, detail: str) -> Need:
    return Need(kind="watching", title=title, detail=detail)
