"""Private REST: orders, executions and positions."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from services.simulator.desk import Desk
from services.simulator.pool import Pressed
from services.simulator.query import WEEK_MS, Query, newest, page
from services.simulator.wire import closed_row, execution_row, order_row, position_row
from shared.venue.amounts import ZERO, plain
from shared.venue.closed import ClosedBook
from shared.venue.exchange import Exchange
from shared.venue.records import Order, OrderRequest, Position
from shared.venue.rules import Refused, unknown_symbol

Row = dict[str, Any]

Sample = Callable[[Sequence[Order], int], list[Order]]
"""Draws so many orders by lot."""

CLOSED_KEPT: Final = 500
CANCEL_ALL_MAX: Final = 500
UNFILLED_KEPT_MS: Final = 86_400_000


class TradingApi:
    """Orders and what became of them, for the one key of this venue."""

    def __init__(self, desk: Desk, sample: Sample, pressed: Pressed = frozenset) -> None:
        self._desk = desk
        self._exchange = desk.exchange
        self._sample = sample
        self._pressed = pressed
        self._closed = ClosedBook()

    @property
    def now_ms(self) -> int:
        """Venue time."""
        return self._desk.now_ms

    async def create(self, query: Query) -> Row:
        """Accept an order; what becomes of it is told on the private stream."""
        request = order_request(query)
        order = await self._desk.submit(request)
        return _ids(order)

    async def amend(self, query: Query) -> Row:
        """Change quantity or price of a resting order."""
        category, symbol = query.category(), query.required("symbol")
        order_id, link_id = _which(query)
        qty, price = query.amount("qty"), query.amount("price")
        order = await self._desk.act(
            lambda e: e.amend(
                category, symbol, order_id=order_id, link_id=link_id, qty=qty, price=price
            )
        )
        return _ids(order)

    async def cancel(self, query: Query) -> Row:
        """Cancel a resting order; one that is final is "not found"."""
        category, symbol = query.category(), query.required("symbol")
        order_id, link_id = _which(query)
        order = await self._desk.act(
            lambda e: e.cancel(category, symbol, order_id=order_id, link_id=link_id)
        )
        return _ids(order)

    async def cancel_all(self, query: Query) -> Row:
        """Cancel what rests; linear needs a symbol or a coin, and takes 500 at random of more."""
        category = query.category()
        symbol, coin = self._listed(query), query.text("settleCoin") or query.text("baseCoin")
        if category == "linear" and not (symbol or coin):
            raise Refused(10001, "params error: symbol, baseCoin or settleCoin is required")

        def change(exchange: Exchange) -> list[Order]:
            chosen = [o for o in exchange.open_orders if _concerns(exchange, o, category, query)]
            if category == "linear" and len(chosen) > CANCEL_ALL_MAX:
                chosen = self._sample(chosen, CANCEL_ALL_MAX)
            return [exchange.cancel(category, o.symbol, order_id=o.order_id) for o in chosen]

        return {"list": [_ids(o) for o in await self._desk.act(change)], "success": "1"}

    async def realtime(self, query: Query) -> Row:
        """Open orders, or the newest closed ones; an id finds either."""
        category = query.category()
        by_id = query.text("orderId") or query.text("orderLinkId")
        coin = query.text("settleCoin") or query.text("baseCoin")
        if category == "linear" and not (by_id or self._listed(query) or coin):
            raise Refused(10001, "params error: symbol, settleCoin or baseCoin is required")
        rows = self._exchange.orders
        if by_id:
            kept = [o for o in self._named(category, query) if self._is_recent(o)]
            return {"category": category, "list": [order_row(o) for o in kept]} | _LAST
        closed = query.text("openOnly", "0") == "1"
        oldest = self._oldest_recent() if closed else 0
        return self._orders(query, rows, lambda o: o.is_open != closed, oldest)

    async def history(self, query: Query) -> Row:
        """Orders that are final, newest first."""
        category = query.category()
        if query.text("orderId") or query.text("orderLinkId"):
            found = [o for o in self._named(category, query) if self._is_kept(o)]
            return {"category": category, "list": [order_row(o) for o in found]} | _LAST
        start, end = query.span(self._desk.now_ms, WEEK_MS, 10001)
        return self._orders(
            query,
            self._exchange.orders,
            lambda o: self._is_kept(o) and start <= o.created_ms <= end,
        )

    async def executions(self, query: Query) -> Row:
        """Fills and settlements, newest first; an id overrides every other filter."""
        category = query.category()
        order_id, link_id = query.text("orderId"), query.text("orderLinkId")
        symbol, kind = self._listed(query), query.text("execType")
        start, end = query.span(self._desk.now_ms, WEEK_MS, 10001)
        rows, cursor = newest(
            query,
            self._exchange.executions,
            lambda e: (
                e.category == category
                and (
                    (e.order_id == order_id if order_id else e.link_id == link_id)
                    if order_id or link_id
                    else start <= e.time_ms <= end
                    and symbol in ("", e.symbol)
                    and kind in ("", e.exec_type)
                )
            ),
            query.limit(50, 100),
        )
        shown = [execution_row(e) for e in rows]
        return {"category": category, "list": shown, "nextPageCursor": cursor}

    async def positions(self, query: Query) -> Row:
        """One position, flat or not, by its symbol; or all that are open."""
        category, symbol = _perpetual(query), query.text("symbol")
        if not symbol and not query.text("settleCoin"):
            raise Refused(10001, "params error: symbol or settleCoin is required")
        if symbol:
            found = [self._position(symbol)]
        else:
            held = self._exchange.positions.values()
            found = [p for p in held if p.size and self._settles_in(p, query.text("settleCoin"))]
        shown, cursor = page(found, query, query.limit(20, 200))
        rows = [position_row(p, self._exchange, self._pressed()) for p in shown]
        return {"category": category, "list": rows, "nextPageCursor": cursor}

    async def leverages(self, query: Query) -> Row:
        """Leverage of one perpetual, held or not, or of all."""
        category, symbol = _perpetual(query), query.text("symbol")
        names = [symbol] if symbol else [s for c, s in self._exchange.rules if c == category]
        rows = [
            {
                "symbol": name,
                "leverage": plain(self._position(name).leverage),
                "side": self._position(name).side,
                "positionIdx": 0,
            }
            for name in names
        ]
        return {"category": category, "list": rows}

    async def closed_pnl(self, query: Query) -> Row:
        """What each order that closed some of a position brought, newest first."""
        category, symbol = _perpetual(query), self._listed(query)
        start, end = query.span(self._desk.now_ms, WEEK_MS, 10001)
        rows, cursor = newest(
            query,
            self._closed.rows(self._exchange.executions),
            lambda r: start <= r.created_ms <= end and symbol in ("", r.last.symbol),
            query.limit(50, 100),
        )
        shown = [closed_row(r, self._position(r.last.symbol).leverage) for r in rows]
        return {"category": category, "list": shown, "nextPageCursor": cursor}

    async def set_leverage(self, query: Query) -> Row:
        """Set one leverage for both sides."""
        _perpetual(query)
        symbol = query.required("symbol")
        buy, sell = query.amount("buyLeverage"), query.amount("sellLeverage")
        if buy is None or buy != sell:
            raise Refused(10001, "params error: buyLeverage must equal sellLeverage")
        await self._desk.act(lambda exchange: exchange.set_leverage(symbol, buy))
        return {}

    async def switch_mode(self, query: Query) -> Row:
        """Stay in one-way mode, the only one of this venue."""
        if query.integer("mode", 0) == 0:
            raise Refused(110025, "Position mode is not modified")
        if any(p.size for p in self._exchange.positions.values()):
            raise Refused(110024, "You have an existing position, so cannot switch position mode")
        if any(o.category == "linear" for o in self._exchange.open_orders):
            raise Refused(110028, "You have existing open orders, so cannot switch position mode")
        raise Refused(10001, "params error: hedge mode is not offered here")

    def _orders(
        self, query: Query, rows: Sequence[Order], fits: Callable[[Order], bool], oldest: int = 0
    ) -> Row:
        category = query.category()
        self._listed(query)
        found, cursor = newest(
            query,
            rows,
            lambda o: fits(o) and _concerns(self._exchange, o, category, query),
            query.limit(20, 50),
            oldest,
        )
        shown = [order_row(o) for o in found]
        return {"category": category, "list": shown, "nextPageCursor": cursor}

    def _named(self, category: str, query: Query) -> list[Order]:
        order = self._exchange.find(
            category, order_id=query.text("orderId"), link_id=query.text("orderLinkId")
        )
        return [order] if order is not None else []

    def _oldest_recent(self) -> int:
        """Return the place of the oldest closed order that realtime remembers."""
        return max(self._desk.forgotten, len(self._exchange.orders) - CLOSED_KEPT)

    def _is_recent(self, order: Order) -> bool:
        return order.is_open or self._desk.place(order) >= self._oldest_recent()

    def _is_kept(self, order: Order) -> bool:
        """Whether the history shows an order: without a fill it is forgotten after a day (wall)."""
        if order.is_open or order.filled_qty:
            return not order.is_open
        return self._desk.clock.wall_ms() - self._desk.changed_ms(order) < UNFILLED_KEPT_MS

    def _position(self, symbol: str) -> Position:
        rule = self._exchange.rules.get(("linear", symbol))
        if rule is None:
            raise unknown_symbol("linear", symbol)
        flat = Position(symbol, ZERO, ZERO, rule.max_leverage)
        return self._exchange.positions.get(symbol, flat)

    def _listed(self, query: Query) -> str:
        """Return the symbol asked for, which may be left out but not be unknown."""
        category, symbol = query.required("category"), query.text("symbol")
        if symbol and (category, symbol) not in self._exchange.rules:
            raise unknown_symbol(category, symbol)
        return symbol

    def _settles_in(self, position: Position, coin: str) -> bool:
        return self._exchange.rules["linear", position.symbol].quote == coin


def order_request(query: Query) -> OrderRequest:
    """Return the order asked for; what this venue does not model is refused, never ignored."""
    category, kind = query.category(), query.required("orderType")
    if query.integer("positionIdx", 0) != 0:
        raise Refused(10001, "position idx not match position mode")
    if query.flag("isLeverage"):
        raise Refused(170344, "Margin trading is not supported for this symbol.")
    for name in ("triggerPrice", "takeProfit", "stopLoss", "bboSideType"):
        if query.text(name) not in ("", "0"):
            raise Refused(10001, f"params error: {name} is not offered here")
    if query.text("orderFilter", "Order") != "Order":
        raise Refused(10001, "params error: orderFilter is not offered here")
    qty = query.amount("qty")
    side = query.required("side")
    by_quote = category == "spot" and kind == "Market" and side == "Buy"
    return OrderRequest(
        category=category,
        symbol=query.required("symbol"),
        side=side,
        order_type=kind,
        qty=ZERO if qty is None else qty,
        price=query.amount("price") if kind == "Limit" else None,
        time_in_force="IOC" if kind == "Market" else query.text("timeInForce", "GTC"),
        link_id=query.text("orderLinkId"),
        reduce_only=query.flag("reduceOnly"),
        market_unit=query.text("marketUnit", "quoteCoin" if by_quote else "baseCoin"),
        slippage_type=query.text("slippageToleranceType"),
        slippage=query.amount("slippageTolerance") or ZERO,
        closes_all=query.flag("closeOnTrigger"),
    )


def _perpetual(query: Query) -> str:
    """Return the category, which has to be that of positions."""
    category = query.required("category")
    if category != "linear":
        raise Refused(10001, "params error: category must be linear")
    return category


def _which(query: Query) -> tuple[str, str]:
    order_id, link_id = query.text("orderId"), query.text("orderLinkId")
    if not (order_id or link_id):
        raise Refused(10001, "params error: orderId or orderLinkId is required")
    return order_id, link_id


def _concerns(exchange: Exchange, order: Order, category: str, query: Query) -> bool:
    """Whether an order is of the category and symbol asked for, or of the base or settle coin."""
    rule = exchange.rules[order.category, order.symbol]
    named = {"symbol": order.symbol, "baseCoin": rule.base, "settleCoin": rule.quote}
    asked = next((name for name in named if query.text(name)), None)
    return (
        order.category == category
        and (asked is None or named[asked] == query.text(asked))
        and query.text("orderStatus") in ("", order.status)
    )


def _ids(order: Order) -> Row:
    return {"orderId": order.order_id, "orderLinkId": order.link_id}


_LAST: Final[Row] = {"nextPageCursor": ""}
