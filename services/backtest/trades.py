"""What each holding of a pair came to, told from the fills of a run and the history it ran on.

The parts of a run's profit are told apart here: what an execution lost against the close its book
stood around is slippage, what those closes brought is basis. The parts of all trades and of the
dust they left add up to the run's own profit, to the last digit; ``unexplained`` says by how much
they do not, and is shown, not hidden.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, localcontext

from services.backtest.engine import BookedFill, RunResult
from shared.domain.funding import funding_payment
from shared.domain.instrument import Category
from shared.domain.money import ZERO
from shared.domain.order import Fill, Side
from shared.domain.profit import DUST_WORTH, WIDE, Parts
from shared.history.records import Bar, History, Settlement, SymbolHistory
from shared.history.rules import ProductRules
from shared.venue.books import book_around


@dataclass(frozen=True, slots=True)
class Trade:
    """One holding of a pair from its first fill to a flat perpetual, or to the end of the run.

    ``quantity`` is the greatest short held, base units; prices are averages of what traded, quote
    per base, None on the way out while it is held. ``parts`` count an open trade as marked.
    """

    pair: str
    opened_at: datetime
    closed_at: datetime | None
    quantity: Decimal
    notional: Decimal
    spot_in: Decimal | None
    perp_in: Decimal | None
    spot_out: Decimal | None
    perp_out: Decimal | None
    settlements: int
    parts: Parts


@dataclass(frozen=True, slots=True)
class Move:
    """What one fill changed: ``moved`` base units net of a fee in base, signed, at ``at``.

    ``reference`` is the close its book stood around, ``slippage`` what it lost against that.
    """

    pair: str
    category: Category
    at: datetime
    moved: Decimal
    reference: Decimal
    slippage: Decimal


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A run's trades, oldest first, and what its profit is made of.

    ``dust`` is what coins too few to sell gained after their trade, and is part of ``parts.basis``.
    ``exit_costs`` is what closing the open trades would pay in fees and half spreads; positive.
    """

    trades: tuple[Trade, ...]
    moves: tuple[Move, ...]
    parts: Parts
    dust: Decimal
    exit_costs: Decimal
    unexplained: Decimal

    def by_pair(self) -> Mapping[str, Parts]:
        """Return the parts of each pair's trades, without dust, by name."""
        found: dict[str, Parts] = {}
        for trade in self.trades:
            found[trade.pair] = found.get(trade.pair, Parts()) + trade.parts
        return dict(sorted(found.items()))


def break_down(result: RunResult, history: History, products: Iterable[ProductRules]) -> Breakdown:
    """Return the trades of ``result``; ``history`` and ``products`` are those it ran on."""
    rules = {(p.category, p.symbol): p for p in products}
    fills: dict[str, list[BookedFill]] = {}
    for booked in result.fills:
        fills.setdefault(booked.pair, []).append(booked)
    tellers = []
    with localcontext(WIDE):
        for name in sorted(fills):
            products_of = rules["spot", name], rules["linear", name]
            teller = _Teller(result, history.symbols[name], *products_of)
            teller.tell([b.fill for b in fills[name]])
            tellers.append(teller)
        trades = sorted((t for x in tellers for t in x.trades), key=lambda t: (t.opened_at, t.pair))
        dust = sum((t.dust for t in tellers), ZERO)
        parts = sum((t.parts for t in trades), Parts(basis=dust))
        exits = sum((t.exit_costs for t in tellers), ZERO)
        moves = tuple(m for t in tellers for m in t.moves)
        return Breakdown(tuple(trades), moves, parts, dust, exits, result.net - parts.net)


class _Teller:
    """Follows one pair's position through its fills and settlements."""

    def __init__(
        self, result: RunResult, part: SymbolHistory, spot: ProductRules, perp: ProductRules
    ) -> None:
        self._bars = {bar.at_ms: bar for bar in part.bars}
        first, last = (int(p.at.timestamp()) * 1000 for p in (result.curve[0], result.curve[-1]))
        self._settlements = [s for s in part.settlements if first < s.at_ms <= last]
        self._stamps = [bar.at_ms for bar in part.bars]
        self._last = self._bar_at(last)
        self._spot, self._perp = spot, perp
        self._legs = {c: _Traded() for c in Category}
        self._out = {c: _Traded() for c in Category}
        self._coin = self._short = self._left_worth = ZERO
        self._open: Trade | None = None
        self.trades: list[Trade] = []
        self.moves: list[Move] = []
        self.dust = self.exit_costs = ZERO

    def tell(self, fills: Sequence[Fill]) -> None:
        due = iter([*self._settlements, None])
        settlement = next(due)
        for fill in fills:
            while settlement is not None and _instant(settlement.at_ms) < fill.venue_at:
                self._settle(settlement)
                settlement = next(due)
            self._fill(fill)
        while settlement is not None:
            self._settle(settlement)
            settlement = next(due)
        self._end()

    def _settle(self, settlement: Settlement) -> None:
        bar = self._bars.get(settlement.at_ms)
        if self._open is None or self._short == ZERO or bar is None:
            return
        paid = funding_payment(self._short, bar.mark, settlement.rate)
        self._open = replace(
            self._open,
            settlements=self._open.settlements + 1,
            parts=self._open.parts + Parts(funding=paid),
        )

    def _fill(self, fill: Fill) -> None:
        bar = self._bar_at(int(fill.venue_at.timestamp()) * 1000)
        if self._open is None:
            self._begin(fill, bar)
        assert self._open is not None
        trade = self._open
        in_base = fill.fee_currency == self._spot.base
        moved = fill.quantity * fill.side.sign - (fill.fee if in_base else ZERO)
        reference = bar.spot if fill.category is Category.SPOT else bar.perp
        lost = (reference - fill.price) * moved
        self.moves.append(Move(fill.symbol, fill.category, fill.venue_at, moved, reference, lost))
        parts = Parts(
            fees=-(fill.fee * fill.price if in_base else fill.fee),
            slippage=lost,
            basis=-moved * reference,
        )
        if fill.category is Category.SPOT:
            self._coin += moved
        else:
            self._short += moved
        entering = (fill.side is Side.BUY) is (fill.category is Category.SPOT)
        (self._legs if entering else self._out)[fill.category].add(fill)
        self._open = replace(
            trade,
            quantity=max(trade.quantity, abs(self._short)),
            notional=max(trade.notional, abs(self._short) * bar.perp),
            parts=trade.parts + parts,
        )
        if self._is_flat(bar.spot):
            self._left_worth = self._coin * bar.spot
            self._keep(fill.venue_at, self._left_worth)

    def _is_flat(self, price: Decimal) -> bool:
        """Whether the short was bought back and what is left of the coin is dust."""
        dust = abs(self._coin)
        small = dust <= max(self._spot.step, self._perp.step) or dust * price <= DUST_WORTH
        return self._short == ZERO and small and self._out[Category.LINEAR].quantity > ZERO

    def _begin(self, fill: Fill, bar: Bar) -> None:
        """Open a trade; coins left over by the one before come in at what they are worth now."""
        left = self._coin * bar.spot
        self.dust += left - self._left_worth
        self._open = Trade(
            fill.symbol, fill.venue_at, None, ZERO, ZERO, None, None, None, None, 0,
            Parts(basis=-left),
        )  # fmt: skip

    def _keep(self, closed_at: datetime | None, worth: Decimal) -> None:
        assert self._open is not None
        spot, perp = self._legs[Category.SPOT], self._legs[Category.LINEAR]
        spot_out, perp_out = self._out[Category.SPOT], self._out[Category.LINEAR]
        self.trades.append(
            replace(
                self._open,
                closed_at=closed_at,
                spot_in=spot.price,
                perp_in=perp.price,
                spot_out=spot_out.price,
                perp_out=perp_out.price,
                parts=self._open.parts + Parts(basis=worth),
            )
        )
        self._open = None
        self._legs = {c: _Traded() for c in Category}
        self._out = {c: _Traded() for c in Category}

    def _end(self) -> None:
        """Mark what is held as the engine does: the coin at its mid, the perpetual at its mark."""
        bids, asks = book_around(
            self._last.spot,
            self._spot.tick,
            self._spot.step,
            self._spot.half_spread_bps,
            self._spot.level_notional,
        )
        mid = (bids[0][0] + asks[0][0]) / 2
        if self._open is None:
            self.dust += self._coin * mid - self._left_worth
            return
        for product, held, price in (
            (self._spot, self._coin, mid),
            (self._perp, self._short, self._last.perp),
        ):
            rate = product.taker_fee + product.half_spread_bps / 10_000
            self.exit_costs += abs(held) * price * rate
        self._keep(None, self._coin * mid + self._short * self._last.mark)

    def _bar_at(self, at_ms: int) -> Bar:
        """Return what was quoted last: the pair's newest bar by then."""
        return self._bars[self._stamps[bisect_right(self._stamps, at_ms) - 1]]


@dataclass(slots=True)
class _Traded:
    quantity: Decimal = ZERO
    value: Decimal = ZERO

    def add(self, fill: Fill) -> None:
        self.quantity += fill.quantity
        self.value += fill.value

    @property
    def price(self) -> Decimal | None:
        """The average price, to twelve digits; None when nothing traded."""
        if not self.quantity:
            return None
        return (self.value / self.quantity).quantize(Decimal("1e-8"))


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
