"""The exact back-test: history through the same core, against the venue's own rules.

At each full hour T: what settles at T is paid on the position held, at the mark of the hour that
ends there. At T + 60 s books and marks move to that hour's closes, and the core decides; its orders
meet the book at once. A rate or a price is seen at its instant, never before.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from services.backtest.products import pairs
from shared.analytics.deciding import Statistician
from shared.domain.errors import InvariantViolation, Misconfigured
from shared.domain.events import PairSettled, TargetSet
from shared.domain.execution import Finish, Outcome, PlanProgress, Send, advance, first_leg
from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Category
from shared.domain.intents import HoldPair
from shared.domain.market import MarketSnapshot, Quote
from shared.domain.money import ONE, ZERO
from shared.domain.order import Fill, Leg, Side
from shared.domain.policy import CarryPolicy, ExecutionPolicy
from shared.domain.portfolio import Portfolio, apply
from shared.domain.position import PairPosition, after_fill
from shared.domain.risk import RiskLimits, Stake, adds_risk, admit, review
from shared.domain.strategy import Verdict, decide
from shared.domain.view import MarketView, PerpPrices
from shared.history.records import HOUR_MS, Bar, History, MalformedHistory, Settlement
from shared.history.rules import ProductRules, venue_rule
from shared.venue.books import book_around
from shared.venue.enforcement import settled_equity
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from shared.venue.rules import Refused as VenueRefused

QUOTES_AFTER: Final = timedelta(seconds=60)
HOUR: Final = timedelta(hours=1)
STABLE: Final = "USDT"
STEPS_MAX: Final = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BookedFill:
    """One fill with the pair and the decision it came of."""

    pair: str
    decided_at: datetime
    fill: Fill


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The account at one instant, USDT: worth, and what made it since the start; fees are paid."""

    at: datetime
    equity: Decimal
    funding: Decimal
    fees: Decimal
    basis: Decimal


@dataclass
class RunResult:
    """What a run said and did. ``targets`` are (pair, base quantity, venue instant)."""

    start: datetime
    end: datetime
    deposit: Decimal
    targets: list[tuple[str, Decimal, datetime]] = field(default_factory=list)
    fills: list[BookedFill] = field(default_factory=list)
    curve: list[EquityPoint] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    funding_by_pair: dict[str, Decimal] = field(default_factory=dict)
    settlements: int = 0
    opened: int = 0
    closed: int = 0
    held_at_end: dict[str, Decimal] = field(default_factory=dict)

    @property
    def net(self) -> Decimal:
        """Equity at the end minus the deposit, with open pairs marked, USDT."""
        return self.curve[-1].equity - self.deposit if self.curve else ZERO


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
) -> RunResult:
    """Return what the carry policy would have done with ``deposit`` USDT in [start, end).

    Raises: InvariantViolation when the parts of the profit do not add up to the last digit;
        MalformedHistory when a pair lacks an hour inside the run; Misconfigured when the venue
        would liquidate the account.
    """
    run = _Run(history, tuple(products), policy, limits, execution, deposit, start, end)
    hours = run.hours()
    for count, at_ms in enumerate(hours):
        run.hour(at_ms)
        if progress is not None and count % 100 == 0:
            progress(count, len(hours))
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
    ) -> None:
        self._history = history
        self._policy, self._limits, self._execution = policy, limits, execution
        self._start_ms, self._end_ms = _ms(start), _ms(end)
        self._pairs = {p.name: p for p in pairs(products, history.symbols)}
        self._products = {(p.category, p.symbol): p for p in products}
        self._bars = {
            name: {bar.at_ms: bar for bar in history.symbols[name].bars} for name in self._pairs
        }
        self._stamps = {
            name: [s.at_ms for s in history.symbols[name].settlements] for name in self._pairs
        }
        rules = [venue_rule(p) for p in products if p.symbol in self._pairs]
        self._venue = Exchange(rules, {STABLE: deposit}, self._start_ms)
        self._view = MarketView(
            self._pairs.values(), policy.settlements_most, policy.forecast_settlements
        )
        self._statistician = Statistician(self._view, policy)
        self._portfolio = Portfolio()
        self._positions = {name: PairPosition() for name in self._pairs}
        self._seen_fills = 0
        self._funding, self._fees, self._base_fees = ZERO, ZERO, ZERO
        self._result = RunResult(start, end, deposit)
        self._know_the_past()

    def hours(self) -> list[int]:
        """Return the full hours with a bar of every pair whose instant lies in the run."""
        instants = set.intersection(*(set(bars) for bars in self._bars.values()))
        after = int(QUOTES_AFTER.total_seconds()) * 1000
        hours = sorted(t for t in instants if self._start_ms <= t and t + after < self._end_ms)
        for known, following in pairwise(hours):
            if following != known + HOUR_MS:
                raise MalformedHistory(
                    f"an hour is missing after {_instant(known).isoformat()}: a position held "
                    "over it could not be paid; import it, or run up to it"
                )
        return hours

    def hour(self, at_ms: int) -> None:
        """Settle at the full hour, then move the market, decide and trade a minute later."""
        self._settle(at_ms)
        instant = _instant(at_ms) + QUOTES_AFTER
        self._venue.advance(_ms(instant))
        for name in self._pairs:
            self._quote(name, self._bars[name][at_ms], at_ms, instant)
        self._require_margin(instant)
        self._decide(instant)
        self._mark(instant)

    def _require_margin(self, instant: datetime) -> None:
        """Raise Misconfigured when the venue would liquidate: the rest would be another run."""
        venue = self._venue
        worth = sum((abs(p.size) * venue.marks[p.symbol] for p in venue.positions.values()), ZERO)
        # Reckoning the margin takes longer than the rest of an hour, and cash alone mostly does.
        if worth and settled_equity(venue) < worth:
            margin = venue.margin()
            if margin.is_exhausted:
                raise Misconfigured(
                    f"the account is liquidated at {instant.isoformat()}: maintenance "
                    f"{margin.maintenance:.2f} of a margin of {margin.balance:.2f} USDT; allow "
                    "less [limits] gross_notional or give a greater --deposit"
                )

    def finish(self) -> RunResult:
        self._result.held_at_end = {
            name: p.perp_quantity for name, p in self._positions.items() if p.perp_quantity
        }
        return self._result

    def _know_the_past(self) -> None:
        for name in self._pairs:
            for settled in self._history.symbols[name].settlements:
                if settled.at_ms <= self._start_ms:
                    self._view.settled(_settlement(name, settled))

    def _settle(self, at_ms: int) -> None:
        if at_ms == self._start_ms:
            return
        self._venue.advance(at_ms)
        for name in self._pairs:
            place = bisect_right(self._stamps[name], at_ms) - 1
            if place < 0 or self._stamps[name][place] != at_ms:
                continue
            settled = self._history.symbols[name].settlements[place]
            bar = self._bars[name][at_ms]
            self._venue.set_mark(name, bar.mark, bar.spot)
            paid = self._venue.settle(name, settled.rate)
            self._seen_fills = len(self._venue.executions)
            self._view.settled(_settlement(name, settled))
            if paid is not None:
                received = paid.fee.copy_negate()
                self._funding += received
                self._result.settlements += 1
                by_pair = self._result.funding_by_pair
                by_pair[name] = by_pair.get(name, ZERO) + received

    def _quote(self, name: str, bar: Bar, at_ms: int, instant: datetime) -> None:
        self._venue.set_mark(name, bar.mark, bar.spot)
        prices = PerpPrices(bar.mark, bar.spot, None, *self._next_funding(name, at_ms), instant)
        for category, close in ((Category.SPOT, bar.spot), (Category.LINEAR, bar.perp)):
            product = self._products[category.value, name]
            bids, asks = book_around(
                close, product.tick, product.step, product.half_spread_bps, product.level_notional
            )
            self._venue.set_book(category.value, name, bids, asks)
            quote = Quote(bids[0][0], bids[0][1], asks[0][0], asks[0][1], instant)
            self._view.quoted(
                category, name, quote, prices if category is Category.LINEAR else None
            )

    def _next_funding(self, name: str, at_ms: int) -> tuple[datetime | None, timedelta | None]:
        """Return when the venue says it settles next, and the interval that ends then.

        The schedule is public, the rate is not.
        """
        stamps = self._stamps[name]
        place = bisect_right(stamps, at_ms)
        if not stamps:
            return None, None
        settled = self._history.symbols[name].settlements[min(place, len(stamps) - 1)]
        hours = timedelta(hours=settled.interval_hours)
        if place < len(stamps):
            return _instant(stamps[place]), hours
        interval = settled.interval_hours * HOUR_MS
        passed = (at_ms - settled.at_ms) // interval
        return _instant(settled.at_ms + (passed + 1) * interval), hours

    def _decide(self, instant: datetime) -> None:
        self._statistician.tell_all()
        market = self._view.snapshot(instant)
        decision = decide(self._portfolio, market, self._policy)
        for appraisal in decision.appraisals:
            if appraisal.verdict is Verdict.PASSED_OVER:
                counts = self._result.passed_over
                counts[appraisal.reason.value] = counts.get(appraisal.reason.value, 0) + 1
        for intent in decision.intents:
            self._result.targets.append((intent.pair, intent.quantity, instant))
            self._portfolio = apply(
                self._portfolio, TargetSet(intent.pair, intent.quantity, instant)
            )
        for intent in decision.intents:
            self._carry_out(intent, market, instant)

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
            gross += abs(position.perp_quantity) * (market.pairs[other].mark_price or ZERO)
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
            if order.created_ms <= _ms(at):
                break
            count += 1
        return count

    def _trade(
        self, intent: HoldPair, market: MarketSnapshot, instant: datetime, *, opening: bool
    ) -> None:
        name = intent.pair
        of = market.pairs[name]
        fee = self._products["spot", name].taker_fee
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
            key = f"venue {error.code}"
            self._result.refused[key] = self._result.refused.get(key, 0) + 1
        self._book_fills(name, send.leg, instant)

    def _book_fills(self, name: str, leg: Leg, instant: datetime) -> None:
        base = self._pairs[name].base
        for done in self._venue.executions[self._seen_fills :]:
            fill = Fill(
                leg.category,
                done.exec_id,
                done.symbol,
                Side(done.side),
                done.qty,
                done.price,
                done.fee,
                done.fee_currency,
                _instant(done.time_ms),
            )
            self._positions[name] = after_fill(self._positions[name], fill, base)
            paid_in_base = fill.fee_currency == base
            self._fees += fill.fee * fill.price if paid_in_base else fill.fee
            self._base_fees += fill.fee * fill.price if paid_in_base else ZERO
            self._result.fills.append(BookedFill(name, instant, fill))
        self._seen_fills = len(self._venue.executions)

    def _mark(self, instant: datetime) -> None:
        """Measure the worth from the venue's books and its parts from ours: they must agree."""
        prices = {STABLE: Decimal(1)}
        basis = self._base_fees
        for name, pair in self._pairs.items():
            market = self._view.markets[name]
            assert market.spot is not None
            assert market.mark_price is not None
            prices[pair.base] = market.spot.mid_price
            position = self._positions[name]
            basis += position.spot_value + position.spot_quantity * market.spot.mid_price
            basis += position.perp_value + position.perp_quantity * market.mark_price
        equity = self._venue.equity(prices)
        net = equity - self._result.deposit
        if net != self._funding - self._fees + basis:
            raise InvariantViolation(
                f"{instant.isoformat()}: the profit is {net}, its parts sum to "
                f"{self._funding - self._fees + basis}"
            )
        self._result.curve.append(EquityPoint(instant, equity, self._funding, self._fees, basis))


def coverage(history: History) -> Mapping[str, tuple[datetime, datetime]]:
    """Return the first and the last bar's close of each symbol."""
    return {
        name: (_instant(part.bars[0].at_ms), _instant(part.bars[-1].at_ms))
        for name, part in history.symbols.items()
        if part.bars
    }


def _settlement(name: str, settled: Settlement) -> FundingSettlement:
    interval = timedelta(hours=settled.interval_hours)
    return FundingSettlement(name, settled.rate, _instant(settled.at_ms), interval)


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000
