"""What a back-tested account holds and earned, booked from the venue's executions alone."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from services.backtest.result import BookedFill, EquityPoint
from services.backtest.timeline import instant_of
from shared.domain.errors import InvariantViolation
from shared.domain.instrument import Category, Pair
from shared.domain.market import PairMarket
from shared.domain.money import ZERO
from shared.domain.order import Fill, Side
from shared.domain.position import PairPosition, after_fill
from shared.venue.exchange import Exchange

STABLE: Final = "USDT"


class Holdings:
    """Positions, fees and funding of ``pairs`` on ``venue``; ``fills`` grows, oldest first."""

    def __init__(self, venue: Exchange, pairs: Mapping[str, Pair], deposit: Decimal) -> None:
        self._venue = venue
        self._pairs = pairs
        self._deposit = deposit
        self._seen = 0
        self._funding, self._fees, self._base_fees = ZERO, ZERO, ZERO
        self.positions = {name: PairPosition() for name in pairs}
        self.fills: list[BookedFill] = []

    def book(self, instant: datetime) -> None:
        """Book what the venue has filled since the last call, whoever asked for it."""
        for done in self._venue.executions[self._seen :]:
            name, base = done.symbol, self._pairs[done.symbol].base
            fill = Fill(
                Category(done.category),
                done.exec_id,
                name,
                Side(done.side),
                done.qty,
                done.price,
                done.fee,
                done.fee_currency,
                instant_of(done.time_ms),
            )
            self.positions[name] = after_fill(self.positions[name], fill, base)
            paid_in_base = fill.fee_currency == base
            self._fees += fill.fee * fill.price if paid_in_base else fill.fee
            self._base_fees += fill.fee * fill.price if paid_in_base else ZERO
            self.fills.append(BookedFill(name, instant, fill))
        self._seen = len(self._venue.executions)

    def pay(self, name: str, rate: Decimal) -> Decimal | None:
        """Settle one perpetual at the venue's mark; return what was received, None when flat."""
        paid = self._venue.settle(name, rate)
        self._seen = len(self._venue.executions)
        if paid is None:
            return None
        received = paid.fee.copy_negate()
        self._funding += received
        return received

    def equity(self, markets: Mapping[str, PairMarket]) -> Decimal:
        """Return the account's worth by the venue's books, coins at the mid, USDT."""
        prices = {STABLE: Decimal(1)}
        for name, market in self._quoted(markets):
            assert market.spot is not None
            prices[self._pairs[name].base] = market.spot.mid_price
        return self._venue.equity(prices)

    def point(self, instant: datetime, markets: Mapping[str, PairMarket]) -> EquityPoint:
        """Measure the worth from the venue's books and its parts from ours: they must agree.

        Raises: InvariantViolation when they do not, to the last digit.
        """
        basis = self._base_fees
        for name, market in self._quoted(markets):
            assert market.spot is not None
            assert market.mark_price is not None
            position = self.positions[name]
            basis += position.spot_value + position.spot_quantity * market.spot.mid_price
            basis += position.perp_value + position.perp_quantity * market.mark_price
        equity = self.equity(markets)
        parts = self._funding - self._fees + basis
        if equity - self._deposit != parts:
            raise InvariantViolation(
                f"{instant.isoformat()}: the profit is {equity - self._deposit}, its parts sum to "
                f"{parts}"
            )
        return EquityPoint(instant, equity, self._funding, self._fees, basis)

    def _quoted(self, markets: Mapping[str, PairMarket]) -> Iterable[tuple[str, PairMarket]]:
        """Return the pairs that have been quoted by now, and so may have been traded."""
        for name, market in markets.items():
            if market.spot is not None and market.mark_price is not None:
                yield name, market
