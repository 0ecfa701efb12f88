"""The venue of one run: its own rules over moving books, what reads show of it, and when."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Category, Instrument, Pair
from shared.venue.enforcement import deleverage
from shared.venue.exchange import Exchange
from shared.venue.records import Event, Order, OrderRequest
from shared.venue.rules import Refused, Rule
from tests.simulation.clock import BEGIN, wall
from tests.simulation.world import World

MATCH_SECONDS: Final = 0.02
TICK_SECONDS: Final = 0.5
RECEIVE_WINDOW: Final = timedelta(seconds=3)
AHEAD_MAX: Final = timedelta(seconds=1)
LAG_MAX: Final = 4.5
"""Reads lag less than the five seconds that the executor reckons with."""

ZERO: Final = Decimal(0)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FUNDING_INTERVAL: Final = timedelta(hours=1)
TICK: Final = Decimal("0.1")
HALF_SPREAD: Final = Decimal("0.00005")
START_PRICES: Final = {"BTC": Decimal(10_000), "ETH": Decimal(1_000)}
STEPS: Final = {
    "BTC": (Decimal("0.000001"), Decimal("0.001")),
    "ETH": (Decimal("0.0001"), Decimal("0.01")),
}
ENDPOINTS: Final = ("order", "executions", "wallet", "positions", "log")


@dataclass(frozen=True, slots=True)
class State:
    """What had happened by an instant: counts of rows, and the positions."""

    at: float
    executions: int
    log: int
    positions: Mapping[str, Decimal]


@dataclass
class SimVenue:
    """One account at one venue, whose time goes ``speed`` times as fast as ours.

    ``margin_told`` is, by process, when it heard of which maintenance rate. ``told`` hears every
    event once, ``moved`` is called after every change.
    """

    world: World
    deposit: Decimal
    speed: int = 1
    pairs: list[Pair] = field(default_factory=list)
    margin_told: dict[str, tuple[datetime, Decimal]] = field(default_factory=dict)
    told: list[Callable[[Sequence[Event]], None]] = field(default_factory=list)
    moved: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.pairs = [made_pair(base) for base in START_PRICES]
        rules = rules_of_all(self.pairs)
        now = self.now_ms
        self.exchange = Exchange(rules, {"USDT": self.deposit}, now - 86_400_000)
        self.exchange.advance(now)
        self.exchange.drain()
        self.lags = dict.fromkeys(ENDPOINTS, 0.0)
        self.down_until = 0.0
        self.revoked_until = 0.0
        self.thin_until = 0.0
        self.funding_at = BEGIN + timedelta(hours=7)
        self.settled: Callable[[Sequence[FundingSettlement]], None] = lambda _: None
        self.mids = dict(START_PRICES)
        self._shown = dict.fromkeys(ENDPOINTS, 0.0)
        self._orders: dict[tuple[str, str], list[tuple[float, Order]]] = {}
        self._states = [State(-1.0, 0, len(self.exchange.log), {})]
        self._dice = world_dice = self.world.dice("market")
        self._depth = world_dice.pick((Decimal(2_000), Decimal(8_000), Decimal(30_000)))
        self.tick()

    @property
    def now(self) -> datetime:
        """Venue time."""
        return BEGIN + (wall(self.world.loop) - BEGIN) * self.speed

    @property
    def now_ms(self) -> int:
        """Venue time in whole milliseconds."""
        return (self.now - EPOCH) // timedelta(milliseconds=1)

    def tick(self) -> None:
        """Move prices a little and set every book again."""
        self.exchange.advance(self.now_ms)
        for pair in self.pairs:
            step = Decimal(str(round(self._dice.between(-0.0002, 0.0002), 6)))
            self._set(pair, self.mids[pair.base] * (1 + step))
        self._settle_if_due()
        self.after()

    def jump(self) -> None:
        """Move one asset's prices by up to three percent at once."""
        pair = self._dice.pick(self.pairs)
        step = Decimal(str(round(self._dice.between(-0.03, 0.03), 4)))
        self.exchange.advance(self.now_ms)
        self._set(pair, self.mids[pair.base] * (1 + step))
        self.after()

    def receive(self, request: OrderRequest, signed_at: datetime) -> str:
        """Take an order that arrives now and return its id; it is matched a little later.

        Raises: Refused, also when it was signed too long ago (10002).
        """
        now = wall(self.world.loop)
        if not now - RECEIVE_WINDOW <= signed_at < now + AHEAD_MAX:
            raise Refused(10002, "invalid request, please check your server timestamp")
        self.exchange.advance(self.now_ms)
        order = self.exchange.accept(request)
        self._remember(order)
        self.world.note("venue", f"accepts {request.link_id}")
        self.world.later(self._dice.between(0, MATCH_SECONDS), self._match, order.order_id)
        self.after()
        return order.order_id

    def cancel(self, category: str, symbol: str, link_id: str) -> None:
        """Cancel a resting order; raises Refused when it is final or unknown."""
        self.exchange.advance(self.now_ms)
        self.exchange.cancel(category, symbol, link_id=link_id)
        self.after()

    def deleverage(self) -> bool:
        """Take a part of some position away, as the venue may; return whether there was one."""
        held = [p for p in self.exchange.positions.values() if p.size]
        if not held:
            return False
        self.exchange.advance(self.now_ms)
        position = self._dice.pick(held)
        step = self.exchange.rules["linear", position.symbol].step
        lots = int(abs(position.size) / step)
        qty = step * self._dice.whole(1, max(1, lots))
        deleverage(self.exchange, position.symbol, qty, self.exchange.marks[position.symbol])
        self.after()
        return True

    def ask_margin(self, rate: Decimal | None) -> bool:
        """Ask so much maintenance of every perpetual that ``rate`` of what backs the account is
        bound; with None as little as ever. Return whether there was a position.
        """
        exchange, margin = self.exchange, self.exchange.margin()
        held = exchange.positions.values()
        worth = sum((abs(p.size) * exchange.marks[p.symbol] for p in held), ZERO)
        if rate is not None and not worth:
            return False
        for rule in rules_of_all(self.pairs):
            asked = rule.maintenance_rate if rate is None else rate * margin.balance / worth
            exchange.rules[rule.category, rule.symbol] = replace(rule, maintenance_rate=asked)
        return True

    @property
    def margin_rate(self) -> Decimal:
        """The maintenance rate as it is now."""
        margin = self.exchange.margin()
        return margin.maintenance / margin.balance

    def order_shown(self, category: str, link_id: str) -> Order | None:
        """Return an order as a read shows it now."""
        at = self._seen("order")
        found = None
        for made_at, order in self._orders.get((category, link_id), []):
            if made_at <= at:
                found = order
        return found

    def open_orders_shown(self) -> list[Order]:
        """Return the resting orders that a read shows now."""
        shown = [self.order_shown(category, link) for category, link in self._orders]
        return [order for order in shown if order is not None and order.is_open]

    def state(self, endpoint: str) -> State:
        """Return what a read of ``endpoint`` shows now; it never shows less than before."""
        place = bisect_right(self._states, self._seen(endpoint), key=lambda s: s.at)
        return self._states[max(0, place - 1)]

    def after(self) -> None:
        """Remember what has changed, tell it, have it checked."""
        events = self.exchange.drain()
        if not events:
            return
        for event in events:
            if isinstance(event.data, Order):
                self._remember(event.data)
        self._states.append(
            State(
                self.world.loop.time(),
                len(self.exchange.executions),
                len(self.exchange.log),
                {p.symbol: p.size for p in self.exchange.positions.values() if p.size},
            )
        )
        for hear in list(self.told):
            hear(events)
        self.moved()

    def _match(self, order_id: str) -> None:
        self.exchange.advance(self.now_ms)
        self.exchange.match(order_id)
        self.after()

    def _remember(self, order: Order) -> None:
        key = (order.category, order.link_id)
        self._orders.setdefault(key, []).append((self.world.loop.time(), order))

    def _seen(self, endpoint: str) -> float:
        at = self.world.loop.time() - self.lags[endpoint]
        self._shown[endpoint] = max(self._shown[endpoint], at)
        return self._shown[endpoint]

    def _set(self, pair: Pair, mid: Decimal) -> None:
        mid = self.mids[pair.base] = mid.quantize(TICK)
        self.exchange.set_mark(pair.name, mid, mid)
        is_thin = self.world.loop.time() < self.thin_until
        for category in ("spot", "linear"):
            rule = self.exchange.rules[category, pair.name]
            worth = Decimal(self._dice.whole(5, 300)) if is_thin else self._depth
            half = max(TICK, (mid * HALF_SPREAD * self._dice.whole(1, 3)).quantize(TICK))
            size = max(rule.step, (worth / mid // rule.step) * rule.step)
            levels = 1 if is_thin else 4
            bids = [(mid - half * n, size * n) for n in range(1, levels + 1)]
            asks = [(mid + half * n, size * n) for n in range(1, levels + 1)]
            self.exchange.set_book(category, pair.name, bids, asks)

    def _settle_if_due(self) -> None:
        if self.now < self.funding_at or not self.world.swarm.is_active:
            return
        at, self.funding_at = self.funding_at, self.funding_at + FUNDING_INTERVAL
        settled = []
        for pair in self.pairs:
            rate = Decimal(self._dice.whole(-20, 40)).scaleb(-5)
            settled.append(FundingSettlement(pair.name, rate, at, FUNDING_INTERVAL))
            if self.exchange.settle(pair.name, rate) is not None:
                self.world.tally["funding settlements"] += 1
                self.world.note("venue", f"settles {pair.name} at {rate}")
        self.settled(settled)


def made_pair(base: str) -> Pair:
    """Return the two products of one asset; the perpetual's step is the coarser."""
    spot_step, perp_step = STEPS[base]

    def product(category: Category, step: Decimal) -> Instrument:
        return Instrument(
            category, f"{base}USDT", base, "USDT", "Trading", TICK, step, step, Decimal(1000),
            Decimal(5), 60 if category is Category.LINEAR else None,
        )  # fmt: skip

    return Pair(product(Category.SPOT, spot_step), product(Category.LINEAR, perp_step))


def rules_of_all(pairs: Sequence[Pair]) -> list[Rule]:
    """Return the venue's rules of every product, as they begin."""
    return [rule for pair in pairs for rule in rules_of(pair)]


def rules_of(pair: Pair) -> list[Rule]:
    """Return the venue's rules of both products."""
    fees = {Category.SPOT: "0.001", Category.LINEAR: "0.00055"}
    return [
        Rule(
            p.category.value, p.symbol, p.base, p.quote, p.tick, p.step, p.min_quantity,
            p.max_quantity, p.min_notional, Decimal(fees[p.category]), Decimal("0.0002"),
        )
        for p in (pair.spot, pair.perp)
    ]  # fmt: skip


HISTORY_START: Final = BEGIN - timedelta(days=2)
