"""``BybitGateway``: orders, account and the private stream of one unified account."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from shared.domain.errors import Malformed, Misconfigured, OutcomeUnknown
from shared.domain.instrument import Category
from shared.domain.money import plain
from shared.domain.order import OrderTicket
from shared.exchange.bybit.account import (
    require_collateral,
    require_cross_margin,
    require_key,
    require_positions,
)
from shared.exchange.bybit.budget import Budget, Priority
from shared.exchange.bybit.budgeted import BudgetedRest
from shared.exchange.bybit.endpoints import Endpoints
from shared.exchange.bybit.errors import CANCEL_DONE_CODES
from shared.exchange.bybit.parse import (
    PRIVATE_TOPICS,
    Row,
    milliseconds,
    parse_execution,
    parse_key,
    parse_log_row,
    parse_margin,
    parse_order,
    parse_position,
    parse_private,
    parse_top,
    parse_wallet,
    rows,
    stamp,
)
from shared.exchange.bybit.pybit_socket import pybit_connector
from shared.exchange.bybit.rest import RECV_WINDOW_MS, Credentials, Rest, RestClient
from shared.exchange.bybit.stream import Connect, SupervisedStream
from shared.exchange.ports import (
    ExecutionReport,
    FeedQuote,
    KeyInfo,
    LogRow,
    MarginRates,
    OrderReport,
    PositionReport,
    PrivateEvent,
    StreamReset,
)
from shared.runtime.clock import Clock
from shared.runtime.crash import CrashPoint, reached

WINDOW: Final = timedelta(days=7)
PAGES_MAX: Final = 10_000


class BybitGateway:
    """Implements ``TradingGateway``. ``venue`` is CARRY_VENUE; live keys must be bound to an IP.

    ``rest`` and ``connect`` are the seams for another library than pybit; both are closed here.
    ``on_ban`` hears that the venue answers this address no more.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        credentials: Credentials,
        *,
        venue: str,
        clock: Clock,
        draw: Callable[[], float],
        on_ban: Callable[[], None] = lambda: None,
        receive_window_ms: int = RECV_WINDOW_MS,
        rest: Rest | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._venue = venue
        self._clock = clock
        self._draw = draw
        self._rest = BudgetedRest(
            rest
            or RestClient(
                endpoints.rest, credentials, clock=clock, receive_window_ms=receive_window_ms
            ),
            Budget(clock, on_ban),
            clock,
        )
        self._connect = connect or pybit_connector(credentials)
        self._streams: list[SupervisedStream] = []
        self._probe = "BTCUSDT"

    async def check_account(self, symbols: Sequence[str], coins: Sequence[str]) -> KeyInfo:
        """Verify the account; price-limit behaviour is set where it differs.

        Raises: Misconfigured with the remedy.
        """
        if symbols:
            self._probe = symbols[0]
        key_row, account, collateral, positions = await asyncio.gather(
            self._rest.read("get_api_key_information"),
            self._rest.read("get_account_info"),
            self._rest.read("get_collateral_info"),
            asyncio.gather(
                *(self._rest.read("get_positions", category="linear", symbol=s) for s in symbols)
            ),
        )
        key = parse_key(key_row)
        require_key(key, key_row, self._venue)
        require_cross_margin(account)
        require_collateral(rows(collateral), coins)
        require_positions([row for result in positions for row in rows(result)])
        await self._refuse_moved_prices()
        return key

    async def place_order(self, ticket: OrderTicket, signed_at: datetime) -> str:
        """Send one limit order, once, and return the venue's order id."""
        query: dict[str, str | int | bool] = {
            "category": ticket.category.value,
            "symbol": ticket.symbol,
            "side": ticket.side.value,
            "orderType": "Limit",
            "timeInForce": "PostOnly" if ticket.rests else "IOC",
            "qty": plain(ticket.quantity),
            "price": plain(ticket.limit_price),
            "orderLinkId": ticket.link_id,
        }
        if ticket.category is Category.SPOT:
            query["isLeverage"] = 0
        else:
            query |= {"positionIdx": 0, "reduceOnly": ticket.reduce_only}
        priority = Priority.OPEN if ticket.opens else Priority.REDUCE
        sending = asyncio.ensure_future(
            self._rest.write("place_order", query, priority=priority, signed_at=signed_at)
        )
        await asyncio.sleep(0)  # the request is another thread's now
        reached(CrashPoint.SENDING)
        result = await sending
        order_id = result.get("orderId")
        if not isinstance(order_id, str) or not order_id:
            raise OutcomeUnknown(f"{ticket.link_id}: accepted without an order id")
        return order_id

    async def cancel_order(self, category: Category, symbol: str, link_id: str) -> None:
        """Ask for a cancel; an order that is final already counts as done."""
        query = {"category": category.value, "symbol": symbol, "orderLinkId": link_id}
        await self._rest.write(
            "cancel_order", query, priority=Priority.REDUCE, done_codes=CANCEL_DONE_CODES
        )

    async def read_order(self, category: Category, symbol: str, link_id: str) -> OrderReport | None:
        """Return the order from the open list or the history; None when neither knows it."""
        for method in ("get_open_orders", "get_order_history"):
            result = await self._rest.read(
                method, category=category.value, symbol=symbol, orderLinkId=link_id
            )
            for row in rows(result):
                if row.get("orderLinkId") == link_id:
                    return parse_order(row, category)
        return None

    async def read_open_orders(self) -> list[OrderReport]:
        """Return every open order of both categories; first in turn: it is asked to cancel them."""
        first = Priority.REDUCE
        spot, linear = await asyncio.gather(
            self._pages("get_open_orders", first, category="spot", openOnly=0, limit=50),
            self._pages(
                "get_open_orders", first, category="linear", settleCoin="USDT", openOnly=0, limit=50
            ),
        )
        reports = [
            *(parse_order(row, Category.SPOT) for row in spot),
            *(parse_order(row, Category.LINEAR) for row in linear),
        ]
        return [report for report in reports if not report.is_final]

    async def read_executions(
        self, category: Category, *, link_id: str | None = None, start: datetime | None = None
    ) -> list[ExecutionReport]:
        """Return executions, oldest first, all pages; without bounds those of the last 7 days."""
        query: dict[str, str | int] = {"category": category.value, "limit": 100}
        if link_id is not None:
            found = await self._pages("get_executions", **query, orderLinkId=link_id)
        elif start is None:
            found = await self._pages("get_executions", **query)
        else:
            found = await self._windows("get_executions", start, **query)
        reports = {str(row.get("execId")): parse_execution(row, category) for row in found}
        return sorted(reports.values(), key=lambda r: (r.fill.venue_at, r.fill.exec_id))

    async def read_wallet(self) -> Mapping[str, Decimal]:
        """Return the wallet balance of each coin; an absent coin is zero."""
        return parse_wallet(await self._rest.read("get_wallet_balance", accountType="UNIFIED"))

    async def read_margin(self) -> MarginRates:
        """Return the account's margin rates, fractions; None in isolated margin."""
        return parse_margin(await self._rest.read("get_wallet_balance", accountType="UNIFIED"))

    async def read_positions(self) -> list[PositionReport]:
        """Return every open USDT perpetual position."""
        found = await self._pages("get_positions", category="linear", settleCoin="USDT", limit=200)
        return [report for row in found if (report := parse_position(row)).quantity]

    async def read_transaction_log(self, start: datetime) -> list[LogRow]:
        """Return the rows from ``start`` on in the order the venue booked them, all pages."""
        found = await self._windows("get_transaction_log", start, accountType="UNIFIED", limit=50)
        parsed = [parse_log_row(row) for row in found]
        return list({row.key: row for row in parsed}.values())

    async def fetch_top(self, category: Category, symbol: str) -> FeedQuote:
        """Return the top of one book; first in turn: it is asked to hedge and to take back."""
        book = await self._rest.read(
            "get_orderbook", Priority.REDUCE, category=category.value, symbol=symbol, limit=1
        )
        return parse_top(book, category)

    async def private_events(self) -> AsyncIterator[PrivateEvent]:
        """Yield what the private stream says; a StreamReset comes first and on each reconnect.

        Raises: Malformed on a message that cannot be read: what moves money is never skipped.
        """
        stream = SupervisedStream(
            self._endpoints.private,
            PRIVATE_TOPICS,
            self._connect,
            clock=self._clock,
            draw=self._draw,
        )
        self._streams.append(stream)
        async with contextlib.aclosing(stream.batches()) as batches:
            async for batch in batches:
                if batch.is_reset:
                    yield StreamReset()
                for message in batch.messages:
                    for event in parse_private(message):
                        yield event

    async def close(self) -> None:
        """Let go of sockets and threads."""
        await asyncio.gather(*(stream.close() for stream in self._streams))
        await self._rest.close()

    async def _refuse_moved_prices(self) -> None:
        """Make both products reject a price outside the band instead of moving it, and check."""
        if _rejects(await self._rest.read("get_user_setting_config")):
            return
        for category in ("spot", "linear"):
            await self._rest.write(
                "set_limit_price_action",
                {"category": category, "modifyEnable": False},
                priority=Priority.READ,
            )
        if not _rejects(await self._rest.read("get_user_setting_config")):
            raise Misconfigured(
                "The account moves prices outside the limit; set limit-price action to reject "
                "for spot and derivatives."
            )

    async def _windows(self, method: str, start: datetime, /, **query: str | int) -> list[Row]:
        """Return all rows from ``start`` to the venue's now, oldest first, 7 days at a time."""
        first, now = await asyncio.gather(self._window(method, start, **query), self._venue_now())
        found = first
        while (start := start + WINDOW) <= now:
            found = found + await self._window(method, start, **query)
        return found

    async def _window(self, method: str, start: datetime, /, **query: str | int) -> list[Row]:
        end = start + WINDOW - timedelta(milliseconds=1)
        found = await self._pages(
            method, **query, startTime=milliseconds(start), endTime=milliseconds(end)
        )
        return found[::-1]

    async def _pages(
        self, method: str, priority: Priority = Priority.READ, /, **query: str | int
    ) -> list[Row]:
        """Return the rows of all pages as the venue lists them, newest first."""
        found: list[Row] = []
        cursors = {""}
        for _ in range(PAGES_MAX):
            result = await self._rest.read(method, priority, **query)
            page = rows(result)
            found += page
            cursor = str(result.get("nextPageCursor") or "")
            if not page or cursor in cursors:
                return found
            cursors.add(cursor)
            query["cursor"] = cursor
        raise Malformed(f"{method} has more than {PAGES_MAX} pages")

    async def _venue_now(self) -> datetime:
        """Return venue time from inside a result: envelopes and /market/time carry wall time."""
        book = await self._rest.read(
            "get_orderbook", category="linear", symbol=self._probe, limit=1
        )
        return stamp(book, "ts")


def _rejects(config: Mapping[str, Any]) -> bool:
    """Whether both products reject: the venue's two flags have opposite senses."""
    return config.get("lpaSpot") is False and config.get("lpaPerp") is True
