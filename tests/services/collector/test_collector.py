"""Quotes: published at once, stored soon after, newest of each book kept."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.collector.bars import BarRecorder
from services.collector.collector import Collector
from services.collector.funding import FundingRecorder
from services.collector.instruments import InstrumentRecorder
from shared.domain.instrument import Category
from shared.store.quotes import read_latest_quotes
from tests.services.collector.conftest import Kit, until
from tests.support.fake_feed import linear_quote, settled, spot_quote
from tests.support.markets import instrument

AT = datetime(2023, 11, 11, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEXT = datetime(2023, 11, 11, 8, tzinfo=UTC)


def collector(kit: Kit) -> Collector:
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
        symbols=["BTCUSDT"],
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
