"""Public REST: what the market lists, shows and has recorded, never more than venue time allows."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any, Final

from services.simulator.board import last_price, limit_row
from services.simulator.candles import INTERVALS, UNRECORDED, closed_candles
from services.simulator.desk import Desk
from services.simulator.listing import instrument_row
from services.simulator.margins import NO_SPREAD
from services.simulator.pool import Pressed, pool_rows
from services.simulator.query import Query, page
from services.simulator.tape import trade_row
from shared.history.records import HOUR_MS, Bar
from shared.runtime.clock import Clock
from shared.venue.amounts import plain, quotient
from shared.venue.margin import FLAT, SETTLE_COIN, CollateralTier
from shared.venue.rules import Refused, RiskTier, Rule, unknown_symbol

Row = dict[str, Any]

FUNDING_PAGE: Final = 200
KLINE_PAGE: Final = 1000
RISK_PAGE: Final = 15
UNBOUNDED: Final = Decimal(1_000_000_000)  # USDT: where one rate holds for every position
UNLISTED: Final = ("inverse", "option")
"""Products of the venue of which this one lists none; ccxt asks for all that there are."""


class PublicApi:
    """Answers without a key; the results of GET requests by method name."""

    def __init__(self, desk: Desk, wall: Clock, pressed: Pressed = frozenset) -> None:
        self._desk = desk
        self._pressed = pressed
        self._market = desk.market
        self._wall = wall

    def time(self, _: Query) -> Row:
        """Wall time: what clients sign with."""
        nanos = int(self._wall.now().timestamp() * 1_000_000) * 1000
        return {"timeSecond": str(nanos // 10**9), "timeNano": str(nanos)}

    def instruments(self, query: Query) -> Row:
        """Products by name; linear pages by cursor, spot answers whole, other kinds are empty."""
        if query.text("category") in UNLISTED:
            return {"category": query.text("category"), "list": [], "nextPageCursor": ""}
        category = query.category()
        names = self._symbols(query, category)
        base, status = query.text("baseCoin"), query.text("status", "Trading")
        rows = [instrument_row(self._market, category, name, self._desk.now_ms) for name in names]
        rows = [r for r in rows if r["status"] == status and base in ("", r["baseCoin"])]
        if category == "spot":
            return {"category": category, "list": rows}
        shown, cursor = page(rows, query, query.limit(500, 1000))
        return {"category": category, "list": shown, "nextPageCursor": cursor}

    def tickers(self, query: Query) -> Row:
        """Prices as published last; before the first publication, those that stand."""
        if query.text("category") in UNLISTED:
            return {"category": query.text("category"), "list": []}
        category = query.category()
        rows = []
        for name in self._symbols(query, category):
            shown = self._desk.board.listing(category, name).last.bar
            bar = shown or self._market.bar(name, self._hour())
            if bar is not None:
                books = self._desk.exchange.book(category, name)
                rows.append(self._desk.board.ticker(category, name, books, bar))
        return {"category": category, "list": rows}

    def orderbook(self, query: Query) -> Row:
        """What is left of one book; stamped with venue time."""
        category, name = query.category(), query.required("symbol")
        self._known(category, name)
        limit = query.limit(*((1, 1000) if category == "spot" else (25, 1000)))
        bids, asks = self._desk.exchange.book(category, name)
        now = self._desk.now_ms
        return {
            "s": name,
            "b": [[plain(price), plain(qty)] for price, qty in bids[:limit]],
            "a": [[plain(price), plain(qty)] for price, qty in asks[:limit]],
            "ts": now,
            "u": self._desk.board.listing(category, name).update,
            "seq": self._desk.board.seq,
            "cts": now,
        }

    def funding(self, query: Query) -> Row:
        """Settled rates, newest first; a start without an end is an error."""
        category, name = query.category(), query.required("symbol")
        if category != "linear":
            raise Refused(10001, "params error: category must be linear")
        self._known(category, name)
        start, end = query.integer("startTime", -1), query.integer("endTime", -1)
        if start >= 0 > end:
            raise Refused(10001, "params error: startTime needs endTime")
        limit = query.limit(FUNDING_PAGE, FUNDING_PAGE)
        now = self._desk.now_ms
        known = self._market.settled(name, now if end < 0 else min(end, now))
        rows = [
            {
                "symbol": name,
                "fundingRate": plain(s.rate),
                "fundingRateTimestamp": str(s.at_ms),
            }
            for s in reversed(known[-limit:])
            if s.at_ms >= start
        ]
        return {"category": category, "list": rows}

    def price_limit(self, query: Query) -> Row:
        """The prices a limit order may have now; ``""`` where the product holds no band."""
        category, name = query.text("category", "linear"), query.required("symbol")
        self._known(category, name)
        exchange = self._desk.exchange
        reference = (exchange.marks if category == "linear" else exchange.indexes).get(name)
        row = limit_row(exchange.rules[category, name], reference)
        return row | {"ts": str(self._desk.now_ms)}

    def adl_alert(self, query: Query) -> Row:
        """The insurance pool behind each perpetual."""
        rows = pool_rows(self._symbols(query, "linear"), self._pressed())
        return {"updatedTime": str(self._desk.now_ms), "list": rows}

    def trades(self, query: Query) -> Row:
        """The newest trades first: those of this venue's own account, there are no others."""
        category, name = query.category(), query.required("symbol")
        self._known(category, name)
        limit = query.limit(*((60, 60) if category == "spot" else (500, 1000)))
        made = (
            trade_row(e)
            for e in reversed(self._desk.exchange.executions)
            if (e.category, e.symbol, e.exec_type) == (category, name, "Trade")
        )
        return {"category": category, "list": list(islice(made, limit))}

    def risk_limit(self, query: Query) -> Row:
        """The tiers that a position's worth falls into, by product; fifteen products a page."""
        if query.category() != "linear":
            raise Refused(10001, "params error: category must be linear")
        names, cursor = page(self._symbols(query, "linear"), query, RISK_PAGE)
        rules = self._desk.exchange.rules
        rows = [row for name in names for row in _tiers(rules["linear", name])]
        return {"category": "linear", "list": rows, "nextPageCursor": cursor}

    def collateral_tiers(self, query: Query) -> Row:
        """What quantities of a coin back which share of their price."""
        rules = self._desk.exchange.rules.values()
        coins = dict.fromkeys(rule.base for rule in rules if rule.category == "spot")
        wanted = query.text("currency")
        tiers = self._desk.exchange.collateral.tiers
        return {
            "list": [
                {"currency": coin, "collateralRatioList": _brackets(tiers.get(coin, FLAT))}
                for coin in coins
                if wanted in ("", coin)
            ]
        }

    def announcements(self, query: Query) -> Row:
        """Notices: there are none."""
        query.required("locale")
        return {"total": 0, "list": []}

    def nothing(self, _: Query) -> Row:
        """What this venue has none of: fee groups, combinations."""
        return {"list": [], "nextPageCursor": ""}

    def no_history(self, query: Query) -> Row:
        """What no source records: open interest, the accounts' sides, deliveries."""
        category, name = query.category(), query.required("symbol")
        self._known(category, name)
        return {"symbol": name, "category": category, "list": [], "nextPageCursor": ""}

    def no_delivery(self, query: Query) -> Row:
        """Nothing listed here expires."""
        return {"category": query.required("category"), "list": [], "nextPageCursor": ""}

    def no_insurance(self, _: Query) -> Row:
        """The pools that several symbols share; here each has its own, see market/adlAlert."""
        return {"updatedTime": str(self._desk.now_ms), "list": []}

    def full_orderbook(self, query: Query) -> Row:
        """One book to its last level."""
        return self.orderbook(Query({**query.fields, "limit": "1000"}))

    def rpi_orderbook(self, query: Query) -> Row:
        """One book with the sizes of retail quotes, of which there are none."""
        query.required("limit")
        limit = query.limit(50, 50)
        category = query.text("category", "linear")
        said = self.orderbook(Query({**query.fields, "category": category, "limit": str(limit)}))
        return said | {side: [[*level, "0"] for level in said[side]] for side in ("b", "a")}

    def borrow_rates(self, query: Query) -> Row:
        """What coins cost to borrow by VIP level: none can be borrowed."""
        wanted = query.text("currency")
        tiers = self._desk.exchange.collateral.tiers
        rows = [
            {
                "borrowable": False,
                "collateralRatio": "1" if coin == SETTLE_COIN else plain(_first(tiers, coin)),
                "currency": coin,
                "hourlyBorrowRate": "0",
                "liquidationOrder": str(place),
                "marginCollateral": True,
                "maxBorrowingAmount": "0",
            }
            for place, coin in enumerate(self._desk.exchange.coins, 1)
            if wanted in ("", coin)
        ]
        return {"vipCoinList": [{"list": rows, "vipLevel": query.text("vipLevel", "No VIP")}]}

    def no_combination(self, query: Query) -> Row:
        """Combinations are not enabled."""
        query.required("symbol")
        raise Refused(*NO_SPREAD)

    def index_kline(self, query: Query) -> Row:
        """Bars of the index, which here is the spot price."""
        return self._bars(query, "spot", mark=True, price=lambda bar: bar.spot)

    def premium_kline(self, query: Query) -> Row:
        """Bars of perpetual over index less one, as a fraction."""
        return self._bars(
            query, "linear", mark=True, price=lambda b: quotient(b.perp - b.spot, b.spot)
        )

    def kline(self, query: Query) -> Row:
        """Bars of trades; the record has closes alone, so a bar opens at the last close."""
        category = query.text("category", "linear")
        return self._bars(query, category, mark=False)

    def mark_kline(self, query: Query) -> Row:
        """Bars of the mark price."""
        return self._bars(query, query.text("category", "linear"), mark=True)

    def _bars(
        self,
        query: Query,
        category: str,
        *,
        mark: bool,
        price: Callable[[Bar], Decimal] | None = None,
    ) -> Row:
        """Return bars, newest first; ``mark`` ones have no volume, ``price`` is what they show."""
        shown = price or ((lambda b: b.mark) if mark else partial(last_price, category))
        name, interval = query.required("symbol"), query.required("interval")
        self._known(category, name)
        if interval not in INTERVALS:
            raise Refused(10001, f"params error: only intervals {', '.join(INTERVALS)} are kept")
        start, end = query.integer("start", -1), query.integer("end", -1)
        limit = query.limit(200, KLINE_PAGE)
        rows: list[list[str]] = []
        bars = self._market.closed_bars(name, self._hour())
        if end >= 0:  # candles are made newest first: those after ``end`` need not be
            latest = end + INTERVALS[interval] * HOUR_MS
            bars = bars[: bisect_right(bars, latest, key=lambda bar: bar.at_ms)]
        for candle in closed_candles(bars, INTERVALS[interval], shown):
            if candle.start_ms < start or len(rows) == limit:
                break
            if end < 0 or candle.start_ms <= end:
                rows.append(candle.line() + ([] if mark else [UNRECORDED, UNRECORDED]))
        return {"symbol": name, "category": category, "list": rows}

    def _hour(self) -> int:
        """Return the instant up to which bars are public: books lag the hour by a minute."""
        at = self._desk.board.at_ms
        return self._desk.exchange.now_ms if at is None else at

    def _symbols(self, query: Query, category: str) -> list[str]:
        name = query.text("symbol")
        if name:
            self._known(category, name)
            return [name]
        return list(self._market.symbols)

    def _known(self, category: str, name: str) -> None:
        if (category, name) not in self._market.products:
            raise unknown_symbol(category, name)


def _tiers(rule: Rule) -> list[Row]:
    whole = RiskTier(UNBOUNDED, rule.maintenance_rate, Decimal(0), rule.max_leverage)
    return [
        {
            "id": place,
            "symbol": rule.symbol,
            "riskLimitValue": plain(tier.limit),
            "maintenanceMargin": plain(tier.rate),
            "initialMargin": plain(quotient(Decimal(1), tier.max_leverage)),
            "isLowestRisk": int(place == 1),
            "maxLeverage": plain(tier.max_leverage),
            "mmDeduction": plain(tier.deduction),
        }
        for place, tier in enumerate(rule.risk_tiers or (whole,), 1)
    ]


def _first(tiers: Mapping[str, Sequence[CollateralTier]], coin: str) -> Decimal:
    return tiers.get(coin, FLAT)[0].ratio


def _brackets(tiers: Sequence[CollateralTier]) -> list[Row]:
    rows, below = [], Decimal(0)
    for tier in tiers:
        upto = "" if tier.upto is None else plain(tier.upto)
        rows.append({"minQty": plain(below), "maxQty": upto, "collateralRatio": plain(tier.ratio)})
        below = below if tier.upto is None else tier.upto
    return rows


PUBLIC_ROUTES: Final[Mapping[str, str]] = {
    "market/time": "time",
    "market/instruments-info": "instruments",
    "market/tickers": "tickers",
    "market/orderbook": "orderbook",
    "market/funding/history": "funding",
    "market/kline": "kline",
    "market/mark-price-kline": "mark_kline",
    "market/index-price-kline": "index_kline",
    "market/premium-index-price-kline": "premium_kline",
    "market/price-limit": "price_limit",
    "market/risk-limit": "risk_limit",
    "market/recent-trade": "trades",
    "market/open-interest": "no_history",
    "market/account-ratio": "no_history",
    "market/delivery-price": "no_delivery",
    "market/insurance": "no_insurance",
    "market/full_orderbook": "full_orderbook",
    "market/rpi_orderbook": "rpi_orderbook",
    "market/fee-group-info": "nothing",
    "market/adlAlert": "adl_alert",
    "spot-margin-trade/collateral": "collateral_tiers",
    "spot-margin-trade/data": "borrow_rates",
    "spread/instrument": "nothing",
    "spread/orderbook": "no_combination",
    "spread/tickers": "no_combination",
    "spread/recent-trade": "no_combination",
    "system/status": "nothing",
    "announcements/index": "announcements",
}
