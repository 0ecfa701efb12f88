"""Quotes: published at once, stored soon after, newest of each book kept."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.collector.bars import BarRecorder
from services.collector.collector import Collector
from services.collector.funding import FundingRecorder
from services.collector.instruments import InstrumentRecorder
from services.collector.pools import PoolWatch
from shared.domain.errors import Misconfigured
from shared.domain.instrument import Category
from shared.domain.market import Pool
from shared.store.quotes import read_latest_quotes
from tests.services.collector.conftest import Kit, until
from tests.support.fake_feed import linear_quote, settled, spot_quote
from tests.support.markets import instrument

AT = datetime(2023, 11, 11, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEXT = datetime(2023, 11, 11, 8, tzinfo=UTC)


def collector(kit: Kit, *symbols: str) -> Collector:
    parts = {"feed": kit.feed, "pool": kit.pool, "doorbell": kit.bell, "clock": kit.clock}
    bars = BarRecorder(
        feed=kit.feed, pool=kit.pool, clock=kit.clock, draw=lambda: 0.0, history=HOUR
    )
    return Collector(
        feed=kit.feed,
        pool=kit.pool,
        quotes=kit.sink,
        instruments=InstrumentRecorder(**parts),  # type: ignore[arg-type]
        funding=FundingRecorder(
            **parts,  # type: ignore[arg-type]
            draw=lambda: 0.0,
            before=bars.before_settlement,
            on_alarm=kit.alarms.append,
            on_stored=kit.delays.append,
        ),
        bars=bars,
        clock=kit.clock,
        pools=PoolWatch(kit.feed, kit.clock),
        symbols=symbols or ["BTCUSDT"],
    )


async def test_every_change_is_published_in_one_batch_at_once(kit: Kit) -> None:
    desk = collector(kit)
    async with kit.running(desk.record_quotes):
        batch = [
            spot_quote("BTCUSDT", at=AT),
            linear_quote("BTCUSDT", at=AT, next_funding_at=NEXT),
        ]
        kit.feed.batches.put_nowait(batch)
        await until(lambda: len(kit.sink.batches) == 1)
    [published] = kit.sink.batches
    assert [(m.category, m.bid, m.mark) for m in published] == [
        ("spot", Decimal(100), None),
        ("linear", Decimal(100), Decimal(100)),
    ]
    assert {m.venue_at for m in published} == {AT}


async def test_the_first_quote_of_an_instant_is_stored_and_the_newest_is_latest(kit: Kit) -> None:
    desk = collector(kit)
    async with kit.running(desk.record_quotes):
        for price, at in (("100", AT), ("101", AT), ("102", AT + HOUR)):
            kit.feed.batches.put_nowait([spot_quote("BTCUSDT", at=at, price=price)])
        await until(lambda: desk.published == 3)
        await desk.flush()
        kit.feed.batches.put_nowait([spot_quote("BTCUSDT", at=AT, price="99")])
        await until(lambda: desk.published == 4)
        await desk.flush()
    async with kit.pool.acquire() as connection:
        [latest] = await read_latest_quotes(connection, ["BTCUSDT"])
        rows = await connection.fetch("SELECT venue_at, bid FROM market.quote ORDER BY venue_at")
    assert (latest.venue_at, latest.bid) == (AT + HOUR, Decimal(102))
    assert [tuple(row) for row in rows] == [(AT, Decimal(100)), (AT + HOUR, Decimal(102))]


async def test_it_is_ready_with_history_and_pairs_and_once_one_book_spoke_with_all_of_them(
    kit: Kit,
) -> None:
    kit.feed.instruments = {c: [instrument(c)] for c in Category}
    kit.feed.settled = {"BTCUSDT": settled("BTCUSDT", NEXT - 24 * HOUR, 3)}
    desk = collector(kit)
    kit.feed.venue_at = AT
    kit.feed.closes = {(c, "BTCUSDT"): [Decimal(100)] for c in Category}
    assert len(desk.missing()) == 3
    loops = (desk.record_instruments, desk.record_settlements, desk.record_bars)
    async with kit.running(desk.record_quotes, *loops):
        await until(lambda: desk.missing() == [])
        kit.feed.batches.put_nowait([spot_quote("BTCUSDT", at=AT)])
        await until(lambda: desk.missing() == ["no quote yet of linear BTCUSDT"])
        kit.feed.batches.put_nowait([linear_quote("BTCUSDT", at=AT, next_funding_at=NEXT)])
        await until(lambda: desk.missing() == [])


def listed(kit: Kit, *symbols: str) -> None:
    """Let the venue list both legs of ``symbols`` and nothing else."""
    kit.feed.instruments = {
        c: [instrument(c, s.removesuffix("USDT")) for s in symbols] for c in Category
    }


async def test_r10_a_symbol_that_vanished_is_left_out_at_the_start(kit: Kit) -> None:
    listed(kit, "BTCUSDT", "ETHUSDT")
    await collector(kit).begin()
    kit.feed.instruments[Category.LINEAR] = [instrument(Category.LINEAR, "ETH")]
    desk = collector(kit, "BTCUSDT", "ETHUSDT", "TYPOUSDT")
    await desk.begin()
    async with kit.running(desk.record_quotes, desk.record_instruments):
        kit.feed.batches.put_nowait([spot_quote("ETHUSDT", at=AT)])
        await until(lambda: desk.published == 1)
    assert kit.feed.subscribed == ["ETHUSDT", "TYPOUSDT"]


async def test_r10_nothing_left_to_watch_is_said_with_what_to_do(kit: Kit) -> None:
    listed(kit, "BTCUSDT")
    await collector(kit).begin()
    listed(kit)
    with pytest.raises(Misconfigured, match="no longer lists BTCUSDT; name other pairs"):
        await collector(kit).begin()


async def test_a_venue_that_does_not_answer_yet_is_waited_for(kit: Kit) -> None:
    listed(kit, "BTCUSDT")
    kit.feed.is_away = True
    async with kit.running(collector(kit).begin):
        await asyncio.sleep(0.05)
        kit.feed.is_away = False
        await until(lambda: kit.bell.rung == 1)


async def test_a10_the_first_quote_already_tells_of_the_insurance_pool(kit: Kit) -> None:
    listed(kit, "BTCUSDT", "ETHUSDT")
    kit.feed.short_pools = {"BTCUSDT": True, "ETHUSDT": False}
    desk = collector(kit, "BTCUSDT", "ETHUSDT", "XRPUSDT")
    await desk.begin()
    batch = [
        linear_quote(s, at=AT, next_funding_at=NEXT) for s in ("BTCUSDT", "ETHUSDT", "XRPUSDT")
    ]
    async with kit.running(desk.record_quotes):
        kit.feed.batches.put_nowait([spot_quote("BTCUSDT", at=AT), *batch])
        await until(lambda: len(kit.sink.batches) == 1)
    told = [(m.category, m.symbol, m.pool) for m in kit.sink.batches[0]]
    assert told == [
        ("spot", "BTCUSDT", Pool.UNWATCHED),
        ("linear", "BTCUSDT", Pool.SHORT),
        ("linear", "ETHUSDT", Pool.SOUND),
        ("linear", "XRPUSDT", Pool.UNWATCHED),
    ]
