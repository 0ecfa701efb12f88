"""decide(): which pairs to hold, and why not the others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from shared.domain.costs import FeeRates, RoundTrip, leaving_and_returning, round_trip
from shared.domain.funding import expected_rate, settlements_within
from shared.domain.intents import HoldPair
from shared.domain.market import MarketSnapshot, PairMarket
from shared.domain.money import ZERO, floor_to, ratio
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio
from shared.domain.universe import Reason, exclusion


class Verdict(StrEnum):
    """What the decision does with one pair."""

    OPEN = "open"
    HOLD = "hold"
    CLOSE = "close"
    PASSED_OVER = "passed_over"


@dataclass(frozen=True, slots=True)
class Appraisal:
    """One pair's verdict with the numbers behind it; None where a number is missing.

    Rates are per interval; ``expected_funding``, ``costs`` and ``value`` are fractions of notional
    over the policy's hold; ``quantity`` is the target in base units.
    """

    pair: str
    verdict: Verdict
    reason: Reason
    last_rate: Decimal | None = None
    expected_rate: Decimal | None = None
    interval: timedelta | None = None
    basis_rate: Decimal | None = None
    expected_funding: Decimal | None = None
    costs: RoundTrip | None = None
    value: Decimal | None = None
    break_even_settlements: int | None = None
    quantity: Decimal = ZERO
    notional: Decimal | None = None
    binding_limit: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The intents wanted at one instant, and an appraisal of every pair, best first."""

    instant: datetime
    intents: tuple[HoldPair, ...]
    appraisals: tuple[Appraisal, ...]

    @property
    def passed_over(self) -> tuple[Appraisal, ...]:
        """The pairs not held and not wanted, each with its reason."""
        return tuple(a for a in self.appraisals if a.verdict is Verdict.PASSED_OVER)


def decide(portfolio: Portfolio, market: MarketSnapshot, policy: CarryPolicy) -> Decision:
    """Return what to hold from ``market.instant`` on: opens, closes, and a reason for the rest.

    Held pairs are judged first, on whether leaving is worth it; what room they leave is given to
    the others in the order of their value. A number that is missing never causes a trade.
    """
    appraisals = [
        _appraise(market.pairs[name], portfolio, policy, market.instant)
        for name in sorted(market.pairs)
    ]
    ranked = sorted(appraisals, key=_best_first)
    fitted = _fit(ranked, market, policy)
    intents = tuple(
        HoldPair(a.pair, a.quantity, _until(a, market.instant, policy), a.reason.value)
        for a in sorted(fitted, key=lambda a: (a.verdict is not Verdict.CLOSE, _best_first(a)))
        if a.verdict in (Verdict.OPEN, Verdict.CLOSE)
    )
    return Decision(market.instant, intents, tuple(fitted))


def _appraise(
    market: PairMarket, portfolio: Portfolio, policy: CarryPolicy, instant: datetime
) -> Appraisal:
    held = portfolio.quantity(market.pair.name)
    excluded = exclusion(market, policy, instant)
    if excluded is not None:
        return _unknown(market, held, excluded)
    measured = _measure(market, held, policy)
    if held > ZERO:
        return _stay_or_leave(measured, held, policy)
    return _enter_or_pass(measured, policy)


def _unknown(market: PairMarket, held: Decimal, reason: Reason) -> Appraisal:
    last = market.settlements[-1].rate if market.settlements else None
    name = market.pair.name
    if held == ZERO:
        return Appraisal(name, Verdict.PASSED_OVER, reason, last_rate=last)
    delivered = market.pair.perp.delivery_at is not None
    if reason is Reason.NOT_TRADING and delivered:
        return Appraisal(name, Verdict.CLOSE, Reason.DELISTING, last_rate=last)
    return Appraisal(name, Verdict.HOLD, Reason.NOT_KNOWN, last_rate=last, quantity=held)


def _measure(market: PairMarket, held: Decimal, policy: CarryPolicy) -> Appraisal:
    """Return the numbers of an eligible pair; the verdict is provisional."""
    assert market.spot is not None
    assert market.perp is not None
    newest = market.settlements[-1]
    rate = expected_rate(market.settlements, policy.forecast_settlements)
    assert rate is not None
    fees = FeeRates(policy.spot_taker_fee, policy.perp_taker_fee)
    costs = round_trip(market.spot, market.perp, fees, policy.slippage_allowance)
    funding = rate * settlements_within(policy.hold, newest.interval)
    quantity, limit = (held, None) if held > ZERO else _size(market, policy)
    return Appraisal(
        pair=market.pair.name,
        verdict=Verdict.PASSED_OVER,
        reason=Reason.BELOW_MARGIN,
        last_rate=newest.rate,
        expected_rate=rate,
        interval=newest.interval,
        basis_rate=market.basis_rate,
        expected_funding=funding,
        costs=costs,
        value=funding - costs.total,
        break_even_settlements=_break_even(costs.total, rate),
        quantity=quantity,
        notional=quantity * market.perp.bid,
        binding_limit=limit,
    )


def _stay_or_leave(measured: Appraisal, held: Decimal, policy: CarryPolicy) -> Appraisal:
    """Leave when staying is expected to lose more than leaving and coming back costs."""
    assert measured.expected_funding is not None
    assert measured.costs is not None
    if measured.expected_funding < policy.exit_margin - leaving_and_returning(measured.costs):
        return replace(measured, verdict=Verdict.CLOSE, reason=Reason.WORTH_LEAVING, quantity=ZERO)
    return replace(measured, verdict=Verdict.HOLD, reason=Reason.WORTH_STAYING, quantity=held)


def _enter_or_pass(measured: Appraisal, policy: CarryPolicy) -> Appraisal:
    assert measured.expected_rate is not None
    assert measured.value is not None
    settlements = measured.break_even_settlements
    if measured.expected_rate <= ZERO or settlements is None:
        return replace(measured, reason=Reason.LONGS_ARE_PAID)
    if settlements > policy.break_even_limit_settlements:
        return replace(measured, reason=Reason.BREAK_EVEN_TOO_FAR)
    if measured.value < policy.entry_margin:
        return replace(measured, reason=Reason.BELOW_MARGIN)
    if measured.quantity == ZERO:
        return replace(measured, reason=Reason.TOO_SMALL)
    return replace(measured, verdict=Verdict.OPEN, reason=Reason.WORTH_OPENING)


def _size(market: PairMarket, policy: CarryPolicy) -> tuple[Decimal, str]:
    """Return the target in base units and the limit that binds it."""
    assert market.spot is not None
    assert market.perp is not None
    price = market.spot.ask
    limits = {
        "pair_notional": policy.pair_notional / price,
        "spot_depth": market.spot.ask_size * policy.depth_share,
        "perp_depth": market.perp.bid_size * policy.depth_share,
        "max_order": min(market.pair.spot.max_quantity, market.pair.perp.max_quantity),
    }
    binding = min(limits, key=lambda name: (limits[name], name))
    quantity = floor_to(limits[binding], market.pair.common_lot)
    smallest = max(market.pair.spot.min_quantity, market.pair.perp.min_quantity)
    least = max(market.pair.spot.min_notional, market.pair.perp.min_notional)
    if quantity < smallest or quantity * market.perp.bid < least:
        return ZERO, binding
    return quantity, binding


def _fit(
    ranked: Sequence[Appraisal], market: MarketSnapshot, policy: CarryPolicy
) -> list[Appraisal]:
    """Give the room under the gross limit to the best; who finds none is passed over."""
    kept = [a for a in ranked if a.verdict is Verdict.HOLD]
    gross = sum((_gross(a, market) for a in kept), ZERO)
    count = len(kept)
    fitted = []
    for appraisal in ranked:
        if appraisal.verdict is Verdict.OPEN:
            if count >= policy.max_pairs or gross + _gross(appraisal, market) > (
                policy.gross_notional
            ):
                limit = "max_pairs" if count >= policy.max_pairs else "gross_notional"
                appraisal = replace(
                    appraisal,
                    verdict=Verdict.PASSED_OVER,
                    reason=Reason.NO_ROOM,
                    quantity=ZERO,
                    binding_limit=limit,
                )
            else:
                gross += _gross(appraisal, market)
                count += 1
        fitted.append(appraisal)
    return fitted


def _gross(appraisal: Appraisal, market: MarketSnapshot) -> Decimal:
    mark = market.pairs[appraisal.pair].mark_price
    return ZERO if mark is None else appraisal.quantity * mark


def _break_even(cost: Decimal, rate: Decimal) -> int | None:
    """Return after how many settlements at ``rate`` the cost is earned, rounded up."""
    if rate <= ZERO:
        return None
    return int(ratio(cost, rate).to_integral_value(ROUND_CEILING))


def _best_first(appraisal: Appraisal) -> tuple[bool, Decimal, str]:
    known = appraisal.value is not None
    return (not known, -(appraisal.value or ZERO), appraisal.pair)


def _until(appraisal: Appraisal, instant: datetime, policy: CarryPolicy) -> datetime | None:
    return instant + policy.hold if appraisal.verdict is Verdict.OPEN else None
