"""The exact back-test: history through the same core, against the venue's own rules.

At each full hour T: what settles at T is paid on the position held, at the mark of the hour that
ends there. At T + 60 s books and marks move to that hour's closes, and the core decides; its orders
meet the book at once. A rate or a price is seen at its instant, never before.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from services.backtest.assumptions import Assumptions
from services.backtest.holdings import STABLE, Holdings
from services.backtest.products import pairs
from services.backtest.quotes import Quotes
from services.backtest.result import BookedFill as BookedFill
from services.backtest.result import EquityPoint as EquityPoint
from services.backtest.result import Liquidation, Membership
from services.backtest.result import RunResult as RunResult
from services.backtest.result import Skip as Skip
from services.backtest.stress import fuller
from services.backtest.timeline import QUOTES_AFTER as QUOTES_AFTER
from services.backtest.timeline import Timeline, instant_of, ms_of, settlement_of
from services.backtest.timeline import coverage as coverage
from shared.analytics.deciding import Statistician
from shared.domain.errors import InvariantViolation
from shared.domain.events import PairSettled, TargetSet
from shared.domain.execution import Finish, Outcome, PlanProgress, Send, advance, first_leg
from shared.domain.instrument import Category
from shared.domain.intents import HoldPair
from shared.domain.market import BasisLevel, MarketSnapshot, Quote, basis_of
from shared.domain.money import ONE, ZERO, floor_to
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.portfolio import Portfolio, apply
from shared.domain.position import PairPosition
from shared.domain.risk import RiskLimits, Stake, adds_risk, admit, review
from shared.domain.strategy import Appraisal, Decision, Verdict, decide
from shared.domain.view import MarketView, PerpPrices
from shared.history.records import Bar, History, Settlement
from shared.history.rules import ProductRules, venue_rule
from shared.venue.enforcement import deliver, enforce_margin, settled_equity
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from shared.venue.rules import Refused as VenueRefused

HOUR: Final = timedelta(hours=1)
STEPS_MAX: Final = 20
NAN: Final = float("nan")

Progress = Callable[[int, int], None]
Chooser = Callable[[Portfolio, MarketSnapshot, CarryPolicy], Decision]
"""Says what to hold, as ``decide`` does; whoever wants to trade another rule brings one."""


def run_carry(
    history: History,
    products: Iterable[ProductRules],
    policy: CarryPolicy,
    limits: RiskLimits,
    execution: ExecutionPolicy,
    *,
    deposit: Decimal,
    start: datetime,
    end: datetime,
    progress: Progress | None = None,
    assumptions: Assumptions | None = None,
    chooser: Chooser = decide,
) -> RunResult:
    """Return what the carry policy would have done with ``deposit`` USDT in [start, end).

    Raises: InvariantViolation when the parts of the profit do not add up to the last digit;
        MalformedHistory when a pair lacks an hour or a settlement inside the run, unless gaps are
        allowed.
    """
    given = assumptions or Assumptions()
    run = _Run(
        history, tuple(products), policy, limits, execution, deposit, start, end, given, chooser
    )
    hours = run.hours()
    for count, at_ms in enumerate(hours):
        run.hour(at_ms)
        if run.is_over:
            break
        if progress is not None and count % 100 == 0:
            progress(count, len(hours))
    if progress is not None and not run.is_over:
        progress(len(hours), len(hours))
    return run.finish()


class _Run:
    def __init__(
        self,
        history: History,
        products: tuple[ProductRules, ...],
        policy: CarryPolicy,
        limits: RiskLimits,
        execution: ExecutionPolicy,
        deposit: Decimal,
        start: datetime,
        end: datetime,
        assumptions: Assumptions,
        chooser: Chooser,
    ) -> None:
        self._chooser = chooser
        self._assumptions = assumptions
        self._tiers = list(assumptions.tiers)
        self._policy, self._limits, self._execution = policy, limits, execution
        self._start_ms = ms_of(start)
        self._pairs = {p.name: p for p in pairs(products, history.symbols)}
        self._products = {(p.category, p.symbol): p for p in products}
        self._timeline = Timeline(history, self._pairs, self._start_ms, ms_of(end))
        rules = [venue_rule(p) for p in products if p.symbol in self._pairs]
        self._venue = Exchange(rules, {STABLE: deposit}, self._start_ms)
        self._quotes = Quotes(self._venue, self._products)
        self._view = MarketView(
            self._pairs.values(), policy.settlements_most, policy.forecast_settlements
        )
        self._statistician = Statistician(self._view, policy)
        self._portfolio = Portfolio()
        self._held = Holdings(self._venue, self._pairs, deposit)
        self._positions = self._held.positions
        self._delivered: set[str] = set()
        self._result = RunResult(start, end, deposit, fills=self._held.fills)
        self._know_the_past()

    @property
    def is_over(self) -> bool:
        """Whether the account was liquidated and the run is to end there."""
        return bool(self._result.liquidations) and not self._assumptions.goes_on

    def hours(self) -> list[int]:
        """Return the full hours of the run, having counted or refused what is missing of them."""
        self._result.gaps = self._timeline.gaps(allowed=self._assumptions.allow_gaps)
        return self._timeline.hours()

    def hour(self, at_ms: int) -> None:
        """Settle at the full hour, then move the market, decide and trade a minute later."""
        self._settle(at_ms)
        instant = instant_of(at_ms) + QUOTES_AFTER
        self._venue.advance(ms_of(instant))
        self._charge(instant)
        self._admit(at_ms, instant)
        for name in self._timeline.quoted(at_ms):
            self._quote(name, self._timeline.bars[name][at_ms], at_ms, instant)
        self._enforce_margin(instant)
        if not self.is_over:
            self._decide(instant)
        self._mark(instant)

    def _charge(self, instant: datetime) -> None:
        """Take over the fees of the tier that has begun."""
        while self._tiers and self._tiers[0].since <= instant:
            tier = self._tiers.pop(0)
            for key, rule in self._venue.rules.items():
                fees = tier.spot if key[0] == "spot" else tier.linear
                changed = replace(rule, taker_fee=fees.taker, maker_fee=fees.maker)
                self._venue.rules[key] = changed
            self._policy = replace(
                self._policy, spot_taker_fee=tier.spot.taker, perp_taker_fee=tier.linear.taker
            )

    def _admit(self, at_ms: int, instant: datetime) -> None:
        """Let pairs join with their first bar and leave behind their last."""
        listed = self._timeline.universe(at_ms)
        if not self._result.universe or self._result.universe[-1].pairs != listed:
            self._result.universe.append(Membership(instant, listed))
        for name, position in self._positions.items():
            if position != PairPosition() and self._timeline.has_ended(name, at_ms):
                self._delist(name, instant)

    def _delist(self, name: str, instant: datetime) -> None:
        """Close, once, what is left of a pair that is quoted no more: at its last mark and book.

        A rest of the coin that the venue takes no order for stays ours.
        """
        if name in self._delivered:
            return
        if self._positions[name].perp_quantity == ZERO == self._sellable(name):
            return
        self._delivered.add(name)
        deliver(self._venue, name)
        self._held.book(instant)
        self._sell(name, self._sellable(name), instant)
        self._result.delisted.append((name, instant))
        self._portfolio = apply(self._portfolio, PairSettled(name, ZERO, instant))

    def _sellable(self, name: str) -> Decimal:
        """Return how much of the coin that a pair owns can be sold, in whole steps."""
        step = self._products["spot", name].step
        return floor_to(max(ZERO, self._positions[name].spot_quantity), step)

    def _sell(self, name: str, quantity: Decimal, instant: datetime) -> None:
        """Sell spot at the book that stands; what it does not take, or is too little, is kept."""
        if quantity > ZERO:
            self._quotes.deepen(name)
            try:
                self._venue.place(OrderRequest("spot", name, "Sell", "Market", quantity))
            except VenueRefused as error:
                self._count_refusal(error)
            self._held.book(instant)

    def _enforce_margin(self, instant: datetime) -> None:
        """Let the venue liquidate when the account is due for it, and sell what stays unhedged."""
        venue = self._venue
        worth = sum((abs(p.size) * venue.marks[p.symbol] for p in venue.positions.values()), ZERO)
        # Reckoning the margin takes longer than the rest of an hour, and cash alone mostly does.
        if not worth or settled_equity(venue) >= worth:
            return
        before, booked = self._held.equity(self._view.markets), len(self._result.fills)
        if not enforce_margin(venue):
            return
        self._held.book(instant)
        for name, position in self._positions.items():
            bare = floor_to(max(ZERO, position.net_delta), self._products["spot", name].step)
            self._sell(name, min(bare, self._sellable(name)), instant)
            held = abs(self._positions[name].perp_quantity)
            if self._portfolio.quantity(name) != held:
                self._portfolio = apply(self._portfolio, TargetSet(name, held, instant))
                self._portfolio = apply(self._portfolio, PairSettled(name, held, instant))
        after = self._held.equity(self._view.markets)
        if after > before:
            raise InvariantViolation(
                f"a liquidation made {after - before} USDT at {instant.isoformat()}"
            )
        taken = tuple(self._result.fills[booked:])
        self._result.liquidations.append(Liquidation(instant, taken, before, after))

    def finish(self) -> RunResult:
        self._result.ended_by_liquidation = self.is_over
        self._result.held_at_end = {
            name: p.perp_quantity for name, p in self._positions.items() if p.perp_quantity
        }
        return self._result

    def _know_the_past(self) -> None:
        for name in self._pairs:
            for settled in self._timeline.before(name):
                self._settled(name, settled)

    def _settle(self, at_ms: int) -> None:
        if at_ms == self._start_ms:
            return
        self._venue.advance(at_ms)
        for name in self._pairs:
            settled = self._timeline.settlement(name, at_ms)
            if settled is None:
                continue
            bar = self._timeline.bars[name].get(at_ms)
            if bar is not None:
                self._venue.set_mark(name, bar.mark, bar.spot)
                self._pay(name, settled.rate)
            elif self._positions[name].perp_quantity:
                self._result.unpaid += 1
            self._settled(name, settled)

    def _settled(self, name: str, settled: Settlement) -> None:
        """Show the core what settled, and the basis of the hour that ends there."""
        self._view.settled(settlement_of(name, settled))
        bar = self._timeline.bars[name].get(settled.at_ms)
        if bar is not None:
            level = basis_of(bar.spot, bar.perp)
            self._view.levelled(BasisLevel(name, instant_of(settled.at_ms), level))

    def _pay(self, name: str, rate: Decimal) -> None:
        received = self._held.pay(name, rate)
        if received is not None:
            self._result.settlements += 1
            by_pair = self._result.funding_by_pair
            by_pair[name] = by_pair.get(name, ZERO) + received

    def _quote(self, name: str, bar: Bar, at_ms: int, instant: datetime) -> None:
        self._venue.set_mark(name, bar.mark, bar.spot)
        prices = PerpPrices(
            bar.mark, bar.spot, None, *self._timeline.next_funding(name, at_ms), instant
        )
        for category, close in ((Category.SPOT, bar.spot), (Category.LINEAR, bar.perp)):
            bids, asks = self._quotes.show(category, name, close)
            quote = Quote(bids[0][0], bids[0][1], asks[0][0], asks[0][1], instant)
            self._view.quoted(
                category, name, quote, prices if category is Category.LINEAR else None
            )

    def _decide(self, instant: datetime) -> None:
        self._statistician.tell_all()
        known = self._view.snapshot(instant)
        listed = self._result.universe[-1].pairs
        market = replace(known, pairs={name: known.pairs[name] for name in listed})
        decision = self._chooser(self._portfolio, market, self._policy)
        for appraisal in decision.appraisals:
            if appraisal.verdict is Verdict.PASSED_OVER:
                self._skip(appraisal, instant)
        for intent in decision.intents:
            self._result.targets.append((intent.pair, intent.quantity, instant))
            self._portfolio = apply(
                self._portfolio, TargetSet(intent.pair, intent.quantity, instant)
            )
        for intent in decision.intents:
            self._carry_out(intent, market, instant)

    def _skip(self, appraisal: Appraisal, instant: datetime) -> None:
        reason, costs = appraisal.reason.value, appraisal.costs
        counts = self._result.passed_over
        counts[reason] = counts.get(reason, 0) + 1
        cost = NAN if costs is None else float(costs.fees + costs.slippage)
        self._result.skips.append(Skip(appraisal.pair, reason, ms_of(instant), cost))

    def _carry_out(self, intent: HoldPair, market: MarketSnapshot, instant: datetime) -> None:
        name = intent.pair
        held = abs(self._positions[name].perp_quantity)
        of = market.pairs[name]
        refused = review(intent, of, held, self._limits, instant, fresh=True)
        if refused is None and adds_risk(intent, of, held):
            refused = admit(self._stake(intent, held, market), self._limits)
        if refused is not None:
            reason = refused.reason.value
            self._result.refused[reason] = self._result.refused.get(reason, 0) + 1
        else:
            self._trade(intent, market, instant, opening=intent.quantity > held)
        now = abs(self._positions[name].perp_quantity)
        self._portfolio = apply(self._portfolio, PairSettled(name, now, instant))

    def _stake(self, intent: HoldPair, held: Decimal, market: MarketSnapshot) -> Stake:
        """Return what is at stake; a throttle needs a person to lift it: there is none."""
        mark = market.pairs[intent.pair].mark_price
        assert mark is not None
        gross = (intent.quantity - held) * mark
        for other, position in self._positions.items():
            gross += abs(position.perp_quantity) * self._venue.marks.get(other, ZERO)
        return Stake(
            pair_notional=intent.quantity * mark,
            gross_notional=gross,
            unpriced=(),
            needed=(intent.quantity - held) * mark * (ONE + self._limits.collar),
            free=self._venue.wallet.get(STABLE, ZERO),
            orders=self._orders_since(market.instant - HOUR),
            plans=0,
            round_trips=0,
            fees=ZERO,
            rejects=0,
            day_loss=ZERO,
        )

    def _orders_since(self, at: datetime) -> int:
        """Return how many orders the venue took after ``at``; here the venue's time is ours."""
        count = 0
        for order in reversed(self._venue.orders):
            if order.created_ms <= ms_of(at):
                break
            count += 1
        return count

    def _trade(
        self, intent: HoldPair, market: MarketSnapshot, instant: datetime, *, opening: bool
    ) -> None:
        name = intent.pair
        of = market.pairs[name]
        fee = self._venue.rules["spot", name].taker_fee
        position = self._positions[name]
        plan = PlanProgress(
            intent.quantity,
            first_leg(of, opening=opening),
            position.spot_quantity,
            position.perp_quantity,
        )
        for _ in range(STEPS_MAX):
            command = advance(plan, of, self._execution, fee)
            if isinstance(command, Finish):
                if command.outcome is Outcome.BROKEN:
                    raise InvariantViolation(f"{name} could not be hedged at {instant.isoformat()}")
                self._result.opened += int(opening and command.outcome is Outcome.HEDGED)
                self._result.closed += int(not opening and command.outcome is Outcome.FLAT)
                return
            if not isinstance(command, Send):
                raise InvariantViolation(f"{name}: {command} inside a back-test")
            self._place(name, command, instant)
            position = self._positions[name]
            plan = PlanProgress(
                plan.target,
                plan.first,
                position.spot_quantity,
                position.perp_quantity,
                (*plan.tries, command.purpose),
            )
        raise InvariantViolation(f"{name}: a plan did not end within {STEPS_MAX} steps")

    def _place(self, name: str, send: Send, instant: datetime) -> None:
        self._quotes.deepen(name)
        try:
            self._venue.place(
                OrderRequest(
                    category=send.leg.category.value,
                    symbol=name,
                    side=send.side.value,
                    order_type="Limit",
                    qty=send.quantity,
                    price=send.limit_price,
                    reduce_only=send.reduce_only,
                )
            )
        except VenueRefused as error:
            self._count_refusal(error)
        self._held.book(instant)

    def _count_refusal(self, error: VenueRefused) -> None:
        key = f"venue {error.code}"
        self._result.refused[key] = self._result.refused.get(key, 0) + 1

    def _mark(self, instant: datetime) -> None:
        self._result.fullest = fuller(
            self._result.fullest, instant, self._venue, self._positions, self._policy
        )
        self._result.curve.append(self._held.point(instant, self._view.markets))
