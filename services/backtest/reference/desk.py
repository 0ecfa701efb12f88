"""The books of one reference run: pairs held, what they paid and cost, what they are worth."""

from dataclasses import dataclass, field
from decimal import Decimal

from services.backtest.reference.tape import Settled, Tape
from services.backtest.sweep.terms import Terms
from shared.domain.errors import require
from shared.domain.money import ONE, ZERO
from shared.domain.rounding import Rounding


@dataclass(slots=True)
class Pair:
    """One life of a pair: spot long, perpetual short, the same ``quantity``; prices as filled.

    ``payments`` (instant, amount; + received), ``gain``: both legs' price changes, ``cost``: fees.
    Until it is left, ``left`` is None and the exit's figures are zero.
    """

    symbol: int
    entered: int
    quantity: Decimal
    spot_in: Decimal
    perp_in: Decimal
    cost: Decimal
    payments: list[tuple[int, Decimal]] = field(default_factory=list)
    left: int | None = None
    spot_out: Decimal = ZERO
    perp_out: Decimal = ZERO
    gain: Decimal = ZERO

    @property
    def paid(self) -> Decimal:
        """All funding received, minus paid."""
        return sum((amount for _, amount in self.payments), ZERO)


class Desk:
    """What a strategy may look at and do at an instant; orders fill at the hour's closes.

    ``positions`` are the pairs held, by symbol; ``instant`` and ``hour`` say when it is.
    """

    def __init__(self, tape: Tape, terms: Terms, rounding: Rounding) -> None:
        self.symbols = range(len(tape.symbols))
        self.positions: dict[int, Pair] = {}
        self.pairs: list[Pair] = []
        self.instant = -1
        self.hour = -1
        self.cash = ZERO
        self._tape = tape
        self._terms = terms
        self._product = rounding.product
        self._quotient = rounding.quotient
        self._up, self._down = ONE + terms.slippage, ONE - terms.slippage

    @property
    def free(self) -> int:
        """How many more pairs may be opened."""
        return self._terms.cap - len(self.positions)

    def can_open(self, symbol: int) -> bool:
        """Return whether the symbol is flat, has a price, and settles again with one."""
        return (
            symbol not in self.positions
            and self.hour < self._tape.last[symbol]
            and self._tape.spot[symbol][self.hour] is not None
        )

    def open(self, symbol: int) -> None:
        """Buy ``notional`` of spot and sell as much of the perpetual."""
        require(self.free > 0, f"{self._terms.cap} pairs are held: close one before opening")
        require(self.can_open(symbol), f"{self._tape.symbols[symbol]} cannot be opened now")
        spot, perp = self._prices(symbol)
        spot_in, perp_in = self._product(spot, self._up), self._product(perp, self._down)
        quantity = self._quotient(self._terms.notional, spot_in)
        cost = self._fees(quantity, spot_in, perp_in)
        self.cash -= cost
        pair = Pair(symbol, self.instant, quantity, spot_in, perp_in, cost)
        self.positions[symbol] = pair
        self.pairs.append(pair)

    def close(self, symbol: int) -> None:
        """Sell the spot and buy the perpetual back."""
        require(symbol in self.positions, f"{self._tape.symbols[symbol]} is not held")
        pair = self.positions.pop(symbol)
        spot, perp = self._prices(symbol)
        pair.spot_out, pair.perp_out = (
            self._product(spot, self._down),
            self._product(perp, self._up),
        )
        pair.gain = self._product(pair.quantity, pair.spot_out - pair.spot_in)
        pair.gain -= self._product(pair.quantity, pair.perp_out - pair.perp_in)
        cost = self._fees(pair.quantity, pair.spot_out, pair.perp_out)
        pair.cost += cost
        pair.left = self.instant
        self.cash += pair.gain - cost

    def settle(self, settled: Settled) -> None:
        """Book what a held pair receives or pays, at the mark of the hour that ends here."""
        pair = self.positions.get(settled.symbol)
        if pair is None:
            return
        mark = self._tape.mark[settled.symbol][self.hour]
        assert mark is not None
        payment = self._product(self._product(pair.quantity, mark), settled.rate)
        pair.payments.append((settled.instant, payment))
        self.cash += payment

    def equity(self) -> Decimal:
        """Return the cash and what the pairs held are worth at this hour's closes."""
        worth, hour = self.cash, self.hour
        for symbol, pair in self.positions.items():
            spot, perp = self._tape.spot[symbol][hour], self._tape.perp[symbol][hour]
            assert spot is not None
            assert perp is not None
            worth += self._product(pair.quantity, (spot - perp) - (pair.spot_in - pair.perp_in))
        return worth

    def _fees(self, quantity: Decimal, spot: Decimal, perp: Decimal) -> Decimal:
        product, terms = self._product, self._terms
        return product(product(quantity, spot), terms.spot_fee) + product(
            product(quantity, perp), terms.perp_fee
        )

    def _prices(self, symbol: int) -> tuple[Decimal, Decimal]:
        spot, perp = self._tape.spot[symbol][self.hour], self._tape.perp[symbol][self.hour]
        assert spot is not None
        assert perp is not None
        return spot, perp
