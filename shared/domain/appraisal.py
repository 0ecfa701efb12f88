"""One pair by itself: its numbers, its own limits, and what would be done with it alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from shared.domain.conviction import Parts, parts_of
from shared.domain.costs import (
    BreakEven,
    FeeRates,
    RoundTrip,
    break_even,
    break_even_shorter,
    capacity,
    leaving_and_returning,
    round_trip,
)
from shared.domain.depth import depth_of
from shared.domain.exits import (
    Outlook,
    is_paid_soon,
    is_too_late_to_enter,
    is_worth_leaving,
    minimum_hold,
)
from shared.domain.funding import expected_rate, settlements_within
from shared.domain.margin import tail_reserve_rate
from shared.domain.market import PairMarket, basis_of
from shared.domain.money import ONE, ZERO, ratio
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Holding, Portfolio
from shared.domain.signals import Signals, share_below, standing
from shared.domain.sizing import kelly_share, size_within
from shared.domain.universe import Reason, exclusion, newcomer_exclusion


class Verdict(StrEnum):
    """What the decision does with one pair."""

    OPEN = "open"
    HOLD = "hold"
    CLOSE = "close"
    PASSED_OVER = "passed_over"


@dataclass(frozen=True, slots=True)
class Appraisal:
    """One pair's verdict with the numbers behind it; None where a number is missing.

    Rates are per interval; ``expected_funding``, its ``funding_error``, ``costs`` and ``value`` are
    fractions of notional over the policy's hold; ``return_on_capital`` is the value over all the
    capital that the hold binds. ``basis_percentile`` is where the basis of now stands among those
    of the past, 0 to 1. ``quantity`` is the target in base units and ``limits`` what each
    limit allows, in base units too; ``capacity`` is the largest size that breaks even in time, and
    more when the known levels end before (``capacity_is_open``). ``reserve_rate`` is the cash kept
    per unit of notional. ``hold_left`` is how many settlements are missing until a held pair has
    earned its costs; ``liquidation_up`` the rise of its price, as a fraction, at which the account
    is liquidated.
    """

    pair: str
    verdict: Verdict
    reason: Reason
    last_rate: Decimal | None = None
    expected_rate: Decimal | None = None
    interval: timedelta | None = None
    basis_rate: Decimal | None = None
    basis_percentile: Decimal | None = None
    expected_funding: Decimal | None = None
    funding_error: Decimal | None = None
    costs: RoundTrip | None = None
    value: Decimal | None = None
    return_on_capital: Decimal | None = None
    break_even: BreakEven | None = None
    break_even_shorter: BreakEven | None = None
    loss_probability: Decimal | None = None
    conviction: Decimal | None = None
    parts: Parts | None = None
    kelly: Decimal | None = None
    reserve_rate: Decimal | None = None
    hold_left: int | None = None
    signals: Signals | None = None
    quantity: Decimal = ZERO
    notional: Decimal | None = None
    binding_limit: str | None = None
    limits: Mapping[str, Decimal] = field(default_factory=dict)
    liquidation_up: Decimal | None = None
    capacity: Decimal | None = None
    capacity_is_open: bool = False

    @property
    def break_even_settlements(self) -> int | None:
        """After how many settlements the costs are earned; None: never, or not known."""
        return None if self.break_even is None else self.break_even.settlements


def appraise(
    market: PairMarket, portfolio: Portfolio, policy: CarryPolicy, instant: datetime
) -> Appraisal:
    """Return what would be done with the pair if there were no other."""
    holding = portfolio.holdings.get(market.pair.name)
    held = ZERO if holding is None else holding.quantity
    excluded = exclusion(market, policy, instant)
    if excluded is not None:
        return _unknown(market, held, excluded, policy)
    if holding is not None:
        measured = _measured(market, policy, holding)
        return _stay_or_leave(measured, market, policy, instant)
    return _enter_or_pass(_measured(market, policy), market, policy, instant)


def _unknown(market: PairMarket, held: Decimal, reason: Reason, policy: CarryPolicy) -> Appraisal:
    last = market.settlements[-1].rate if market.settlements else None
    name = market.pair.name
    if held == ZERO:
        return Appraisal(name, Verdict.PASSED_OVER, reason, last_rate=last)
    delivered = market.pair.perp.delivery_at is not None
    if reason is Reason.NOT_TRADING and delivered:
        return Appraisal(name, Verdict.CLOSE, Reason.DELISTING, last_rate=last)
    return Appraisal(
        name,
        Verdict.HOLD,
        Reason.NOT_KNOWN,
        last_rate=last,
        reserve_rate=_reserve_rate(market, policy),
        quantity=held,
    )


def _measured(market: PairMarket, policy: CarryPolicy, holding: Holding | None = None) -> Appraisal:
    """Return the numbers of an eligible pair; the verdict is provisional."""
    spot, perp, signals = market.spot, market.perp, market.signals
    assert spot is not None
    assert perp is not None
    assert signals is not None
    newest = market.settlements[-1]
    rate = _rate(market, signals, policy)
    settlements = settlements_within(policy.hold, newest.interval)
    own = _own_limits(market, policy)
    quantity = min(own.values()) if holding is None else holding.quantity
    fees = FeeRates(policy.spot_taker_fee, policy.perp_taker_fee)
    assert signals.hold_error is not None
    assert signals.hold_outcomes is not None
    assert signals.basis is not None
    assert signals.basis_usual is not None
    assert signals.basis_levels is not None
    allowance = policy.slippage_allowance
    costs = round_trip(spot, perp, fees, allowance, signals.basis_usual, quantity)
    funding = rate * settlements
    basis = basis_of(spot.mid_price, perp.mid_price)
    # What is held has paid for its way in; what a newcomer risks is all of it. The outcomes count
    # what the basis falls from its level at the settlement: what it has risen since comes on top.
    at_stake = (costs.trading if holding is None else ZERO) - (basis - signals.basis)
    reserve = _reserve_rate(market, policy)
    assert reserve is not None
    value = funding - costs.total
    return Appraisal(
        pair=market.pair.name,
        verdict=Verdict.PASSED_OVER,
        reason=Reason.BELOW_MARGIN,
        last_rate=newest.rate,
        expected_rate=rate,
        interval=newest.interval,
        basis_rate=basis,
        basis_percentile=standing(signals.basis_levels, basis),
        expected_funding=funding,
        funding_error=signals.hold_error * settlements,
        costs=costs,
        value=value,
        return_on_capital=ratio(value, ONE + policy.maintenance_rate + reserve),
        break_even=break_even(costs.total, rate, newest.interval),
        break_even_shorter=break_even_shorter(costs.total, rate, newest.interval),
        loss_probability=share_below(signals.hold_outcomes, at_stake),
        reserve_rate=reserve,
        hold_left=None if holding is None else _hold_left(market, holding, costs, rate, policy),
        signals=signals,
        quantity=quantity,
        notional=quantity * perp.bid,
        limits=own,
    )


def _reserve_rate(market: PairMarket, policy: CarryPolicy) -> Decimal | None:
    """Return the cash to keep per unit of notional; None when the worst rate is not known."""
    worst = None if market.signals is None else market.signals.worst_rate
    if worst is None or not market.settlements:
        return None
    intervals = ratio(_us(policy.unwind_time), _us(market.settlements[-1].interval))
    return tail_reserve_rate(worst, intervals, policy.unwind_slippage)


def _rate(market: PairMarket, signals: Signals, policy: CarryPolicy) -> Decimal:
    """Return the mean rate expected over the hold; a forecast without skill is not used."""
    plain = expected_rate(market.settlements, policy.forecast_settlements)
    assert plain is not None
    assert signals.hold_mean is not None
    return signals.hold_mean if signals.has_skill else plain


def _hold_left(
    market: PairMarket, holding: Holding, costs: RoundTrip, rate: Decimal, policy: CarryPolicy
) -> int:
    """Return how long the pair still has to be held; settlements not shown count for nothing."""
    earned = sum((s.rate for s in market.settlements if s.settled_at > holding.since), ZERO)
    paid = leaving_and_returning(costs)
    return minimum_hold(paid, earned, rate, policy.break_even_limit_settlements)


def _stay_or_leave(
    measured: Appraisal, market: PairMarket, policy: CarryPolicy, instant: datetime
) -> Appraisal:
    """Leave when staying is expected to lose more than leaving and coming back costs (S3)."""
    signals = measured.signals
    assert signals is not None
    assert measured.costs is not None
    assert measured.expected_rate is not None
    assert measured.interval is not None
    assert signals.exit_mean is not None
    assert signals.exit_error is not None
    assert signals.hold_error is not None
    assert signals.next_mean is not None
    hold = settlements_within(policy.hold, measured.interval)
    outlooks = (
        Outlook(min(hold, policy.exit_settlements), signals.exit_mean, signals.exit_error),
        Outlook(hold, measured.expected_rate, signals.hold_error),
    )
    cost = leaving_and_returning(measured.costs) - policy.exit_margin
    if not is_worth_leaving(outlooks, cost, policy.exit_confidence):
        return replace(measured, verdict=Verdict.HOLD, reason=Reason.WORTH_STAYING)
    coming = signals.next_mean if market.predicted_rate is None else market.predicted_rate
    if is_paid_soon(market.next_funding_at, instant, coming, policy.payment_wait):
        return replace(measured, verdict=Verdict.HOLD, reason=Reason.PAID_SOON)
    return replace(measured, verdict=Verdict.CLOSE, reason=Reason.WORTH_LEAVING, quantity=ZERO)


def _enter_or_pass(
    measured: Appraisal, market: PairMarket, policy: CarryPolicy, instant: datetime
) -> Appraisal:
    sized = _sized(measured, market, policy)
    assert sized.expected_rate is not None
    assert sized.value is not None
    assert sized.loss_probability is not None
    assert sized.basis_percentile is not None
    settlements = sized.break_even_settlements
    if (excluded := newcomer_exclusion(market)) is not None:
        return replace(sized, reason=excluded)
    if sized.expected_rate <= ZERO or settlements is None:
        return replace(sized, reason=Reason.LONGS_ARE_PAID)
    if settlements > policy.break_even_limit_settlements:
        return replace(sized, reason=Reason.BREAK_EVEN_TOO_FAR)
    if sized.value < policy.entry_margin:
        return replace(sized, reason=Reason.BELOW_MARGIN)
    if sized.basis_percentile < policy.basis_percentile_min:
        return replace(sized, reason=Reason.BASIS_LOW)
    if sized.loss_probability > policy.loss_probability_max:
        return replace(sized, reason=Reason.LOSS_TOO_LIKELY)
    if is_too_late_to_enter(market.next_funding_at, instant, policy.entry_lead):
        return replace(sized, reason=Reason.SETTLEMENT_NEAR)
    if sized.quantity == ZERO:
        return replace(sized, reason=Reason.TOO_SMALL)
    return replace(sized, verdict=Verdict.OPEN, reason=Reason.WORTH_OPENING)


def _sized(measured: Appraisal, market: PairMarket, policy: CarryPolicy) -> Appraisal:
    """Return the appraisal with conviction, and with the least of all limits of its own as size."""
    signals, costs, value = measured.signals, measured.costs, measured.value
    assert signals is not None
    assert costs is not None
    assert value is not None
    assert measured.loss_probability is not None
    assert market.spot is not None
    assert market.perp is not None
    assert signals.persistence is not None
    assert signals.slope is not None
    assert signals.slope_p is not None
    assert signals.z_score is not None
    assert signals.hold_deviation is not None
    assert signals.basis_usual is not None
    parts = parts_of(
        value=value,
        cost=costs.total,
        persistence=signals.persistence,
        slope=signals.slope,
        slope_p=signals.slope_p,
        z_score=signals.z_score,
        loss_probability=measured.loss_probability,
    )
    conviction = parts.weighed(policy.weights)
    share = kelly_share(
        value, signals.hold_deviation**2, policy.kelly_fraction, policy.kelly_cap, conviction
    )
    assert measured.expected_rate is not None
    most, is_open = capacity(
        depth_of(market.spot),
        depth_of(market.perp),
        FeeRates(policy.spot_taker_fee, policy.perp_taker_fee),
        policy.slippage_allowance,
        signals.basis_usual,
        measured.expected_rate,
        policy.break_even_limit_settlements,
        market.pair.common_lot,
    )
    limits = {**measured.limits, "kelly": ratio(share * policy.capital, market.spot.ask)}
    size = size_within(limits, market.pair, (market.perp.bid, market.perp.bid))
    return replace(
        measured,
        parts=parts,
        conviction=conviction,
        kelly=share,
        limits=limits,
        quantity=size.quantity,
        notional=size.quantity * market.perp.bid,
        binding_limit=size.binding_limit,
        capacity=most,
        capacity_is_open=is_open,
    )


def _own_limits(market: PairMarket, policy: CarryPolicy) -> dict[str, Decimal]:
    """Return what the pair by itself allows, base units; an opening buys spot and sells perps."""
    assert market.spot is not None
    assert market.perp is not None
    spot, perp = depth_of(market.spot), depth_of(market.perp)
    return {
        "pair_notional": policy.pair_notional / market.spot.ask,
        "spot_depth": sum((size for _, size in spot.asks), ZERO) * policy.depth_share,
        "perp_depth": sum((size for _, size in perp.bids), ZERO) * policy.depth_share,
        "max_order": min(market.pair.spot.max_quantity, market.pair.perp.max_quantity),
    }


def _us(duration: timedelta) -> Decimal:
    return Decimal(duration // timedelta(microseconds=1))
