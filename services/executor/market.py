"""The market as the executor sees it: newest quotes, how old they are, and when a wait is over."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from shared.bus.messages import QuoteUpdated
from shared.domain.books import Prices
from shared.domain.funding import FundingSettlement
from shared.domain.instrument import Category, Pair
from shared.domain.market import PairMarket, Quote
from shared.domain.money import ZERO
from shared.domain.view import MarketView, PerpPrices
from shared.runtime.clock import Clock

SETTLEMENTS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a book is too old: behind the newest stamp (venue time), or silent (wall seconds)."""

    behind: timedelta
    silent_seconds: float


class Market:
    """The newest quotes of every pair; ``venue_at`` is the newest stamp, which is venue time."""

    def __init__(self, pairs: Iterable[Pair], clock: Clock, freshness: Freshness) -> None:
        self.pairs = {pair.name: pair for pair in pairs}
        self._view = MarketView(self.pairs.values(), SETTLEMENTS_KEPT)
        self._clock = clock
        self._freshness = freshness
        self._heard: dict[tuple[str, str], float] = {}
        self._moved = asyncio.Event()
        self.settlement_passed = asyncio.Event()
        self.venue_at: datetime | None = None
        self.version = 0

    @property
    def markets(self) -> Mapping[str, PairMarket]:
        """Every pair as known now."""
        return self._view.markets

    def of(self, pair: str) -> PairMarket:
        """Return one pair as known now."""
        return self._view.markets[pair]

    def prices(self) -> dict[str, Prices]:
        """Return what holdings are worth now."""
        return {
            name: Prices(None if m.spot is None else m.spot.mid_price, m.mark_price)
            for name, m in self._view.markets.items()
        }

    def quoted(self, quotes: Sequence[QuoteUpdated]) -> None:
        """Take quotes in and wake whoever waits for them."""
        for message in quotes:
            before = self._next_funding(message)
            quote = Quote(
                message.bid, message.bid_size, message.ask, message.ask_size, message.venue_at
            )
            hours = message.funding_interval_hours
            prices = PerpPrices(
                message.mark,
                message.index,
                message.predicted_rate,
                message.next_funding_at,
                None if hours is None else timedelta(seconds=int(hours * 3600)),
                message.ticker_at or message.venue_at,
            )
            self._view.quoted(Category(message.category), message.symbol, quote, prices)
            self._heard[message.category, message.symbol] = self._clock.monotonic()
            if self.venue_at is None or message.venue_at > self.venue_at:
                self.venue_at = message.venue_at
            if before is not None and self._next_funding(message) != before:
                self.settlement_passed.set()
        self._wake()

    def asked(self, category: Category, symbol: str, quote: Quote) -> None:
        """Take in the top of a book that was asked for, not heard: a price to leave by.

        The pair stays as silent as it was, so that nothing opens on it; what its ticker said stays.
        """
        self._view.quoted(category, symbol, quote)
        self._wake()

    def settled(self, settlements: Iterable[FundingSettlement]) -> None:
        """Take settled rates in."""
        for settlement in settlements:
            self._view.settled(settlement)

    def renew(self, pair: Pair) -> None:
        """Replace the rules of one pair, keeping what is known of its market."""
        self.pairs[pair.name] = pair
        self._view.renew(pair)

    def newest_instant(self, every: timedelta) -> datetime | None:
        """Return the latest multiple of ``every`` that all books have reached."""
        return self._view.newest_instant(every)

    def is_fresh(self, pair: str) -> bool:
        """Return whether both books are near the newest stamp and have spoken of late."""
        behind, silent = self.ages(pair)
        if behind is None or silent is None:
            return False
        bounds = self._freshness
        return behind <= seconds(bounds.behind) and silent <= Decimal(str(bounds.silent_seconds))

    def ages(self, pair: str) -> tuple[Decimal | None, Decimal | None]:
        """Return how far the older book trails the newest stamp, and how long it has been silent.

        Seconds of venue time and of wall time; None when a book is missing.
        """
        market = self.of(pair)
        books = ((market.pair.spot, market.spot), (market.pair.perp, market.perp))
        stamps = [quote.venue_at for _, quote in books if quote is not None]
        heard = [self._heard.get((p.category.value, p.symbol)) for p, _ in books]
        known = [at for at in heard if at is not None]
        if len(stamps) < len(books) or len(known) < len(books) or self.venue_at is None:
            return None, None
        silent = Decimal(str(round(self._clock.monotonic() - min(known), 6)))
        return max(ZERO, seconds(self.venue_at - min(stamps))), silent

    def is_silent(self, seconds: float) -> bool:
        """Return whether no book has spoken for ``seconds`` of wall time."""
        last = max(self._heard.values(), default=None)
        return last is None or self._clock.monotonic() - last > seconds

    def has_reached(self, pair: str, instant: datetime) -> bool:
        """Return whether both books are at ``instant`` or later."""
        market = self.of(pair)
        stamps = [q.venue_at for q in (market.spot, market.perp) if q is not None]
        return len(stamps) == 2 and min(stamps) >= instant

    def instant_of(self, pair: str) -> datetime | None:
        """Return what both books of a pair have reached, or the newest stamp while one is missing.

        Whatever is decided as of it need not wait for quotes.
        """
        market = self.of(pair)
        stamps = [q.venue_at for q in (market.spot, market.perp) if q is not None]
        return min(stamps) if len(stamps) == 2 else self.venue_at

    async def moved(self, seconds: float) -> None:
        """Wait for the next quotes, at most ``seconds``."""
        await wait(self._moved, seconds)

    async def reached(self, pair: str, instant: datetime, seconds: float) -> PairMarket:
        """Return the pair once both books are at ``instant`` or later, or after ``seconds``."""
        deadline = self._clock.monotonic() + seconds
        while not self.has_reached(pair, instant):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                break
            await self.moved(left)
        return self.of(pair)

    def _wake(self) -> None:
        self.version += 1
        self._moved.set()
        self._moved = asyncio.Event()

    def _next_funding(self, message: QuoteUpdated) -> datetime | None:
        market = self._view.markets.get(message.symbol)
        return None if market is None else market.next_funding_at


def seconds(span: timedelta) -> Decimal:
    """Return ``span`` in seconds, exactly."""
    return Decimal(span // timedelta(microseconds=1)).scaleb(-6)


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Return whether ``event`` was set within ``seconds``."""
    if event.is_set():
        return True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False
