"""Single-position rules on one perpetual: how published threshold back-tests are replayed.

By default a rule that reacts to the settlement at t trades after it and is paid from the next one
on. With ``look_ahead`` what it opens on the rate at t is filled before the payment at t, which
nobody could have done; what it closes is closed after the payment all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from shared.domain.money import ZERO, floor_to
from shared.history.records import Settlement
from shared.venue.exchange import Exchange
from shared.venue.records import OrderRequest
from shared.venue.rules import Rule

DEPTH = Decimal(10**12)

Target = Callable[[Settlement, Decimal, Decimal], Decimal]
"""(settlement, quantity held, wallet in quote units) -> the quantity wanted; both signed, base."""


@dataclass
class Trade:
    """One life of the position, quote units; ``funding`` positive is received, ``costs`` paid."""

    opened_ms: int
    funding: list[Decimal] = field(default_factory=list)
    costs: Decimal = ZERO
    closed_ms: int | None = None

    @property
    def net(self) -> Decimal:
        """Funding minus costs; price gains are not part of it."""
        return sum(self.funding, ZERO) - self.costs


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """What a rule came to."""

    final: Decimal
    trades: tuple[Trade, ...]

    @property
    def funding(self) -> Decimal:
        """All funding received minus paid."""
        return sum((sum(t.funding, ZERO) for t in self.trades), ZERO)

    @property
    def costs(self) -> Decimal:
        """All fees."""
        return sum((t.costs for t in self.trades), ZERO)

    @property
    def executions(self) -> int:
        """Entries and exits together."""
        return sum(1 if t.closed_ms is None else 2 for t in self.trades)


def run_rule(
    settlements: Sequence[Settlement],
    prices: Mapping[int, Decimal],
    target: Target,
    rule: Rule,
    capital: Decimal,
    *,
    look_ahead: bool = False,
) -> PublishedRun:
    """Return what ``target`` would have done with ``capital`` on one perpetual of the venue.

    ``prices`` are quote per base at each settlement: mark, index and the only price traded at.
    """
    venue = Exchange([rule], {rule.quote: capital}, settlements[0].at_ms)
    trades: list[Trade] = []
    for settlement in settlements:
        venue.advance(settlement.at_ms)
        _set_price(venue, rule, prices[settlement.at_ms])
        if look_ahead and abs(_wanted(venue, rule, target, settlement)) > abs(_held(venue, rule)):
            _trade(venue, rule, target, settlement, trades)
            _pay(venue, rule, settlement, trades)
            continue
        _pay(venue, rule, settlement, trades)
        _trade(venue, rule, target, settlement, trades)
    return PublishedRun(venue.wallet[rule.quote], tuple(trades))


def _pay(venue: Exchange, rule: Rule, settlement: Settlement, trades: list[Trade]) -> None:
    paid = venue.settle(rule.symbol, settlement.rate)
    if paid is not None:
        trades[-1].funding.append(paid.fee.copy_negate())


def _trade(
    venue: Exchange, rule: Rule, target: Target, settlement: Settlement, trades: list[Trade]
) -> None:
    held = _held(venue, rule)
    gap = _wanted(venue, rule, target, settlement) - held
    if gap == ZERO:
        return
    if held == ZERO:
        trades.append(Trade(settlement.at_ms))
    side = "Buy" if gap > ZERO else "Sell"
    venue.place(OrderRequest("linear", rule.symbol, side, "Market", abs(gap)))
    trades[-1].costs += venue.executions[-1].fee
    if _held(venue, rule) == ZERO:
        trades[-1].closed_ms = settlement.at_ms


def _wanted(venue: Exchange, rule: Rule, target: Target, settlement: Settlement) -> Decimal:
    wanted = target(settlement, _held(venue, rule), venue.wallet[rule.quote])
    return floor_to(abs(wanted), rule.step).copy_sign(wanted)


def _held(venue: Exchange, rule: Rule) -> Decimal:
    position = venue.positions.get(rule.symbol)
    return ZERO if position is None else position.size


def _set_price(venue: Exchange, rule: Rule, price: Decimal) -> None:
    venue.set_mark(rule.symbol, price, price)
    venue.set_book("linear", rule.symbol, [(price, DEPTH)], [(price, DEPTH)])
