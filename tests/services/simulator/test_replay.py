"""The timetable: what moves when, what survives a restart, and where history ends."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.simulator.clock import VenueClock
from services.simulator.desk import Desk
from services.simulator.market import Due, Market
from shared.domain.errors import Misconfigured
from shared.history.rules import sample_rules
from shared.runtime.clock import SystemClock
from shared.venue.records import OrderRequest
from tests.services.simulator.builders import (
    HOUR_MS,
    START_MS,
    D,
    HandClock,
    sample,
    serving,
    settings,
    state,
    wired,
)

OPEN_PAIR = (
    OrderRequest("spot", "BTCUSDT", "Buy", "Limit", D("0.5"), D(45000)),
    OrderRequest("linear", "BTCUSDT", "Sell", "Limit", D("0.5"), D(30000)),
)


def test_venue_time_stands_until_started_and_runs_at_its_speed_until_frozen() -> None:
    wall = HandClock()
    clock = VenueClock(Decimal(3600), 1_000, wall)
    wall.seconds = 5.0
    assert clock.now_ms() == 1_000
    clock.start()
    wall.seconds = 5.5
    assert clock.now_ms() == 1_000 + 1_800_000
    clock.freeze()
    wall.seconds = 9.0
    assert clock.now_ms() == 1_000 + 1_800_000


def test_venue_time_waits_for_the_event_that_is_due() -> None:
    wall = HandClock()
    clock = VenueClock(Decimal(1), 0, wall)
    clock.hold_before(2_000)
    clock.start()
    wall.seconds = 7.0
    assert clock.now_ms() == 1_999
    assert clock.has_reached(2_000)
    clock.hold_before(None)
    assert clock.now_ms() == 7_000


def test_the_hour_settles_and_a_minute_later_books_move() -> None:
    market = Market(sample(), sample_rules())
    due = market.timetable(START_MS, START_MS)
    assert [next(due) for _ in range(3)] == [
        Due(START_MS + 60_000, START_MS, settles=False),
        Due(START_MS + HOUR_MS, START_MS + HOUR_MS, settles=True),
        Due(START_MS + HOUR_MS + 60_000, START_MS + HOUR_MS, settles=False),
    ]
    assert market.next_settlement("BTCUSDT", START_MS) == (START_MS + 8 * HOUR_MS, 8)
    assert market.next_settlement("BTCUSDT", START_MS - 1) == (START_MS, 8)
    assert market.due_settlement("BTCUSDT", START_MS + HOUR_MS) is None


def test_a_timetable_taken_up_again_repeats_nothing() -> None:
    market = Market(sample(), sample_rules())
    for done in (START_MS + 60_000, START_MS + 100_000):
        assert next(iter(market.timetable(START_MS, done))).at_ms == START_MS + HOUR_MS
    later = next(iter(market.timetable(START_MS, START_MS + HOUR_MS)))
    assert later.at_ms == START_MS + HOUR_MS + 60_000


def test_past_the_record_the_last_interval_goes_on() -> None:
    market = Market(sample(), sample_rules())
    last = market.settlements["BTCUSDT"][-1].at_ms
    assert market.next_settlement("BTCUSDT", last)[0] == last + 8 * HOUR_MS
    assert market.next_settlement("BTCUSDT", last + 9 * HOUR_MS)[0] == last + 16 * HOUR_MS


async def run_until(desk: Desk, at_ms: int) -> None:
    """Follow the timetable until ``at_ms`` is done; the wall is a test's own."""
    running = asyncio.create_task(desk.run())
    desk.start()
    while desk.exchange.now_ms < at_ms and not running.done():  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)
    await desk.act(lambda exchange: exchange.now_ms)  # what is under way is committed
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.fact("bybit-v5 4.2: the settlement is at the settlement mark")
async def test_a_short_is_paid_the_recorded_rate_at_the_mark_of_the_hour_that_ends(
    tmp_path: Path,
) -> None:
    async with wired(settings(tmp_path), HandClock()) as simulator:
        desk = simulator.desk
        for request in OPEN_PAIR:
            await desk.act(lambda exchange, r=request: exchange.place(r))  # type: ignore[misc]
        await run_until(desk, START_MS + 8 * HOUR_MS + 60_000)
        (paid,) = [e for e in desk.exchange.executions if e.exec_type == "Funding"]
    history = sample().symbols["BTCUSDT"]
    rate = next(s.rate for s in history.settlements if s.at_ms == START_MS + 8 * HOUR_MS)
    mark = next(b.mark for b in history.bars if b.at_ms == START_MS + 8 * HOUR_MS)
    assert paid.time_ms == START_MS + 8 * HOUR_MS
    assert (paid.price, paid.fee) == (mark, -(mark * D("0.5") * rate))


async def test_between_a_settlement_and_the_hours_quotes_marks_are_those_that_were_shown(
    tmp_path: Path,
) -> None:
    async with wired(settings(tmp_path), HandClock()) as simulator:
        await run_until(simulator.desk, START_MS + 8 * HOUR_MS)
        assert simulator.desk.exchange.now_ms == START_MS + 8 * HOUR_MS
        shown = simulator.desk.exchange.marks["BTCUSDT"]
    bars = {b.at_ms: b.mark for b in sample().symbols["BTCUSDT"].bars}
    assert shown == bars[START_MS + 7 * HOUR_MS] != bars[START_MS + 8 * HOUR_MS]


async def test_the_same_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    given = settings(tmp_path)
    async with wired(given, HandClock()) as simulator:
        desk = simulator.desk
        for request in OPEN_PAIR:
            await desk.act(lambda exchange, r=request: exchange.place(r))  # type: ignore[misc]
        resting = OrderRequest(
            "linear", "BTCUSDT", "Buy", "Limit", D("0.1"), D(20000), "GTC", "rests"
        )
        await desk.act(lambda exchange: exchange.place(resting))
        await run_until(desk, START_MS + 8 * HOUR_MS)
        before, counts = desk.exchange.snapshot(), desk.counts()
    async with wired(given, HandClock()) as simulator:
        desk = simulator.desk
        assert desk.exchange.snapshot() == before
        assert desk.counts() == counts == {
            "orders": 3, "executions": 2, "settlements": 1, "log": 5,
        }  # fmt: skip
        assert desk.started
        assert desk.now_ms == START_MS + 8 * HOUR_MS
        assert desk.board.at_ms == START_MS + 7 * HOUR_MS + 60_000
        await run_until(desk, START_MS + 16 * HOUR_MS)
        assert desk.counts()["settlements"] == 2
        cancelled = await desk.act(lambda e: e.cancel("linear", "BTCUSDT", link_id="rests"))
        assert cancelled.status == "Cancelled"


async def test_at_the_end_of_history_venue_time_stops(tmp_path: Path) -> None:
    last = datetime(2023, 12, 17, 22, tzinfo=UTC)
    async with wired(settings(tmp_path, start=last), HandClock()) as simulator:
        desk = simulator.desk
        desk.start()
        await asyncio.wait_for(desk.run(), 10)
        assert not desk.clock.running
        ended = desk.now_ms
        assert ended == desk.market.closed_bars("BTCUSDT", ended)[-1].at_ms + 60_000
        desk.start()
        assert desk.now_ms == ended


async def test_a_start_outside_the_record_is_refused_in_one_sentence(tmp_path: Path) -> None:
    given = settings(tmp_path, start=datetime(2030, 1, 1, tzinfo=UTC))
    with pytest.raises(Misconfigured, match="CARRY_REPLAY_START=2030"):
        async with wired(given, SystemClock()):
            pytest.fail("it opened")


async def test_the_keeper_sees_signed_entry_values_prices_and_deposits(tmp_path: Path) -> None:
    async with serving(settings(tmp_path)) as simulator:
        for request in OPEN_PAIR:
            await simulator.desk.act(lambda exchange, r=request: exchange.place(r))  # type: ignore[misc]
        shown: dict[str, Any] = await state(simulator)
    held = shown["positions"]["BTCUSDT"]
    assert held["size"] == "-0.5"
    assert Decimal(held["entry_value"]) < 0
    assert shown["deposits"] == {"USDT": "100000"}
    assert set(shown["prices"]["spot"]) == set(shown["prices"]["mark"]) == {"BTCUSDT", "ETHUSDT"}
    assert (shown["venue_ms"], shown["started"], shown["frozen"]) == (START_MS, False, False)
    assert shown["log_tail"][0]["type"] == "TRANSFER_IN"
