"""What every MarketFeed does, held against a venue in its own process."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.domain.instrument import Category
from shared.exchange.ports import FeedQuote, MarketFeed
from tests.contract.conftest import OpenFeed
from tests.support.simulator import Simulator, simulator

pytestmark = pytest.mark.slow

START = datetime(2023, 11, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)
SYMBOLS = ["BTCUSDT", "ETHUSDT"]


async def test_both_products_of_each_symbol_are_listed(feed: MarketFeed) -> None:
    spot = {i.symbol: i for i in await feed.fetch_instruments(Category.SPOT)}
    linear = {i.symbol: i for i in await feed.fetch_instruments(Category.LINEAR)}
    assert {"BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT"} <= set(spot) & set(linear)
    assert linear["BTCUSDT"].funding_interval_minutes == 480
    assert linear["BTCUSDT"].step == Decimal("0.001")
    assert all(i.is_trading and i.quote == "USDT" for i in (*spot.values(), *linear.values()))


async def test_settled_rates_are_those_of_the_record(feed: MarketFeed) -> None:
    settled = await feed.fetch_funding_rate_history("BTCUSDT", START - 120 * 24 * HOUR, START)
    assert len(settled) == 361
    assert settled[-1].settled_at == START
    assert {s.interval for s in settled} == {8 * HOUR}


async def test_nothing_that_has_not_happened_is_shown(feed: MarketFeed) -> None:
    settled = await feed.fetch_funding_rate_history("BTCUSDT", START, START + 240 * HOUR)
    assert [s.settled_at for s in settled] == [START]
    bars = await feed.fetch_ohlcv(Category.SPOT, "BTCUSDT", START - 3 * HOUR, START + 24 * HOUR)
    assert [bar[0] for bar in bars] == [START - 3 * HOUR, START - 2 * HOUR, START - HOUR]


async def test_mark_prices_of_closed_hours_are_shown_too(feed: MarketFeed) -> None:
    bars = await feed.fetch_mark_ohlcv("BTCUSDT", START - 3 * HOUR, START + 24 * HOUR)
    assert [bar[0] for bar in bars] == [START - 3 * HOUR, START - 2 * HOUR, START - HOUR]
    assert all(bar[4] > 0 for bar in bars)


async def test_a10_the_insurance_pools_are_told_and_one_of_them_is_short(
    feed: MarketFeed, pressed: Simulator, open_feed: OpenFeed
) -> None:
    asked = [*SYMBOLS, "NOUSDT"]
    assert await feed.fetch_short_pools(asked) == {"BTCUSDT": False, "ETHUSDT": False}
    other = open_feed(pressed)
    assert await other.fetch_short_pools(asked) == {"BTCUSDT": True, "ETHUSDT": False}
    await other.close()


async def test_venue_time_is_known_before_anything_is_quoted(feed: MarketFeed) -> None:
    assert await feed.venue_time() == START


async def test_both_legs_are_quoted_once_time_runs(open_feed: OpenFeed) -> None:
    with simulator() as venue:
        feed = open_feed(venue)
        seen: dict[tuple[Category, str], FeedQuote] = {}
        quotes = feed.quotes(SYMBOLS)
        venue.release()
        async with asyncio.timeout(10):
            while len(seen) < 4:
                seen |= {(q.category, q.symbol): q for q in await anext(quotes)}
        await quotes.aclose()  # type: ignore[attr-defined]
        for symbol in SYMBOLS:
            spot, perp = seen[Category.SPOT, symbol], seen[Category.LINEAR, symbol]
            assert spot.bid < spot.ask
            assert perp.mark is not None
            assert abs(perp.mark / spot.bid - 1) < Decimal("0.01")
            assert perp.next_funding_at == START + 8 * HOUR
            assert perp.funding_interval_hours == 8
        assert await feed.venue_time() == max(q.venue_at for q in seen.values())
        await feed.close()


async def test_every_hour_of_the_replay_is_quoted_a_minute_late_on_every_book(
    open_feed: OpenFeed,
) -> None:
    """Ten venue hours at ten a second; each instant must be seen whole."""
    with simulator(speed=36_000) as venue:
        feed = open_feed(venue)
        wanted = {START + HOUR * n + timedelta(minutes=1) for n in range(1, 11)}
        seen: dict[tuple[Category, str], set[datetime]] = {
            (category, symbol): set() for category in Category for symbol in SYMBOLS
        }
        quotes = feed.quotes(SYMBOLS)
        async with asyncio.timeout(15):
            first = asyncio.create_task(anext(quotes))  # type: ignore[arg-type,var-annotated]
            while not feed.is_listening:  # noqa: ASYNC110 - the port has no event for it
                await asyncio.sleep(0.01)
            venue.release()
            batch = await first
            while any(wanted - instants for instants in seen.values()):
                for quote in batch:
                    seen[quote.category, quote.symbol].add(quote.venue_at)
                batch = await anext(quotes)
        await quotes.aclose()  # type: ignore[attr-defined]
        settled = await feed.fetch_funding_rate_history("ETHUSDT", START, START + 9 * HOUR)
        assert [s.settled_at for s in settled] == [START, START + 8 * HOUR]
        await feed.close()
