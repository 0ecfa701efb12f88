"""Funding rates: the past is filled in once, each new one is stored the moment it is there."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from services.collector.funding import ALARM_SECONDS, FundingRecorder
from shared.bus.messages import FundingSettled
from shared.domain.errors import Transient
from shared.runtime.clock import Clock
from shared.store.funding import read_recent_settlements, read_settlements
from tests.services.collector.conftest import Kit, until
from tests.support.clock import ManualClock
from tests.support.fake_feed import linear_quote, settled

MIDNIGHT = datetime(2023, 11, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAYS = timedelta(days=120)


async def nothing(symbol: str, settled_at: datetime) -> None:
    """What is asked for before a settlement is stored: here nothing."""


def recorder(
    kit: Kit,
    clock: Clock | None = None,
    before: Callable[[str, datetime], Awaitable[None]] = nothing,
) -> FundingRecorder:
    return FundingRecorder(
        feed=kit.feed,
        pool=kit.pool,
        doorbell=kit.bell,
        clock=clock or kit.clock,
        draw=lambda: 0.0,
        before=before,
        on_alarm=kit.alarms.append,
        on_stored=kit.delays.append,
    )


async def stored(kit: Kit, *symbols: str) -> dict[str, int]:
    async with kit.pool.acquire() as connection:
        found = await read_settlements(connection, symbols, MIDNIGHT - 3 * DAYS)
    return {symbol: len(rows) for symbol, rows in found.items()}


async def test_a_backfill_stores_the_whole_span_and_announces_its_end(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    rates = settled("BTCUSDT", MIDNIGHT - 8 * HOUR * 400, 401)
    kit.feed.settled = {"BTCUSDT": rates, "ETHUSDT": settled("ETHUSDT", MIDNIGHT - HOUR, 2, 1)}
    funding = recorder(kit)
    assert await funding.backfill(["BTCUSDT", "ETHUSDT"], DAYS) == 361 + 2
    assert await stored(kit, "BTCUSDT", "ETHUSDT") == {"BTCUSDT": 361, "ETHUSDT": 2}
    said = await kit.said("market.funding")
    newest = [m.settled_at for m in said if isinstance(m, FundingSettled) and m.symbol[0] == "B"]
    assert newest[-1] == MIDNIGHT
    assert funding.backfilled


async def test_a_backfill_goes_on_where_the_last_one_was_cut_off(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    kit.feed.settled = {"BTCUSDT": settled("BTCUSDT", MIDNIGHT - 8 * HOUR * 360, 361)}
    kit.feed.answers_left = 2
    with pytest.raises(Transient):
        await recorder(kit, ManualClock(auto=True)).backfill(["BTCUSDT"], DAYS)
    kept = await stored(kit, "BTCUSDT")
    assert 0 < kept["BTCUSDT"] < 361

    kit.feed.answers_left = None
    kit.feed.calls.clear()
    added = await recorder(kit).backfill(["BTCUSDT"], DAYS)
    assert added == 361 - kept["BTCUSDT"]
    assert await stored(kit, "BTCUSDT") == {"BTCUSDT": 361}
    assert kit.feed.calls[0][1] > MIDNIGHT - DAYS + timedelta(days=59)


async def test_a_second_backfill_finds_nothing_to_do(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    kit.feed.settled = {"BTCUSDT": settled("BTCUSDT", MIDNIGHT - 8 * HOUR * 9, 10)}
    await recorder(kit).backfill(["BTCUSDT"], DAYS)
    said = len(await kit.said("market.funding"))
    assert await recorder(kit).backfill(["BTCUSDT"], DAYS) == 0
    assert len(await kit.said("market.funding")) == said


async def test_a_new_next_settlement_brings_in_the_one_before_it(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    symbols = ["BTCUSDT", "ETHUSDT"]
    for symbol in symbols:
        kit.feed.settled[symbol] = settled(symbol, MIDNIGHT - 8 * HOUR * 2, 4)
    kit.feed.shown_until = MIDNIGHT
    funding = recorder(kit)
    await funding.backfill(symbols, DAYS)
    async with kit.running(funding.record):
        before, after = MIDNIGHT + 8 * HOUR, MIDNIGHT + 16 * HOUR
        funding.observe([linear_quote(s, at=MIDNIGHT, next_funding_at=before) for s in symbols])
        assert await stored(kit, *symbols) == {"BTCUSDT": 3, "ETHUSDT": 3}
        kit.feed.shown_until = before
        rung = kit.bell.rung
        funding.observe([linear_quote(s, at=before, next_funding_at=after) for s in symbols])
        await until(lambda: kit.bell.rung == rung + 2)
    assert await stored(kit, *symbols) == {"BTCUSDT": 4, "ETHUSDT": 4}
    said = [m for m in await kit.said("market.funding") if isinstance(m, FundingSettled)]
    assert [(m.settled_at, m.rate, m.interval_hours) for m in said[-2:]] == [
        (before, Decimal("0.0004"), Decimal(8))
    ] * 2
    assert {m.symbol for m in said[-2:]} == set(symbols)
    assert len(kit.delays) == 2
    assert kit.alarms == []


async def test_the_prices_at_a_settlement_are_stored_before_its_rate_is_said(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    kit.feed.settled["BTCUSDT"] = settled("BTCUSDT", MIDNIGHT - 8 * HOUR * 2, 4)
    kit.feed.shown_until = MIDNIGHT
    asked = []

    async def before(symbol: str, settled_at: datetime) -> None:
        asked.append((symbol, settled_at, (await stored(kit, symbol))[symbol]))

    funding = recorder(kit, before=before)
    await funding.backfill(["BTCUSDT"], DAYS)
    due = MIDNIGHT + 8 * HOUR
    kit.feed.shown_until = due
    async with kit.running(funding.record):
        funding.observe([linear_quote("BTCUSDT", at=due, next_funding_at=due + 8 * HOUR)])
        await until(lambda: bool(kit.delays))
    assert asked == [("BTCUSDT", due, 3)]
    assert await stored(kit, "BTCUSDT") == {"BTCUSDT": 4}


async def test_a_ticker_that_runs_ahead_of_its_book_tells_of_a_settlement(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    kit.feed.settled["BTCUSDT"] = settled("BTCUSDT", MIDNIGHT - 8 * HOUR * 2, 4)
    kit.feed.shown_until = MIDNIGHT
    funding = recorder(kit)
    await funding.backfill(["BTCUSDT"], DAYS)
    due, book_at = MIDNIGHT + 8 * HOUR, MIDNIGHT + 7 * HOUR
    async with kit.running(funding.record):
        funding.observe([linear_quote("BTCUSDT", at=book_at, next_funding_at=due)])
        kit.feed.shown_until = due
        after = due + 6 * HOUR
        quote = linear_quote(
            "BTCUSDT", at=book_at, next_funding_at=after, interval_hours="2", ticker_at=due
        )
        funding.observe([quote])
        await until(lambda: bool(kit.delays))
    assert await stored(kit, "BTCUSDT") == {"BTCUSDT": 4}


async def test_a_settlement_that_was_put_off_is_not_asked_for(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    kit.feed.settled["BTCUSDT"] = settled("BTCUSDT", MIDNIGHT - 8 * HOUR * 2, 3)
    kit.feed.shown_until = MIDNIGHT
    funding = recorder(kit)
    await funding.backfill(["BTCUSDT"], DAYS)
    asked = len(kit.feed.calls)
    async with kit.running(funding.record):
        for at, following in ((0, 2), (1, 8)):
            quote = linear_quote(
                "BTCUSDT",
                at=MIDNIGHT + at * HOUR,
                next_funding_at=MIDNIGHT + following * HOUR,
                interval_hours=str(following),
            )
            funding.observe([quote])
            await asyncio.sleep(0.05)
    assert all(end <= MIDNIGHT for _, _, end in kit.feed.calls[asked:])


async def test_a_rate_that_is_not_shown_yet_is_asked_for_again_and_then_alarmed(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    kit.feed.settled["BTCUSDT"] = settled("BTCUSDT", MIDNIGHT - 8 * HOUR * 2, 4)
    kit.feed.shown_until = MIDNIGHT
    clock = ManualClock()
    funding = recorder(kit, clock)
    await funding.backfill(["BTCUSDT"], DAYS)
    due = MIDNIGHT + 8 * HOUR
    async with kit.running(funding.record):
        funding.observe([linear_quote("BTCUSDT", at=MIDNIGHT, next_funding_at=due)])
        funding.observe([linear_quote("BTCUSDT", at=due, next_funding_at=due + 8 * HOUR)])
        while clock.monotonic() < ALARM_SECONDS + 1:
            await until(lambda: clock.waiting == 1)
            await clock.advance(0.2)
        await until(lambda: clock.waiting == 1)
        assert kit.alarms == ["BTCUSDT"]
        kit.feed.shown_until = due
        await clock.advance(0.2)
        await until(lambda: bool(kit.delays))
    assert await stored(kit, "BTCUSDT") == {"BTCUSDT": 4}


async def test_a_shorter_interval_does_not_hide_the_first_rate_of_it(kit: Kit) -> None:
    """After an 8 h settlement at midnight hourly ones follow: 01:00 is due, not 08:00."""
    kit.feed.venue_at = MIDNIGHT
    hourly = settled("BTCUSDT", MIDNIGHT + HOUR, 2, 1)
    kit.feed.settled["BTCUSDT"] = [*settled("BTCUSDT", MIDNIGHT - 8 * HOUR, 2), *hourly]
    kit.feed.shown_until = MIDNIGHT
    funding = recorder(kit)
    await funding.backfill(["BTCUSDT"], DAYS)

    def reached(count: int) -> bool:
        return len(kit.delays) >= count

    async with kit.running(funding.record):
        for hour in (1, 2, 3):
            kit.feed.shown_until = MIDNIGHT + (hour - 1) * HOUR
            quote = linear_quote(
                "BTCUSDT",
                at=MIDNIGHT + (hour - 1) * HOUR,
                next_funding_at=MIDNIGHT + hour * HOUR,
                interval_hours=None,
            )
            funding.observe([quote])
            await until(partial(reached, hour - 1))
    async with kit.pool.acquire() as connection:
        recent = await read_recent_settlements(connection, ["BTCUSDT"], 3)
        history = await connection.fetch(
            "SELECT from_at, interval_hours FROM market.interval_history ORDER BY from_at"
        )
    assert [s.settled_at for s in recent["BTCUSDT"]] == [
        MIDNIGHT,
        MIDNIGHT + HOUR,
        MIDNIGHT + 2 * HOUR,
    ]
    assert [tuple(row) for row in history] == [
        (MIDNIGHT - 8 * HOUR, Decimal(8)),
        (MIDNIGHT + HOUR, Decimal(1)),
    ]


async def test_a_settlement_between_backfill_and_first_ticker_is_not_missed(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    kit.feed.settled["BTCUSDT"] = settled("BTCUSDT", MIDNIGHT - 8 * HOUR, 3)
    kit.feed.shown_until = MIDNIGHT
    funding = recorder(kit)
    await funding.backfill(["BTCUSDT"], DAYS)
    kit.feed.shown_until = MIDNIGHT + 8 * HOUR
    async with kit.running(funding.record):
        after = MIDNIGHT + 16 * HOUR
        at = MIDNIGHT + 8 * HOUR
        funding.observe([linear_quote("BTCUSDT", at=at, next_funding_at=after)])
        await until(lambda: bool(kit.delays))
    assert await stored(kit, "BTCUSDT") == {"BTCUSDT": 3}


async def test_rates_of_many_symbols_are_fetched_side_by_side(kit: Kit) -> None:
    kit.feed.venue_at = MIDNIGHT
    symbols = [f"S{n}USDT" for n in range(5)]
    due = MIDNIGHT + 8 * HOUR
    for symbol in symbols:
        kit.feed.settled[symbol] = settled(symbol, MIDNIGHT, 2)
    funding = recorder(kit)
    kit.feed.shown_until = MIDNIGHT
    await funding.backfill(symbols, DAYS)
    kit.feed.shown_until = due
    funding.observe([linear_quote(s, at=MIDNIGHT, next_funding_at=due) for s in symbols])
    async with kit.running(funding.record):
        quotes = [linear_quote(s, at=due, next_funding_at=due + 8 * HOUR) for s in symbols]
        funding.observe(quotes)
        await until(lambda: len(kit.delays) == 5)
    assert set((await stored(kit, *symbols)).values()) == {2}
