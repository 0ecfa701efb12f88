"""Bybit's rules for one unified account: orders meet books, fills move money, funding settles."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from decimal import Decimal
from typing import Any

from shared.venue.account import Account, Stamp
from shared.venue.admission import Delisting, check_delisting, check_room
from shared.venue.amounts import ROUNDED, ZERO, exact
from shared.venue.books import Book, Levels
from shared.venue.fees import fee_rate
from shared.venue.forced import Forced
from shared.venue.funds import check_spot_funds, locked, order_size
from shared.venue.margin import (
    SETTLE_COIN,
    Collateral,
    CollateralTier,
    Margin,
    account_margin,
    equity_of,
    initial_margin,
)
from shared.venue.matching import (
    banded_price,
    cancelled_order,
    market_bound,
    order_fills,
    settled_order,
)
from shared.venue.orders import OrderList, new_order
from shared.venue.records import (
    Event,
    Execution,
    LogEntry,
    Order,
    OrderRequest,
    Position,
)
from shared.venue.rules import (
    Refused,
    Rule,
    check_grid,
    check_notional,
    check_shape,
    duplicate_link_id,
    insufficient,
    unknown_order,
    unknown_symbol,
)
from shared.venue.state import account_state, decode, encode, restored_account


class Exchange:
    """Bybit's rules for one unified account, deterministic; the caller gives venue time.

    Its collections are live views: read only. Nothing can be borrowed: what a loss leaves owed in
    the settlement coin is paid at once by selling spot.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        deposits: Mapping[str, Decimal],
        now_ms: int,
        collateral: Mapping[str, Sequence[CollateralTier]] | None = None,
    ) -> None:
        self.now_ms = now_ms
        self.rules: dict[tuple[str, str], Rule] = {(r.category, r.symbol): r for r in rules}
        self.marks: dict[str, Decimal] = {}
        self.indexes: dict[str, Decimal] = {}
        self.adjusts_price: dict[str, bool] = {"spot": False, "linear": True}
        self.collateral = Collateral(collateral or {})
        self.delistings: dict[str, Delisting] = {}
        self.waiting: dict[str, None] = {}
        self._books = {key: Book() for key in self.rules}
        self._account = Account()
        self._orders = OrderList()
        self._account.deposit(deposits, now_ms)

    @property
    def wallet(self) -> Mapping[str, Decimal]:
        """Wallet balance per coin, exact."""
        return self._account.wallet

    @property
    def positions(self) -> Mapping[str, Position]:
        """Perpetual positions by symbol; a closed one stays listed with size zero."""
        return self._account.positions

    @property
    def orders(self) -> Sequence[Order]:
        """Every order ever accepted, oldest first, as it stands now."""
        return self._orders.rows

    @property
    def executions(self) -> Sequence[Execution]:
        """Every fill and funding settlement, oldest first."""
        return self._account.executions

    @property
    def log(self) -> Sequence[LogEntry]:
        """The account log, oldest first; each row carries the running balance."""
        return self._account.log

    @property
    def open_orders(self) -> Sequence[Order]:
        """Resting orders, oldest first."""
        return self._orders.open

    @property
    def coins(self) -> list[str]:
        """The settlement coin, and the base coins of all products."""
        return list(dict.fromkeys([SETTLE_COIN, *(rule.base for rule in self.rules.values())]))

    def advance(self, now_ms: int) -> None:
        """Move venue time forward; raises ValueError when it would run backwards."""
        if now_ms < self.now_ms:
            raise ValueError(f"venue time runs backwards: {now_ms} after {self.now_ms}")
        self.now_ms = now_ms

    @exact
    def set_book(self, category: str, symbol: str, bids: Levels, asks: Levels) -> None:
        """Replace one book; resting orders that it crosses fill at their own price, as makers."""
        rule = self._rule(category, symbol)
        self._books[category, symbol].reset(bids, asks)
        for order in self.open_orders:
            here = (order.category, order.symbol) == (category, symbol)
            if here and order.order_id not in self.waiting:
                self._match(order, rule, maker=True)

    def book(self, category: str, symbol: str) -> tuple[Levels, Levels]:
        """Return what is left of the bids and asks of one book, best first."""
        self._rule(category, symbol)
        book = self._books[category, symbol]
        return tuple(book.bids), tuple(book.asks)

    def set_mark(self, symbol: str, mark: Decimal, index: Decimal) -> None:
        """Set the mark and index price of one perpetual, quote per base."""
        self.marks[self._rule("linear", symbol).symbol] = mark
        self.indexes[symbol] = index

    @exact
    def place(self, request: OrderRequest) -> Order:
        """Accept an order, match it at once and return it as it stands; raises Refused.

        A post-only order that would trade is accepted and then cancelled, as on the venue.
        """
        return self.match(self.accept(request).order_id)

    @exact
    def accept(self, request: OrderRequest) -> Order:
        """Take an order without matching it: all that an acknowledgement says; raises Refused."""
        _, request, limit = self._admitted(request)
        order = new_order(request, limit, self._account.next_id(1), self.now_ms)
        self._orders.store(order)
        self.waiting[order.order_id] = None
        return order

    @exact
    def match(self, order_id: str) -> Order:
        """Match an accepted order, once, unless it was cancelled meanwhile; return it as it is."""
        order = self._orders.get(order_id)
        if order_id in self.waiting:
            del self.waiting[order_id]
            if order.is_open:
                return self._match(order, self._rule(order.category, order.symbol), maker=False)
        return order

    @exact
    def check(self, request: OrderRequest) -> Rule:
        """Raise Refused as ``place`` would, changing nothing; the product's rule otherwise."""
        return self._admitted(request)[0]

    def _admitted(self, request: OrderRequest) -> tuple[Rule, OrderRequest, Decimal | None]:
        """Return the order's product, the order as it is taken, and its price bound."""
        check_shape(request)
        rule = self._rule(request.category, request.symbol)
        if self._orders.uses(request.category, request.link_id):
            raise duplicate_link_id(request.category)
        check_grid(rule, request)
        request = self._reduced(rule, request)
        reducible = self._reducible(rule, request.side)
        delisting = self.delistings.get(rule.symbol) if rule.category == "linear" else None
        check_delisting(request, reducible, delisting, self.now_ms)
        check_room(rule, request, self.open_orders)
        limit = self._limit(rule, request)
        check_notional(rule, request, (request.price and limit) or self._best(rule, request.side))
        self._check_funds(rule, request, limit)
        return rule, request, limit

    def order(self, order_id: str) -> Order:
        """Return an order that was accepted."""
        return self._orders.get(order_id)

    def find(self, category: str, *, order_id: str = "", link_id: str = "") -> Order | None:
        """Return an order by its id, or else by the client's id."""
        return self._orders.find(category, order_id, link_id)

    @exact
    def cancel(self, category: str, symbol: str, *, order_id: str = "", link_id: str = "") -> Order:
        """Cancel a resting order and return it; Refused (110001, 170213) when it is final."""
        order = self._resting(category, symbol, order_id, link_id)
        return self._finish(order, "EC_PerCancelRequest", "CancelByUser")

    @exact
    def amend(
        self,
        category: str,
        symbol: str,
        *,
        order_id: str = "",
        link_id: str = "",
        qty: Decimal | None = None,
        price: Decimal | None = None,
    ) -> Order:
        """Change a resting order's total quantity or price, match it again and return it."""
        order = self._resting(category, symbol, order_id, link_id)
        rule = self._rule(category, symbol)
        qty, price = order.qty if qty is None else qty, order.price if price is None else price
        if (qty, price) == (order.qty, order.price):
            raise Refused(10001, "The order remains unchanged.")
        asked = OrderRequest(
            category, symbol, order.side, "Limit", qty, price, reduce_only=order.reduce_only
        )
        check_shape(asked)
        check_grid(rule, asked)
        asked = replace(asked, price=self._limit(rule, asked))
        check_notional(rule, asked, asked.price)
        if asked.qty <= order.filled_qty:
            raise Refused(10001, "qty is not above what is already filled")
        self._orders.store(cancelled_order(order, self.now_ms))  # frees what it holds back
        try:
            if not order.reduce_only:
                rest = replace(asked, qty=asked.qty - order.filled_qty)
                self._check_funds(rule, rest, asked.price)
        finally:
            self._orders.store(order)
        changed = replace(order, qty=asked.qty, price=asked.price, updated_ms=self.now_ms)
        return self._match(changed, rule, maker=False)

    @exact
    def settle(self, symbol: str, rate: Decimal) -> Execution | None:
        """Book funding on the position held now, at the current mark; None when flat."""
        rule = self._rule("linear", symbol)
        return self._account.settle(rule, rate, self._stamp(rule))

    def equity(self, prices: Mapping[str, Decimal]) -> Decimal:
        """Return the account's worth in USDT; ``prices`` are USDT per coin, without haircut."""
        held = [(p, self.marks[p.symbol]) for p in self.positions.values() if p.size]
        return equity_of(self.wallet, prices, held)

    def margin(self) -> Margin:
        """Return what backs the account and what positions and resting orders bind, in USDT."""
        held = [
            (p, self.marks[p.symbol], self.rules["linear", p.symbol])
            for p in self.positions.values()
            if p.size
        ]
        resting = [(o, self.rules[o.category, o.symbol]) for o in self.open_orders]
        return account_margin(self.wallet, self.coin_prices(), held, resting, self.collateral)

    def coin_prices(self) -> dict[str, Decimal]:
        """Return USDT per coin: the perpetual's index, or else the best spot bid."""
        prices: dict[str, Decimal] = {}
        for (category, symbol), rule in self.rules.items():
            index = self.indexes.get(symbol) if category == "linear" else None
            bid = self._books[category, symbol].best("Sell") if category == "spot" else None
            if index is not None:
                prices[rule.base] = index
            elif bid is not None:
                prices.setdefault(rule.base, bid)
        return prices

    def locked(self, coin: str) -> Decimal:
        """Return how much of ``coin`` resting spot orders hold back."""
        return locked(coin, self.open_orders, self.rules)

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Set the leverage of one perpetual; Refused when out of range or unchanged."""
        rule = self._rule("linear", symbol)
        if not 1 <= leverage <= rule.max_leverage:
            raise Refused(110013, "cannot set leverage due to risk limit")
        position = self._account.position(rule)
        if position.leverage == leverage:
            raise Refused(110043, "leverage not modified")
        self._account.positions[symbol] = replace(position, leverage=leverage)

    def drain(self) -> list[Event]:
        """Return what the private stream would push since the last call, in order."""
        events = list(self._account.events)
        self._account.events.clear()
        return events

    def head(self) -> dict[str, Any]:
        """Return the small, changing part of the state, JSON-able; rows are in the sequences."""
        return {
            "now_ms": self.now_ms,
            "marks": {symbol: str(price) for symbol, price in self.marks.items()},
            "indexes": {symbol: str(price) for symbol, price in self.indexes.items()},
            "adjusts_price": dict(self.adjusts_price),
            "collateral_off": sorted(self.collateral.off),
            "waiting": list(self.waiting),
            "delistings": {name: astuple(d) for name, d in self.delistings.items()},
            **account_state(self._account),
        }

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state but the books, JSON-able, decimals as strings."""
        return {
            "head": self.head(),
            "orders": [encode(row) for row in self.orders],
            "executions": [encode(row) for row in self.executions],
            "log": [encode(row) for row in self.log],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Replace the whole state by a snapshot; books must be set again afterwards."""
        head = state["head"]
        self.now_ms = int(head["now_ms"])
        self.marks = {symbol: Decimal(price) for symbol, price in head["marks"].items()}
        self.indexes = {symbol: Decimal(price) for symbol, price in head["indexes"].items()}
        self.adjusts_price = dict(head["adjusts_price"])
        self.collateral.off = set(head.get("collateral_off", ()))
        self.delistings = {n: Delisting(*d) for n, d in head.get("delistings", {}).items()}
        self.waiting = dict.fromkeys(head.get("waiting", ()))
        self._account = restored_account(head, state["executions"], state["log"])
        self._orders = OrderList()
        for row in state["orders"]:
            self._orders.store(decode(Order, row))
        for book in self._books.values():
            book.reset([], [])

    def cancel_where(self, fits: Callable[[Order], bool], cancel_type: str) -> list[Order]:
        """Cancel every resting order that fits, for a reason of the venue's own."""
        return [
            self._finish(order, "EC_NoError", cancel_type)
            for order in self.open_orders
            if fits(order)
        ]

    @exact
    def force(self, rule: Rule, side: str, qty: Decimal, price: Decimal, kind: Forced) -> None:
        """Trade ``qty`` at ``price`` for the account, asking neither it nor the book."""
        order = Order(
            order_id=self._account.next_id(1),
            link_id="",
            category=rule.category,
            symbol=rule.symbol,
            side=side,
            order_type="Market",
            time_in_force="IOC",
            price=price,
            qty=qty,
            reduce_only=rule.category == "linear",
            market_unit="baseCoin",
            status="New",
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
            create_type=kind.create_type,
        )
        stamp = self._stamp(rule)
        order = self._account.fill(order, rule, price, qty, stamp, maker=False, forced=kind)
        if kind.has_order:
            order = replace(order, status="Filled")
            self._orders.store(order)
            self._account.events.append(Event("order", order))
        self._tell(rule)

    def _rule(self, category: str, symbol: str) -> Rule:
        rule = self.rules.get((category, symbol))
        if rule is None:
            raise unknown_symbol(category, symbol)
        return rule

    def _stamp(self, rule: Rule) -> Stamp:
        mark = self.marks.get(rule.symbol, ZERO) if rule.category == "linear" else ZERO
        return Stamp(self.now_ms, mark)

    def _reduced(self, rule: Rule, request: OrderRequest) -> OrderRequest:
        """Return the request cut to what it may reduce; spot knows no reduce-only."""
        if not request.reduce_only:
            return request
        if rule.category == "spot":
            return replace(request, reduce_only=False)
        least = self._reducible(rule, request.side)
        if not least:
            raise Refused(110017, "current position is zero, cannot fix reduce-only order qty")
        return replace(request, qty=min(request.qty or rule.max_qty, least))

    def _reducible(self, rule: Rule, side: str) -> Decimal:
        if rule.category == "spot":
            return ZERO
        size = self._account.position(rule).size
        return max(ZERO, size if side == "Sell" else -size)

    def _limit(self, rule: Rule, request: OrderRequest) -> Decimal | None:
        """Return the price bound; a market order is an order bounded around the touch."""
        if request.order_type == "Market":
            best = self._best(rule, request.side)
            return market_bound(best, request, rule.tick) if best is not None else None
        reference = (self.marks if rule.category == "linear" else self.indexes).get(rule.symbol)
        if request.price is None or reference is None:
            return request.price
        adjusts = self.adjusts_price[rule.category]
        return banded_price(rule, request.side, request.price, reference, adjusts=adjusts)

    def _best(self, rule: Rule, side: str) -> Decimal | None:
        return self._books[rule.category, rule.symbol].best(side)

    def _check_funds(self, rule: Rule, request: OrderRequest, limit: Decimal | None) -> None:
        """Raise Refused when the wallet or the margin cannot carry the order."""
        cost, qty = order_size(rule, request, limit, self._books[rule.category, rule.symbol])
        available = self.margin().available
        if rule.category == "spot":
            free = {c: self.wallet.get(c, ZERO) - self.locked(c) for c in (rule.base, rule.quote)}
            check_spot_funds(rule, request.side, (cost, qty), free, available, self.collateral)
            return
        opening = max(ZERO, request.qty - self._reducible(rule, request.side))
        if not opening or request.reduce_only or not cost:
            return
        value = ROUNDED.divide(opening * cost, request.qty)
        leverage = self._account.position(rule).leverage
        fees = cost * max(ZERO, fee_rate(rule, is_maker=False))
        if initial_margin(value, leverage) + fees > available:
            raise insufficient(rule.category)

    def _match(self, order: Order, rule: Rule, *, maker: bool) -> Order:
        """Fill what the book allows, book the money, queue the messages, return the order."""
        book = self._books[rule.category, rule.symbol]
        reducible = self._reducible(rule, order.side)
        fills, reason = order_fills(order, rule, book, reducible, maker=maker)
        book.take(order.side, fills)
        told = len(self._account.events)
        for price, qty in fills:
            paid = order.price if maker and order.price is not None else price
            order = self._account.fill(order, rule, paid, qty, self._stamp(rule), maker=maker)
        reducible = self._reducible(rule, order.side)
        order = settled_order(order, reducible, reason, self.now_ms)
        if maker and not fills and order.is_open:
            return order
        self._orders.store(order)
        self._account.events.insert(told, Event("order", order))
        self._tell(rule, traded=bool(fills))
        return order

    def _tell(self, rule: Rule, *, traded: bool = True) -> None:
        if rule.category == "linear":
            self._account.events.append(Event("position", self._account.position(rule)))
        if traded:
            coins = (rule.base, rule.quote) if rule.category == "spot" else (rule.quote,)
            self._account.tell_wallet(*coins)

    def _finish(self, order: Order, reason: str, cancel_type: str) -> Order:
        order = cancelled_order(order, self.now_ms, reason=reason, cancel_type=cancel_type)
        self._orders.store(order)
        self._account.events.append(Event("order", order))
        self._tell(self.rules[order.category, order.symbol], traded=False)
        return order

    def _resting(self, category: str, symbol: str, order_id: str, link_id: str) -> Order:
        self._rule(category, symbol)
        order = self.find(category, order_id=order_id, link_id=link_id)
        if order is None or order.symbol != symbol or not order.is_open:
            raise unknown_order(category)
        return order
