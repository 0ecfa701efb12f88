"""What a listed trade comes to under stated conventions: fees, quantity, values, pnl, payments."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from services.backtest.book.records import SPOT, ListedTrade, Market
from services.backtest.book.tables import BINARY, moment
from shared.domain.money import ZERO
from shared.history.records import MalformedHistory

Rounding = Callable[[Decimal], Decimal]


def as_double(value: Decimal) -> Decimal:
    """Return the double nearest to ``value``, with all its digits: rounding rule ``double``."""
    return Decimal(float(value))


def as_it_is(value: Decimal) -> Decimal:
    """Return ``value``: rounding rule ``none``."""
    return value


ROUNDINGS: Final[Mapping[str, Rounding]] = {"double": as_double, "none": as_it_is}


@dataclass(frozen=True, slots=True)
class Conventions:
    """How a run keeps its books; the defaults are those of data/README.md, section 1.

    ``fees``: ``taken`` out of the position (open value = size - fee) or ``added`` on top of it.
    ``payment_price``: a settlement is valued at the ``open`` of the bar that starts then, or at
    the ``close`` of the bar that ends then. ``entry_paid`` and ``exit_paid``: whether a position
    opened, or closed, at a settlement is paid by it. ``pnl``: ``values`` is the difference of
    opening and closing value, closing value after its fee on either side; ``cash`` charges the
    closing fee of a short instead of adding it. ``rounding``: ``double`` rounds after every step
    as binary arithmetic does, ``none`` never.
    """

    fees: str = "taken"
    payment_price: str = "open"
    entry_paid: bool = False
    exit_paid: bool = True
    pnl: str = "values"
    rounding: str = "double"


@dataclass(frozen=True, slots=True)
class Payment:
    """Funding of one trade at ``at_ms``, quote units, positive when received."""

    at_ms: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class BookedTrade:
    """One trade as it is booked here; ``ours`` has the names that its list uses.

    Each figure follows from what the list states before it, so that one wrong cell is one
    difference and not five. ``quantity``, ``open_value``, ``pnl`` are what the account carries:
    the list's own where it states them.
    """

    trade: ListedTrade
    ours: Mapping[str, Decimal]
    quantity: Decimal
    open_value: Decimal
    pnl: Decimal
    payments: tuple[Payment, ...]


def book_trade(trade: ListedTrade, market: Market, by: Conventions) -> BookedTrade:
    """Return the trade booked; raises MalformedHistory when a bar that it needs is not there."""
    rounded = ROUNDINGS[by.rounding]
    ours: dict[str, Decimal] = {}

    def known(name: str) -> Decimal:
        return trade.stated.get(name, ours[name])

    ours["open_price"] = _price(market.opens, trade, trade.opened_ms)
    ours["open_fee"] = rounded(BINARY.multiply(trade.size, trade.fee_rate))
    taken = known("open_fee") if by.fees == "taken" else ZERO
    ours["open_value"] = rounded(BINARY.subtract(trade.size, taken))
    ours["quantity"] = rounded(_ratio(known("open_value"), known("open_price")))
    quantity, open_value, pnl = known("quantity"), known("open_value"), ZERO
    if trade.closed_ms is not None:
        ours["close_price"] = _price(market.opens, trade, trade.closed_ms)
        worth = rounded(BINARY.multiply(quantity, known("close_price")))
        ours["close_fee"] = rounded(BINARY.multiply(worth, trade.fee_rate))
        left = rounded(BINARY.subtract(worth, known("close_fee")))
        ours["close_value"] = left
        ours["pnl"] = rounded(_pnl(trade, open_value, known("close_value"), known("close_fee"), by))
        pnl = known("pnl")
    payments = _payments(trade, market, quantity, by)
    return BookedTrade(trade, ours, quantity, open_value, pnl, payments)


def marked_gain(booked: BookedTrade, price: Decimal) -> tuple[Decimal, Decimal]:
    """Return the unrealised gain at ``price`` and the fee that closing there would cost."""
    worth = BINARY.multiply(booked.quantity, price)
    gain = BINARY.subtract(worth, booked.open_value)
    return gain * booked.trade.sign, BINARY.multiply(worth, booked.trade.fee_rate)


def paid_span(trade: ListedTrade, market: Market, by: Conventions) -> tuple[int, int]:
    """Return the first and the last UTC ms at which a settlement pays the trade.

    A position that stays open is paid up to the last bar.
    """
    first = trade.opened_ms if by.entry_paid else trade.opened_ms + 1
    end = max(market.opens)
    if trade.closed_ms is None:
        return first, end
    return first, min(end, trade.closed_ms if by.exit_paid else trade.closed_ms - 1)


def _pnl(
    trade: ListedTrade, opened: Decimal, closed: Decimal, fee: Decimal, by: Conventions
) -> Decimal:
    if trade.sign > 0:
        return BINARY.subtract(closed, opened)
    gain = BINARY.subtract(opened, closed)
    return gain if by.pnl == "values" else gain - 2 * fee


def _payments(
    trade: ListedTrade, market: Market, quantity: Decimal, by: Conventions
) -> tuple[Payment, ...]:
    """Return what each settlement between opening and closing pays; spot is never paid."""
    if trade.leg[2] == SPOT:
        return ()
    settled = market.rates.settled
    stamps = list(settled)
    first, last = paid_span(trade, market, by)
    rounded = ROUNDINGS[by.rounding]
    paid = []
    for at in stamps[bisect_left(stamps, first) : bisect_right(stamps, last)]:
        worth = rounded(BINARY.multiply(quantity, _payment_price(trade, market, at, by)))
        amount = rounded(BINARY.multiply(worth, settled[at]))
        paid.append(Payment(at, amount * -trade.sign))
    return tuple(paid)


def _payment_price(trade: ListedTrade, market: Market, at: int, by: Conventions) -> Decimal:
    if by.payment_price == "open":
        return _price(market.opens, trade, at)
    return _price(market.closes, trade, at - market.interval_ms)


def _price(prices: Mapping[int, Decimal], trade: ListedTrade, at: int) -> Decimal:
    price = prices.get(at)
    if price is None:
        raise MalformedHistory(
            f"{' '.join(trade.leg)}: no bar starts at {moment(at)}, where the trade of row "
            f"{trade.row} needs a price; add the bar or leave the trade out"
        )
    return price


def _ratio(value: Decimal, price: Decimal) -> Decimal:
    """Return the ratio to 60 digits, which is more than its nearest double needs."""
    return RATIO.divide(value, price)


RATIO: Final = BINARY.copy()
RATIO.prec = 60
RATIO.clear_traps()
