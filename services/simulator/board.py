"""What the public sees: books and tickers, as the venue's source moves them."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final

from services.simulator.candles import BARS_MOST, INTERVALS, UNRECORDED, moved_candles
from services.simulator.market import Product, Source
from shared.history.records import Bar
from shared.history.rules import ProductRules
from shared.venue.amounts import ceil_to, floor_to, plain, quotient
from shared.venue.books import Levels
from shared.venue.matching import price_bounds
from shared.venue.rules import Rule

Row = dict[str, Any]
Lines = list[list[str]]

DEPTHS: Final = ("orderbook.50", "orderbook.200", "orderbook.1000")  # all hold every level
KINDS: Final = ("tickers", "orderbook.1", *DEPTHS)
LIMITS: Final = "priceLimit"
DERIVED: Final = (LIMITS, *(f"kline.{interval}" for interval in INTERVALS))
"""Kinds that are made only for products of which somebody has asked for them."""
SEQ_PER_MS: Final = 1000  # room for the messages of one millisecond


class Shown:
    """One product as it was published once; its texts are made when first asked for.

    Most products have no reader: what nobody asks for is never written out.
    """

    __slots__ = ("_lines", "_ticker", "at_ms", "bar", "books", "seq", "update", "write_ticker")

    def __init__(
        self,
        books: tuple[Levels, Levels],
        bar: Bar | None,
        write_ticker: Callable[["Shown"], Row],
        stamps: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self.books = books
        self.bar = bar
        self.write_ticker = write_ticker
        self.at_ms, self.seq, self.update = stamps
        self._lines: tuple[Lines, Lines] | None = None
        self._ticker: Row | None = None

    @property
    def lines(self) -> tuple[Lines, Lines]:
        """Bids and asks as texts."""
        if self._lines is None:
            bids, asks = self.books
            self._lines = _lines(bids), _lines(asks)
        return self._lines

    @property
    def ticker(self) -> Row:
        """The whole ticker; empty before the first prices."""
        if self._ticker is None:
            self._ticker = self.write_ticker(self) if self.bar is not None else {}
        return self._ticker


@dataclass(slots=True)
class Listing:
    """One product: what was published last, what before; ``update`` counts its publications."""

    category: str
    symbol: str
    last: Shown
    before: Shown
    update: int = 0


@dataclass(frozen=True, slots=True)
class Publication:
    """One topic's news: ``whole`` for who sees it first, ``change`` for who has seen the last."""

    category: str
    topic: str
    symbol: str
    last: Shown
    before: Shown

    def whole(self) -> Row:
        """Return all there is to say."""
        if self.topic.startswith("tickers"):
            return self._message("snapshot", self.last.ticker, cs=self.last.seq)
        bids, asks = self.last.lines
        top = self.topic.startswith("orderbook.1.")
        return self._book("snapshot", *((bids[:1], asks[:1]) if top else (bids, asks)))

    def change(self) -> Row:
        """Return what is new since the publication before; some topics always say all."""
        if self.topic.startswith("tickers") and self.category == "linear":
            old = self.before.ticker
            changed = {k: v for k, v in self.last.ticker.items() if old.get(k) != v}
            data = {"symbol": self.symbol, **changed}
            return self._message("delta", data, cs=self.last.seq)
        if self.topic.startswith(("tickers", "orderbook.1.")):
            return self.whole()
        pairs = zip(self.before.lines, self.last.lines, strict=True)
        return self._book("delta", *(_changes(old, new) for old, new in pairs))

    def _book(self, form: str, bids: Lines, asks: Lines) -> Row:
        last = self.last
        data = {"s": self.symbol, "b": bids, "a": asks, "u": last.update, "seq": last.seq}
        return self._message(form, data, cts=last.at_ms)

    def _message(self, form: str, data: Row, **more: int) -> Row:
        return {"topic": self.topic, "type": form, "ts": self.last.at_ms, "data": data, **more}


@dataclass(frozen=True, slots=True)
class Derived:
    """News that follow from the prices; ``write`` says what happened after an instant."""

    category: str
    topic: str
    last: Shown
    before: Shown
    write: Callable[[Shown, int], Row]

    def whole(self) -> Row:
        """Return what stands now."""
        return self._message(_priced_ms(self.last) - 1)

    def change(self) -> Row:
        """Return what is new since the publication before."""
        before = _priced_ms(self.before)
        return self._message(before) if before else self.whole()

    def _message(self, since_ms: int) -> Row:
        written = self.write(self.last, since_ms)
        return {"topic": self.topic, **written, "ts": self.last.at_ms}


News = Publication | Derived


class Board:
    """Publishes what ``show`` is given; nothing is published before the first."""

    def __init__(self, market: Source) -> None:
        self._market = market
        self.at_ms: int | None = None
        self._seq = 0
        self._listings: dict[Product, Listing] = {}
        self._days: dict[Product, tuple[int, tuple[Decimal, ...]]] = {}
        self._asked: dict[Product, list[str]] = {}
        for category, symbol in market.products:
            nothing = self._shown(category, symbol, ([], []), None)
            self._listings[category, symbol] = Listing(category, symbol, nothing, nothing)

    @property
    def seq(self) -> int:
        """The venue's global sequence: it only grows, also over a restart."""
        return self._seq

    def listing(self, category: str, symbol: str) -> Listing:
        """Return one product as published last."""
        return self._listings[category, symbol]

    def restart(self) -> None:
        """Count publications anew: the first of each book has ``u`` 1, which resets its readers."""
        for listing in self._listings.values():
            listing.update = 0

    def open_at(self, at_ms: int) -> None:
        """Stamp what follows with ``at_ms``."""
        self.at_ms = at_ms
        self._seq = max(self._seq, at_ms * SEQ_PER_MS)

    def show(
        self, category: str, symbol: str, books: tuple[Levels, Levels], bar: Bar
    ) -> list[News]:
        """Take one product's new book and prices in and return what its topics say."""
        listing = self._listings[category, symbol]
        self._seq += 1
        listing.update += 1
        stamps = self.at_ms or 0, self._seq, listing.update
        listing.before = listing.last
        listing.last = self._shown(category, symbol, books, bar, stamps)
        told: list[News] = [_publication(listing, kind) for kind in KINDS]
        asked = self._asked.get((category, symbol), ())
        return [*told, *(self._derived(listing, kind) for kind in asked)]

    def ask(self, category: str, topic: str) -> None:
        """Make the news of ``topic`` from now on, if they are not made anyway."""
        kind, _, symbol = topic.rpartition(".")
        asked = self._asked.setdefault((category, symbol), [])
        if kind in DERIVED and kind not in asked:
            asked.append(kind)

    def publication(self, category: str, topic: str) -> News | None:
        """Return what a topic said last, to whom it is new; None before it said anything."""
        kind, _, symbol = topic.rpartition(".")
        listing = self._listings.get((category, symbol))
        if self.at_ms is None or listing is None or not listing.update:
            return None
        if kind in DERIVED:
            return self._derived(listing, kind)
        return _publication(listing, kind) if kind in KINDS else None

    def ticker(self, category: str, symbol: str, books: tuple[Levels, Levels], bar: Bar) -> Row:
        """Return the row of market/tickers for a product that may not be published yet."""
        shown = self._shown(category, symbol, books, bar)
        return self._ticker(category, symbol, shown, rest=True)

    def _derived(self, listing: Listing, kind: str) -> Derived:
        write = self._limits if kind == LIMITS else partial(self._candles, kind.partition(".")[2])
        product = listing.category, listing.symbol
        topic = f"{kind}.{listing.symbol}"
        write_product = partial(write, *product)
        return Derived(listing.category, topic, listing.last, listing.before, write_product)

    def _limits(self, category: str, symbol: str, last: Shown, _: int) -> Row:
        assert last.bar is not None
        product = self._market.products[category, symbol]
        index = self._market.index(symbol, last.bar)
        reference = last.bar.mark if category == "linear" else index
        return {"data": limit_row(product, reference)}

    def _candles(
        self, interval: str, category: str, symbol: str, last: Shown, since_ms: int
    ) -> Row:
        now = last.bar
        assert now is not None
        bars = self._market.closed_bars(symbol, now.at_ms, BARS_MOST)
        candles = moved_candles(
            bars, INTERVALS[interval], partial(last_price, category), now, since_ms
        )
        return {"type": "snapshot", "data": [c.row(interval, now.at_ms) for c in candles]}

    def _shown(
        self,
        category: str,
        symbol: str,
        books: tuple[Levels, Levels],
        bar: Bar | None,
        stamps: tuple[int, int, int] = (0, 0, 0),
    ) -> Shown:
        return Shown(books, bar, partial(self._ticker, category, symbol), stamps)

    def _ticker(self, category: str, symbol: str, shown: Shown, *, rest: bool = False) -> Row:
        """Return the ticker; volumes are not in the record and stay blank."""
        assert shown.bar is not None
        bar, linear = shown.bar, category == "linear"
        last = last_price(category, bar)
        opened, high, low, hour_ago = self._day(category, symbol, bar)
        row: Row = {
            "symbol": symbol,
            "lastPrice": plain(last),
            "prevPrice24h": plain(opened),
            "price24hPcnt": plain(quotient(last - opened, opened)),
            "highPrice24h": plain(max(high, last)),
            "lowPrice24h": plain(min(low, last)),
            "turnover24h": "",
            "volume24h": "",
        }
        if linear or rest:
            row |= _touch(*shown.lines)
        if not linear:
            return {**row, "usdIndexPrice": plain(self._market.index(symbol, bar))}
        return row | self._perpetual(symbol, bar) | {"prevPrice1h": plain(hour_ago)}

    def _day(self, category: str, symbol: str, bar: Bar) -> tuple[Decimal, ...]:
        """Return the first, the highest, the lowest and the last but one close of a day."""
        bars = self._market.closed_bars(symbol, bar.at_ms, 25)
        known = self._days.get((category, symbol))
        stamp = bars[-1].at_ms if bars else 0
        if known is None or known[0] != stamp:
            linear = category == "linear"
            closes = [b.perp if linear else b.spot for b in bars or (bar,)]
            figures = closes[0], max(closes), min(closes), closes[max(-2, -len(closes))]
            known = self._days[category, symbol] = (stamp, figures)
        return known[1]

    def _perpetual(self, symbol: str, bar: Bar) -> Row:
        """Return what only a perpetual has."""
        next_ms, hours = self._market.next_settlement(symbol, bar.at_ms)
        estimate = self._market.estimate(symbol, bar.at_ms)
        cap = self._market.products["linear", symbol].funding_cap
        return {
            "tickDirection": "ZeroPlusTick",
            "markPrice": plain(bar.mark),
            "indexPrice": plain(self._market.index(symbol, bar)),
            "openInterest": UNRECORDED,
            "openInterestValue": UNRECORDED,  # blank, ccxt takes the product for spot
            "singleOpenInterest": "",
            "singleOpenInterestValue": "",
            "fundingRate": plain(estimate) if estimate is not None else "",
            "nextFundingTime": str(next_ms),
            "fundingIntervalHour": str(hours),
            "fundingCap": plain(cap) if cap is not None else "",
            "deliveryTime": str(self._market.delivery_ms(symbol, bar.at_ms)),
            "deliveryFeeRate": "",
            "predictedDeliveryPrice": "",
            "basis": "",
            "basisRate": "",
            "basisRateYear": "",
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }


def _publication(listing: Listing, kind: str) -> Publication:
    name = listing.symbol
    return Publication(listing.category, f"{kind}.{name}", name, listing.last, listing.before)


def last_price(category: str, bar: Bar) -> Decimal:
    """Return what the product of ``category`` traded at."""
    return bar.spot if category == "spot" else bar.perp


def limit_row(product: ProductRules | Rule, reference: Decimal | None) -> Row:
    """Return the prices a limit order may have; ``""`` where the product holds no band."""
    bounds = ("", "")
    if product.price_band is not None and reference is not None:
        top, bottom = price_bounds(reference, product.price_band)
        bounds = plain(floor_to(top, product.tick)), plain(ceil_to(bottom, product.tick))
    return {"symbol": product.symbol, "buyLmt": bounds[0], "sellLmt": bounds[1]}


def _priced_ms(shown: Shown) -> int:
    return 0 if shown.bar is None else shown.bar.at_ms


def _lines(levels: Levels) -> Lines:
    return [[plain(price), plain(qty)] for price, qty in levels]


def _touch(bids: Lines, asks: Lines) -> Row:
    bid, ask = (side[0] if side else ["", ""] for side in (bids, asks))
    return {"bid1Price": bid[0], "bid1Size": bid[1], "ask1Price": ask[0], "ask1Size": ask[1]}


def _changes(before: Lines, after: Lines) -> Lines:
    """Return the levels that changed, and those that are gone with size 0."""
    old = {price: qty for price, qty in before}  # noqa: C416 - the pairs are lists
    kept = {price for price, _ in after}
    gone = [[price, "0"] for price in old if price not in kept]
    return gone + [[price, qty] for price, qty in after if old.get(price) != qty]
