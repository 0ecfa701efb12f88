"""What the public sees: books and tickers, changed once an hour, a minute after its end."""

from dataclasses import dataclass, field
from typing import Any, Final

from services.simulator.market import Market
from shared.history.records import HOUR_MS, Bar
from shared.venue.amounts import plain, quotient
from shared.venue.books import Levels

Row = dict[str, Any]
Lines = list[list[str]]

DAY_MS: Final = 24 * HOUR_MS
UNRECORDED: Final = "0"


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
    """One topic's news: ``whole`` for who sees it first, ``change`` for who has seen the last."""

    category: str
    topic: str
    whole: Row
    change: Row


class Board:
    """Publishes what ``show`` is given; nothing is published before the first."""

    def __init__(self, market: Market) -> None:
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

    def open_at(self, at_ms: int) -> None:
        """Stamp what follows with ``at_ms``."""
        self.at_ms = at_ms
        self._seq = max(self._seq, at_ms)

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
        name, category = listing.symbol, listing.category
        changed = {k: v for k, v in listing.ticker.items() if old.get(k) != v}
        ticker = self._message(f"tickers.{name}", "snapshot", listing.ticker, cs=self._seq)
        delta = self._message(f"tickers.{name}", "delta", {"symbol": name, **changed}, cs=self._seq)
        top = self._book(listing, "orderbook.1", "snapshot", listing.bids[:1], listing.asks[:1])
        deep = self._book(listing, "orderbook.50", "snapshot", listing.bids, listing.asks)
        moved = self._book(
            listing,
            "orderbook.50",
            "delta",
            _changes(bids, listing.bids),
            _changes(asks, listing.asks),
        )
        spot = category == "spot"
        return [
            Publication(category, f"tickers.{name}", ticker, ticker if spot else delta),
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
        """Return the ticker; volumes are not in the record and stay blank."""
        linear = listing.category == "linear"
        last = bar.perp if linear else bar.spot
        day = self._market.closed_bars(listing.symbol, bar.at_ms)[-25:]
        closes = [b.perp if linear else b.spot for b in day]
        row: Row = {
            "symbol": listing.symbol,
            "lastPrice": plain(last),
            "prevPrice24h": plain(closes[0]),
            "price24hPcnt": plain(quotient(last - closes[0], closes[0])),
            "highPrice24h": plain(max(closes)),
            "lowPrice24h": plain(min(closes)),
            "turnover24h": "",
            "volume24h": "",
        }
        if linear or rest:
            row |= _touch(listing)
        if not linear:
            return {**row, "usdIndexPrice": plain(bar.spot)}
        hour_ago = closes[-2] if len(closes) > 1 else last
        return row | self._perpetual(listing.symbol, bar) | {"prevPrice1h": plain(hour_ago)}

    def _perpetual(self, symbol: str, bar: Bar) -> Row:
        """Return what only a perpetual has; the funding estimate is the last settled rate.

        The record holds no minute premiums, and the coming rate must not be known early.
        """
        next_ms, hours = self._market.next_settlement(symbol, bar.at_ms)
        last = self._market.last_settlement(symbol, bar.at_ms)
        cap = self._market.products["linear", symbol].funding_cap
        return {
            "tickDirection": "ZeroPlusTick",
            "markPrice": plain(bar.mark),
            "indexPrice": plain(bar.spot),
            "openInterest": UNRECORDED,
            "openInterestValue": UNRECORDED,  # blank, ccxt takes the product for spot
            "singleOpenInterest": "",
            "singleOpenInterestValue": "",
            "fundingRate": plain(last.rate) if last else "",
            "nextFundingTime": str(next_ms),
            "fundingIntervalHour": str(hours),
            "fundingCap": plain(cap) if cap is not None else "",
            "deliveryTime": "0",
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
