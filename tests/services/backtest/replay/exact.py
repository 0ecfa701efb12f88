"""The replay's rule once more, in Decimal and plain objects: the oracle of the compiled one."""

from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal

from services.backtest.replay.events import PERP, SETTLED, SPOT, Events
from services.backtest.sweep.terms import ParameterSet, Terms
from shared.domain.rounding import BOOKING

ZERO = Decimal(0)
RATE_QUANTUM = Decimal("1e-12")


def booked_rate(rate: Decimal) -> Decimal:
    return rate.quantize(RATE_QUANTUM, ROUND_HALF_EVEN)


@dataclass
class Coin:
    closes: dict[int, Decimal] = field(default_factory=dict)
    spot: Decimal = ZERO
    short: Decimal = ZERO
    wanted: Decimal = ZERO
    signal: Decimal | None = None
    settled: int = 0

    @property
    def idle(self) -> bool:
        return not (self.wanted or self.spot or self.short)

    def worth(self) -> Decimal:
        if not (self.spot or self.short):
            return ZERO
        worth = BOOKING.product(self.spot, self.closes[SPOT])
        return worth - (BOOKING.product(self.short, self.closes[PERP]) if self.short else ZERO)


@dataclass
class ExactReplay:
    """Feed it events in order; the figures are fields."""

    policy: ParameterSet
    terms: Terms
    depth: Decimal
    coins: dict[int, Coin] = field(default_factory=dict)
    log: list[tuple[int, int, int, Decimal, Decimal, Decimal]] = field(default_factory=list)
    cash: Decimal = ZERO
    funding: Decimal = ZERO
    fees: Decimal = ZERO
    peak: Decimal = ZERO
    drawdown: Decimal = ZERO
    orders: int = 0
    parts: int = 0

    def run(self, events: Events) -> "ExactReplay":
        rows = zip(events.kind.tolist(), events.symbol.tolist(), events.value.tolist(), strict=True)
        hour = SPOT
        for number, (kind, symbol, value) in enumerate(rows):
            if hour == PERP != kind:
                self.end_hour()
            hour = kind
            coin = self.coins.setdefault(symbol, Coin())
            if kind >= SETTLED:
                self.settle(coin, kind - SETTLED + 1, Decimal(value).scaleb(-12))
                continue
            coin.closes[kind] = Decimal(value).scaleb(-8)
            if not coin.idle:
                self.work(coin, kind, number, symbol)
        self.end_hour()
        return self

    def end_hour(self) -> None:
        equity = self.net
        self.peak = max(self.peak, equity)
        self.drawdown = max(self.drawdown, self.peak - equity)

    @property
    def net(self) -> Decimal:
        return self.cash + sum((coin.worth() for coin in self.coins.values()), ZERO)

    def settle(self, coin: Coin, hours: int, rate: Decimal) -> None:
        if coin.short:
            paid = BOOKING.product(BOOKING.product(coin.short, coin.closes[PERP]), rate)
            self.cash += paid
            self.funding += paid
        normal = booked_rate(rate * 8 / hours)
        old = coin.signal
        share = Decimal(self.policy.span + 1)
        coin.signal = normal if old is None else old + booked_rate((normal - old) * 2 / share)
        if coin.wanted:
            coin.settled += 1
            if coin.signal < self.policy.exit or coin.settled >= self.policy.hold:
                coin.wanted = ZERO
                self.orders += 1
        elif (
            coin.idle
            and coin.signal > self.policy.entry
            and len(coin.closes) == 2
            and sum(not other.idle for other in self.coins.values()) < self.terms.cap
        ):
            price = BOOKING.product(coin.closes[SPOT], 1 + self.terms.slippage)
            coin.wanted = BOOKING.quotient(self.terms.notional, price)
            coin.settled = 0
            self.orders += coin.wanted > 0

    def work(self, coin: Coin, leg: int, number: int, symbol: int) -> None:
        missing = coin.spot - coin.short if leg == PERP else coin.wanted - coin.spot
        room = BOOKING.quotient(self.depth, coin.closes[leg])
        quantity = max(-room, min(room, missing))
        if not quantity:
            return
        buys = quantity < 0 if leg == PERP else quantity > 0
        slip = self.terms.slippage if buys else -self.terms.slippage
        price = BOOKING.product(coin.closes[leg], 1 + slip)
        value = BOOKING.product(quantity, price)
        if leg == PERP:
            fee = BOOKING.product(abs(value), self.terms.perp_fee)
            coin.short += quantity
            self.cash += value - fee
        else:
            fee = BOOKING.product(abs(value), self.terms.spot_fee)
            coin.spot += quantity
            self.cash -= value + fee
        self.fees += fee
        self.parts += quantity != missing
        self.log.append((number, symbol, leg, quantity, price, fee))
