"""A market that another venue moves: its public frames, its settlements and its instruments."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from services.simulator.market import Due, Product
from shared.history.records import HOUR_MS, Bar, Settlement
from shared.history.rules import ProductRules
from shared.venue.books import Levels

BARS_KEPT: Final = 24 * 60


class Gap(Exception):
    """A book missed a change: only a new snapshot mends it."""


def amount(text: str) -> Decimal:
    """Return a price or a quantity; raises ValueError or ArithmeticError when it is none."""
    value = Decimal(text)
    if not value.is_finite() or value < 0:
        raise ValueError(f"{text!r} is neither a price nor a quantity")
    return value


@dataclass(slots=True)
class LiveBook:
    """One book as the venue's snapshots and changes leave it; ``update`` numbers them."""

    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)
    update: int = 0

    def apply(self, data: Mapping[str, Any], *, whole: bool) -> None:
        """Take a snapshot or a change in; raises Gap when one before it was missed."""
        number = int(data["u"])
        if not whole and number != 1 and number != self.update + 1:
            raise Gap(f"{data['s']}: {number} after {self.update}")
        changes = [[(amount(p), amount(q)) for p, q in data[side]] for side in ("b", "a")]
        if whole or number == 1:
            self.bids, self.asks = {}, {}
        self.update = number
        for side, lines in zip((self.bids, self.asks), changes, strict=True):
            for price, qty in lines:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)

    def levels(self) -> tuple[Levels, Levels]:
        """Return bids and asks, best first."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


@dataclass(slots=True)
class LiveSymbol:
    """One symbol as it is now, with what is known of its past, oldest first."""

    ticker: dict[str, str]
    spot: Decimal
    bars: list[Bar]
    paid: list[Settlement]

    @property
    def next_ms(self) -> int:
        """The instant of the coming settlement."""
        return int(self.ticker["nextFundingTime"])

    @property
    def interval_hours(self) -> int:
        """The hours of the interval that runs."""
        return int(self.ticker["fundingIntervalHour"])

    def bar(self, at_ms: int) -> Bar:
        """Return the prices that stand, stamped ``at_ms``."""
        perp, mark = (Decimal(self.ticker[name]) for name in ("lastPrice", "markPrice"))
        return Bar(at_ms, self.spot, perp, mark)


class LiveMarket:
    """A ``Source`` that frames move; what nobody has taken yet is merged, never queued.

    Venue time is the newest stamp of any frame. A settlement is due once its instant has passed
    and the venue has published its rate and its mark.
    """

    def __init__(
        self,
        products: Iterable[ProductRules],
        symbols: Mapping[str, LiveSymbol],
        books: Mapping[Product, LiveBook],
        now_ms: int,
    ) -> None:
        self.now_ms = now_ms
        self.products = {(p.category, p.symbol): p for p in products}
        self.symbols = tuple(sorted(symbols))
        self.awaited: dict[tuple[str, int], Bar] = {}
        self._symbols = symbols
        self._books = books
        self._moved: dict[Product, None] = {}
        self._ready: list[tuple[str, int]] = []
        self._settling: dict[tuple[str, int], Bar] = {}
        self._news = asyncio.Event()

    def apply(self, category: str, frame: Mapping[str, Any]) -> None:
        """Take one public frame in; a topic that nobody asked for is passed over.

        Raises: Gap, and KeyError, TypeError or ValueError (ArithmeticError for a price) for
            a frame that is none.
        """
        kind, _, symbol = str(frame.get("topic", "")).rpartition(".")
        if (category, symbol) not in self.products:
            return
        self._advance(int(frame["ts"]))
        data = frame["data"]
        if kind == "orderbook.50":
            self._books[category, symbol].apply(data, whole=frame["type"] == "snapshot")
        elif kind == "tickers" and category == "spot":
            self._symbols[symbol].spot = amount(data["lastPrice"])
        elif kind == "tickers":
            self._tick(symbol, data)
        else:
            return
        self._moved[category, symbol] = None
        self._news.set()

    def settle(self, symbol: str, settled: Settlement, mark: Decimal) -> None:
        """Take in what the venue has published of a settlement that is awaited."""
        place = symbol, settled.at_ms
        self._settling[place] = replace(self.awaited.pop(place), mark=mark)
        self._symbols[symbol].paid.append(settled)
        self._ready.append(place)
        self._news.set()

    async def dues(self, start_ms: int, done_ms: int) -> AsyncIterator[Due]:
        """Yield what has come in since the last was taken, as long as anything comes."""
        while True:
            await self._news.wait()
            self._news.clear()
            ready, self._ready = self._ready, []
            for symbol, at in ready:
                yield Due(self.now_ms, at, settles=True, products=(("linear", symbol),))
                del self._settling[symbol, at]
            moved, self._moved = tuple(self._moved), {}
            if moved:
                yield Due(self.now_ms, self.now_ms, settles=False, products=moved)

    def last_move(self, start_ms: int, now_ms: int) -> None:
        """Return None: nothing is published before the first frame."""

    def bar(self, symbol: str, at_ms: int) -> Bar:
        """Return the prices of a settlement's instant, or else those that stand."""
        return self._settling.get((symbol, at_ms)) or self._symbols[symbol].bar(self.now_ms)

    def index(self, symbol: str, bar: Bar) -> Decimal:
        """Return the venue's own index price."""
        return Decimal(self._symbols[symbol].ticker["indexPrice"])

    def books(self, category: str, symbol: str, bar: Bar) -> tuple[Levels, Levels]:
        """Return the venue's own book."""
        return self._books[category, symbol].levels()

    def closed_bars(self, symbol: str, at_ms: int, most: int | None = None) -> tuple[Bar, ...]:
        """Return the hourly closes that are known, oldest first."""
        bars = self._symbols[symbol].bars
        end = bisect_right(bars, at_ms, key=lambda bar: bar.at_ms)
        return tuple(bars[0 if most is None else max(0, end - most) : end])

    def due_settlement(self, symbol: str, at_ms: int) -> Settlement | None:
        """Return the settlement of exactly this instant."""
        last = self.last_settlement(symbol, at_ms)
        return last if last is not None and last.at_ms == at_ms else None

    def last_settlement(self, symbol: str, at_ms: int) -> Settlement | None:
        """Return the newest settlement at or before ``at_ms``."""
        known = self.settled(symbol, at_ms)
        return known[-1] if known else None

    def settled(self, symbol: str, at_ms: int) -> tuple[Settlement, ...]:
        """Return every settlement that is known at or before ``at_ms``, oldest first."""
        paid: Sequence[Settlement] = self._symbols[symbol].paid
        return tuple(paid[: bisect_right(paid, at_ms, key=lambda settled: settled.at_ms)])

    def next_settlement(self, symbol: str, at_ms: int) -> tuple[int, int]:
        """Return what the venue announces."""
        return self._symbols[symbol].next_ms, self._symbols[symbol].interval_hours

    def estimate(self, symbol: str, at_ms: int) -> Decimal | None:
        """Return the venue's running estimate."""
        rate = self._symbols[symbol].ticker.get("fundingRate")
        return Decimal(rate) if rate else None

    def delivery_ms(self, symbol: str, at_ms: int) -> int:
        """Return what the venue announces."""
        return int(self._symbols[symbol].ticker.get("deliveryTime") or 0)

    def _tick(self, symbol: str, data: Mapping[str, Any]) -> None:
        """Merge a ticker: what it leaves out has not changed."""
        live = self._symbols[symbol]
        before, bar = live.next_ms, live.bar(self.now_ms)
        changed = {key: value for key, value in data.items() if isinstance(value, str) and value}
        for name in ("lastPrice", "markPrice", "indexPrice"):
            amount(changed.get(name, "0"))
        for name in ("nextFundingTime", "fundingIntervalHour"):
            int(changed.get(name, "0"))
        live.ticker.update(changed)
        if before < live.next_ms and before <= self.now_ms:
            self.awaited[symbol, before] = bar

    def _advance(self, at_ms: int) -> None:
        """Move venue time on; at each full hour what stands becomes the hour's close."""
        hour = at_ms // HOUR_MS * HOUR_MS
        if hour > self.now_ms:
            for live in self._symbols.values():
                live.bars.append(live.bar(hour))
                del live.bars[:-BARS_KEPT]
        self.now_ms = max(self.now_ms, at_ms)
