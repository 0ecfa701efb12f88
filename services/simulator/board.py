"""What the public sees: books and tickers, as the venue's source moves them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from services.simulator.market import Source
from shared.history.records import HOUR_MS, Bar
from shared.venue.amounts import plain, quotient
from shared.venue.books import Levels

Row = dict[str, Any]
Lines = list[list[str]]

DAY_MS: Final = 24 * HOUR_MS
SEQ_PER_MS: Final = 1000  # room for the messages of one millisecond


@dataclass(slots=True)
class Listing:
    """One product as it was published last; ``update`` counts its publications."""

    category: str
    symbol: str
    bids: Lines = field(default_factory=list)
    asks: Lines = field(default_factory=list)
    ticker: Row = field(default_factory=dict)
    update: int = 0


@dataclass(frozen=True, slots=True)
class Publication:
    """One topic's news: ``whole`` for who sees it first, ``change`` for who has seen the last.

    Both are made when asked for, and only until the product is shown again: most have no reader.
    """

    category: str
    topic: str
    whole: Callable[[], Row]
    change: Callable[[], Row]


class Board:
    """Publishes what ``show`` is given; nothing is published before the first."""

    def __init__(self, market: Source) -> None:
        self._market = market
        self.at_ms: int | None = None
        self._seq = 0
        self._listings = {key: Listing(*key) for key in market.products}

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
    ) -> list[Publication]:
        """Take one product's new book and prices in and return what its topics say."""
        listing = self._listings[category, symbol]
        before = (listing.bids, listing.asks, listing.ticker)
        self._seq += 1
        listing.update += 1
        listing.bids, listing.asks = (_lines(side) for side in books)
        listing.ticker = self._ticker(listing, bar)
        return self._news(listing, *before)

    def publication(self, category: str, topic: str) -> Publication | None:
        """Return what a topic said last, to whom it is new; None before it said anything."""
        kind, _, symbol = topic.rpartition(".")
        listing = self._listings.get((category, symbol))
        if self.at_ms is None or listing is None or not listing.update:
            return None
        news = self._news(listing, listing.bids, listing.asks, listing.ticker)
        return next((p for p in news if p.topic == f"{kind}.{symbol}"), None)

    def ticker(self, category: str, symbol: str, books: tuple[Levels, Levels], bar: Bar) -> Row:
        """Return the row of market/tickers for a product that may not be published yet."""
        shown = Listing(category, symbol, _lines(books[0]), _lines(books[1]))
        return self._ticker(shown, bar, rest=True)

    def _news(self, listing: Listing, bids: Lines, asks: Lines, old: Row) -> list[Publication]:
        name, category, seq = listing.symbol, listing.category, self._seq
        new_bids, new_asks, row = listing.bids, listing.asks, listing.ticker

        def ticker() -> Row:
            return self._message(f"tickers.{name}", "snapshot", row, cs=seq)

        def moved_ticker() -> Row:
            changed = {k: v for k, v in row.items() if old.get(k) != v}
            return self._message(f"tickers.{name}", "delta", {"symbol": name, **changed}, cs=seq)

        def top() -> Row:
            return self._book(listing, "orderbook.1", "snapshot", new_bids[:1], new_asks[:1])

        def deep() -> Row:
            return self._book(listing, "orderbook.50", "snapshot", new_bids, new_asks)

        def moved() -> Row:
            changes = _changes(bids, new_bids), _changes(asks, new_asks)
            return self._book(listing, "orderbook.50", "delta", *changes)

        spot = category == "spot"
        return [
            Publication(category, f"tickers.{name}", ticker, ticker if spot else moved_ticker),
            Publication(category, f"orderbook.1.{name}", top, top),
            Publication(category, f"orderbook.50.{name}", deep, moved),
        ]

    def _book(self, listing: Listing, kind: str, form: str, bids: Lines, asks: Lines) -> Row:
        data = {
            "s": listing.symbol,
            "b": bids,
            "a": asks,
            "u": listing.update,
            "seq": self._seq,
        }
        return self._message(f"{kind}.{listing.symbol}", form, data, cts=self.at_ms or 0)

    def _message(self, topic: str, form: str, data: Row, **more: int) -> Row:
        return {"topic": topic, "type": form, "ts": self.at_ms, "data": data, **more}

    def _ticker(self, listing: Listing, bar: Bar, *, rest: bool = False) -> Row:
        """Return the ticker; volumes and open interest are not in the record and stay blank."""
        linear = listing.category == "linear"
        last = bar.perp if linear else bar.spot
        day = self._market.closed_bars(listing.symbol, bar.at_ms, 25)
        closes = [b.perp if linear else b.spot for b in day] or [last]
        row: Row = {
            "symbol": listing.symbol,
            "lastPrice": plain(last),
            "prevPrice24h": plain(closes[0]),
            "price24hPcnt": plain(quotient(last - closes[0], closes[0])),
            "highPrice24h": plain(max(*closes, last)),
            "lowPrice24h": plain(min(*closes, last)),
            "turnover24h": "",
            "volume24h": "",
        }
        if linear or rest:
            row |= _touch(listing)
        if not linear:
            return {**row, "usdIndexPrice": plain(self._market.index(listing.symbol, bar))}
        hour_ago = closes[-2] if len(closes) > 1 else last
        return row | self._perpetual(listing.symbol, bar) | {"prevPrice1h": plain(hour_ago)}

    def _perpetual(self, symbol: str, bar: Bar) -> Row:
        """Return what only a perpetual has."""
        next_ms, hours = self._market.next_settlement(symbol, bar.at_ms)
        estimate = self._market.estimate(symbol, bar.at_ms)
        cap = self._market.products["linear", symbol].funding_cap
        return {
            "tickDirection": "ZeroPlusTick",
            "markPrice": plain(bar.mark),
            "indexPrice": plain(self._market.index(symbol, bar)),
            "openInterest": "",
            "openInterestValue": "",
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


def _lines(levels: Levels) -> Lines:
    return [[plain(price), plain(qty)] for price, qty in levels]


def _touch(listing: Listing) -> Row:
    bid = listing.bids[0] if listing.bids else ["", ""]
    ask = listing.asks[0] if listing.asks else ["", ""]
    return {"bid1Price": bid[0], "bid1Size": bid[1], "ask1Price": ask[0], "ask1Size": ask[1]}


def _changes(before: Lines, after: Lines) -> Lines:
    """Return the levels that changed, and those that are gone with size 0."""
    old = {price: qty for price, qty in before}  # noqa: C416 - the pairs are lists
    kept = {price for price, _ in after}
    gone = [[price, "0"] for price in old if price not in kept]
    return gone + [[price, qty] for price, qty in after if old.get(price) != qty]
