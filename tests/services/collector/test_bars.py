"""Hourly bars: the past is filled in window by window, each hour is stored once it has closed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.collector.bars import LEGS, LOOK_SECONDS, SOON_SECONDS, WINDOW, BarRecorder
from shared.domain.errors import ExchangeUnavailable, Transient
from shared.domain.instrument import Category
from shared.domain.market import BasisLevel
from shared.exchange.ports import Bar
from shared.runtime.clock import Clock
from shared.store.bars import read_basis_levels
from tests.services.collector.conftest import Kit, until
from tests.support.clock import ManualClock
from tests.support.fake_feed import FakeFeed
from tests.support.markets import pair

NOW = datetime(2023, 11, 11, 8, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST = NOW.replace(second=0) - 3 * HOUR
"""Of three hours of history the first opens here."""


class Hours(FakeFeed):
    """Spot at 100, the perpetual a tenth above, the mark between; bars until ``closed``."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.closed = NOW
        self.asked: list[tuple[str, datetime, datetime]] = []
        self.answers: int | None = None

    async def fetch_ohlcv(
        self, category: Category, symbol: str, start: datetime, end: datetime
    ) -> list[Bar]:
        price = "100" if category is Category.SPOT else "100.1"
        return self._bars(category.value, price, start, end)

    async def fetch_mark_ohlcv(self, symbol: str, start: datetime, end: datetime) -> list[Bar]:
        return self._bars("mark", "100.05", start, end)

    def _bars(self, series: str, price: str, start: datetime, end: datetime) -> list[Bar]:
        if self.answers == 0:
            raise ExchangeUnavailable("scripted")
        if self.answers is not None:
            self.answers -= 1
        self.asked.append((series, start, end))
        close = Decimal(price)
        count = int((end - start) / HOUR) + 1
        opens = (start + n * HOUR for n in range(count))
        return [
            (at, close, close, close, close, Decimal(2)) for at in opens if at + HOUR <= self.closed
        ]


@pytest.fixture
def feed(kit: Kit) -> Hours:
    kit.feed = feed = Hours()
    return feed


def recorder(kit: Kit, clock: Clock | None = None, history: timedelta = 2 * HOUR) -> BarRecorder:
    return BarRecorder(
        feed=kit.feed, pool=kit.pool, clock=clock or kit.clock, draw=lambda: 0.0, history=history
    )


async def stored(kit: Kit, series: str) -> list[tuple[datetime, Decimal, Decimal | None]]:
    async with kit.pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT opened_at, close, volume FROM market.bar WHERE series = $1 AND "
            "symbol = 'BTCUSDT' ORDER BY opened_at",
            series,
        )
    return [tuple(row) for row in rows]


async def test_closed_hours_of_both_legs_are_stored(kit: Kit, feed: Hours) -> None:
    assert await recorder(kit).fill("BTCUSDT", NOW) == 6
    opens = [FIRST + n * HOUR for n in range(3)]
    assert await stored(kit, "spot") == [(at, Decimal(100), Decimal(2)) for at in opens]
    assert await stored(kit, "linear") == [(at, Decimal("100.1"), Decimal(2)) for at in opens]


async def test_the_mark_follows_a_window_at_a_look(kit: Kit, feed: Hours) -> None:
    """Nothing that is decided waits for it, so it takes no time from what is."""
    looks = ManualClock()
    bars = recorder(kit, looks, 2 * WINDOW)

    async def record() -> None:
        await bars.record(["BTCUSDT"])

    async def marks() -> int:
        return len(await stored(kit, "mark"))

    async with kit.running(record):
        await until(lambda: bars.backfilled)
        assert await marks() == 0
        for wanted in (3000, 5999):
            await until(lambda: looks.waiting == 1)
            await looks.advance(LOOK_SECONDS)
            await until(lambda: looks.waiting == 1)
            assert await marks() == wanted
        assert {end - start for name, start, end in feed.asked if name == "mark"} == {
            WINDOW,
            WINDOW - HOUR,
        }


async def test_a_second_fill_asks_for_nothing_and_a_later_one_for_what_is_new(
    kit: Kit, feed: Hours
) -> None:
    bars = recorder(kit)
    await bars.fill("BTCUSDT", NOW)
    feed.asked.clear()
    assert await bars.fill("BTCUSDT", NOW + timedelta(minutes=59)) == 0
    assert feed.asked == []
    feed.closed = NOW + HOUR
    again = recorder(kit)  # as after a restart: the store tells where to go on
    assert await again.fill("BTCUSDT", NOW + HOUR) == 2
    assert sorted(feed.asked) == [(s, FIRST + 3 * HOUR, FIRST + 3 * HOUR) for s in sorted(LEGS)]


async def test_an_hour_the_venue_does_not_show_yet_is_asked_for_again(
    kit: Kit, feed: Hours
) -> None:
    feed.closed = NOW - HOUR
    bars = recorder(kit)
    assert await bars.fill("BTCUSDT", NOW) == 4
    feed.closed = NOW
    assert await bars.fill("BTCUSDT", NOW) == 2


async def test_a_year_comes_in_windows_and_a_broken_one_goes_on_where_it_ended(
    kit: Kit, feed: Hours
) -> None:
    year = timedelta(days=365)
    feed.answers = 2
    with pytest.raises(Transient):
        await recorder(kit, ManualClock(auto=True), year).fill("BTCUSDT", NOW)
    kept = {series: len(await stored(kit, series)) for series in LEGS}
    assert kept == dict.fromkeys(LEGS, 3000)
    feed.answers = None
    feed.asked.clear()
    assert await recorder(kit, history=year).fill("BTCUSDT", NOW) == 2 * 5761
    for series in LEGS:
        begun = min(start for name, start, _ in feed.asked if name == series)
        assert begun == NOW.replace(second=0) - HOUR - year + kept[series] * HOUR
    assert max(end - start for _, start, end in feed.asked) == WINDOW


async def test_the_loop_waits_for_a_venue_that_is_away_and_says_when_the_past_is_there(
    kit: Kit, feed: Hours
) -> None:
    feed.answers = 0
    bars = recorder(kit, ManualClock(auto=True))

    async def record() -> None:
        await bars.record(["BTCUSDT"])

    async with kit.running(record):
        await until(lambda: not bars.backfilled)
        feed.answers = None
        await until(lambda: bars.backfilled)
    assert len(await stored(kit, "spot")) == 3


async def test_a_settlement_finds_the_basis_beside_it(kit: Kit, feed: Hours) -> None:
    settled_at = NOW.replace(second=0)
    await recorder(kit).before_settlement("BTCUSDT", settled_at)
    async with kit.pool.acquire() as connection:
        found = await read_basis_levels(connection, pair("BTC"), [settled_at, settled_at + HOUR])
        other = await read_basis_levels(connection, pair("ETH"), [settled_at])
    assert found == [BasisLevel("BTCUSDT", settled_at, Decimal("0.001"))]
    assert other == []


async def test_a_settlement_is_not_held_up_by_prices_that_cannot_be_had(
    kit: Kit, feed: Hours
) -> None:
    feed.answers = 0
    began = kit.clock.monotonic()
    await recorder(kit).before_settlement("BTCUSDT", NOW)
    assert kit.clock.monotonic() - began < SOON_SECONDS + 1
    assert await stored(kit, "spot") == []


async def test_a_leg_that_is_missing_makes_no_basis(kit: Kit, feed: Hours) -> None:
    settled_at = NOW.replace(second=0)
    await recorder(kit).fill("BTCUSDT", NOW)
    of = pair("BTC")
    lone = replace(of, spot=replace(of.spot, symbol="BTCUSDC"))
    async with kit.pool.acquire() as connection:
        assert await read_basis_levels(connection, lone, [settled_at]) == []
