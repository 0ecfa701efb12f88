"""What the services need of an exchange. Two ports: one trades, one watches.

Every number is a Decimal, every instant UTC and the venue's. Writes raise ``OrderRejected`` (a
definite no on this send), ``RateLimited`` (not taken, by the venue's word) or ``OutcomeUnknown``
(it may stand); reads raise ``ExchangeUnavailable``, ``RateLimited`` or ``Malformed``.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Category, Instrument
from shared.domain.log import LogRow as LogRow
from shared.domain.order import Fill, OrderTicket, Side


@dataclass(frozen=True, slots=True)
class OrderReport:
    """An order as the venue sees it; ``is_final`` when nothing can happen to it any more."""

    category: Category
    symbol: str
    order_id: str
    link_id: str
    side: Side
    status: str
    is_final: bool
    quantity: Decimal
    limit_price: Decimal
    filled_quantity: Decimal
    filled_value: Decimal
    reject_reason: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """One execution, ours or not; ``exec_type`` is Trade, Funding, AdlTrade, BustTrade ..."""

    fill: Fill
    order_id: str
    link_id: str
    exec_type: str
    is_maker: bool


@dataclass(frozen=True, slots=True)
class PositionReport:
    """One perpetual position; ``quantity`` is signed.

    ``adl_rank`` is its place in the line to be deleveraged, 1 to 5, where 5 comes first; 0 when it
    is not in the line, or the venue does not say. ``maintenance`` is the least margin that it
    binds, USD; None where the venue names none.
    """

    symbol: str
    quantity: Decimal
    entry_price: Decimal | None
    mark_price: Decimal | None
    unrealized: Decimal
    adl_rank: int = 0
    maintenance: Decimal | None = None


@dataclass(frozen=True, slots=True)
class MarginRates:
    """What share of the account's margin is bound, 1 being all of it; None where it says none.

    At a maintenance rate of one the venue liquidates. ``balance`` is what backs it, USD.
    """

    maintenance: Decimal | None
    initial: Decimal | None
    balance: Decimal | None = None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What the API key may do, and whose it is."""

    account: str
    can_trade: bool
    can_withdraw: bool
    bound_ips: tuple[str, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The private stream was (re)connected: what came before may be lost, read by REST."""


Bar = tuple[datetime, Decimal, Decimal, Decimal, Decimal, Decimal]
"""Open time, open, high, low, close, volume in base units."""

PrivateEvent = OrderReport | ExecutionReport | StreamReset


@dataclass(frozen=True, slots=True)
class FeedQuote:
    """The merged, conflated top of one book; from ``mark`` on for linear only.

    ``venue_at`` is the older stamp of book and ticker, ``ticker_at`` the ticker's own.
    """

    category: Category
    symbol: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    venue_at: datetime
    mark: Decimal | None = None
    index: Decimal | None = None
    predicted_rate: Decimal | None = None
    next_funding_at: datetime | None = None
    funding_interval_hours: Decimal | None = None
    ticker_at: datetime | None = None


class TradingGateway(Protocol):
    """Orders, account and the private stream of one unified account."""

    async def check_account(self, symbols: Sequence[str], coins: Sequence[str]) -> KeyInfo:
        """Verify key, modes, leverage, collateral and price-limit behaviour.

        ``symbols`` are the perpetuals, ``coins`` the bases that back them. Raises: Misconfigured
        with the remedy.
        """

    async def place_order(self, ticket: OrderTicket, signed_at: datetime) -> str:
        """Send one order signed at ``signed_at`` (wall) and return the venue's order id."""

    async def cancel_order(self, category: Category, symbol: str, link_id: str) -> None:
        """Ask for a cancel; "already final" counts as done."""

    async def read_order(self, category: Category, symbol: str, link_id: str) -> OrderReport | None:
        """Return the order from the open list or the history; None when neither knows it."""

    async def read_open_orders(self) -> list[OrderReport]:
        """Return every open order of both categories."""

    async def read_executions(
        self, category: Category, *, link_id: str | None = None, start: datetime | None = None
    ) -> list[ExecutionReport]:
        """Return executions, oldest first, all pages."""

    async def read_wallet(self) -> Mapping[str, Decimal]:
        """Return the wallet balance of each coin; an absent coin is zero."""

    async def read_margin(self) -> MarginRates:
        """Return how much of the account's margin is bound."""

    async def read_positions(self) -> list[PositionReport]:
        """Return every open USDT perpetual position."""

    async def read_transaction_log(self, start: datetime) -> list[LogRow]:
        """Return the rows from ``start`` on in the order the venue booked them, all pages."""

    async def fetch_top(self, category: Category, symbol: str) -> FeedQuote:
        """Return the top of one book, asked for now: what is left when the public feed is lost.

        Prices and sizes alone, none of a ticker's. Raises: Malformed when a side is empty.
        """

    def private_events(self) -> AsyncIterator[PrivateEvent]:
        """Yield what the private stream says; a StreamReset comes first and on each reconnect."""

    async def close(self) -> None:
        """Let go of sockets and threads."""


class MarketFeed(Protocol):
    """Public data of one venue."""

    async def fetch_instruments(self, category: Category) -> list[Instrument]:
        """Return every product of the category that trades USDT."""

    async def fetch_funding_rate_history(
        self, symbol: str, start: datetime, end: datetime
    ) -> list[FundingSettlement]:
        """Return settled rates in [start, end], oldest first, all pages."""

    async def fetch_short_pools(self, symbols: Sequence[str]) -> Mapping[str, bool]:
        """Return whether the insurance pool behind each perpetual is short, so that it deleverages.

        A symbol of which the venue tells nothing is absent.
        """

    async def fetch_ohlcv(
        self, category: Category, symbol: str, start: datetime, end: datetime
    ) -> list[Bar]:
        """Return closed hourly bars (open time, open, high, low, close, volume), oldest first."""

    async def fetch_mark_ohlcv(self, symbol: str, start: datetime, end: datetime) -> list[Bar]:
        """Return closed hourly bars of a perpetual's mark price; their volume is zero."""

    async def venue_time(self) -> datetime | None:
        """Return the newest stamp of the public feed; None before the first."""

    def quotes(self, symbols: Sequence[str]) -> AsyncIterator[list[FeedQuote]]:
        """Subscribe to both legs of ``symbols`` and yield what changed, conflated per book."""

    async def close(self) -> None:
        """Let go of sockets and threads."""
