"""Quotes: the newest first, then all that follow, across restarts of Redis."""

import asyncio
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from services.carry.embedded.redis import RedisServer
from shared.bus.messages import QuoteUpdated, encode
from shared.bus.quotes import QuotePublisher, QuoteReader
from shared.bus.streams import MARKET_QUOTES
from shared.runtime.clock import SystemClock
from tests.support.bus import funding, quote


async def take(batches: AsyncIterator[list[QuoteUpdated]], last: int) -> list[int]:
    """Read until the quote numbered ``last`` has come; return the numbers in order."""
    numbers: list[int] = []
    async with asyncio.timeout(20):
        while not numbers or numbers[-1] != last:
            numbers += [int(q.bid) for q in await anext(batches)]
    return numbers


async def test_a_reader_begins_with_the_quotes_of_the_last_seconds(redis: Redis) -> None:
    old = encode(quote(1))
    await redis.xadd(MARKET_QUOTES, {"b": old}, id="1000-0")
    await redis.xadd(MARKET_QUOTES, {"b": encode(quote(2))}, id="94999-0")
    await redis.xadd(MARKET_QUOTES, {"b": encode(quote(3))}, id="95000-0")
    await redis.xadd(MARKET_QUOTES, {"b": encode(quote(4))}, id="100000-0")
    batches = QuoteReader(redis, SystemClock()).batches()
    assert await take(batches, 4) == [3, 4]


async def test_quotes_arrive_in_order_and_every_field_is_kept(redis: Redis) -> None:
    publisher = QuotePublisher(redis)
    await publisher.publish([quote(1)])
    batches = QuoteReader(redis, SystemClock()).batches()
    assert await anext(batches) == [quote(1)]
    await publisher.publish([quote(n) for n in range(2, 1502)])
    assert await take(batches, 1501) == list(range(2, 1502))


async def test_a_reader_of_an_empty_stream_waits_for_the_first(redis: Redis) -> None:
    batches = QuoteReader(redis, SystemClock()).batches()
    first = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    await QuotePublisher(redis).publish([quote(7)])
    assert await asyncio.wait_for(first, 10) == [quote(7)]


async def test_s1_a_reader_goes_on_after_redis_lost_everything(
    redis: Redis, redis_server: RedisServer
) -> None:
    publisher = QuotePublisher(redis)
    await publisher.publish([quote(1)])
    batches = QuoteReader(redis, SystemClock()).batches()
    assert await take(batches, 1) == [1]
    await redis_server.restart(wipe=True)
    following = asyncio.ensure_future(take(batches, 2))
    while not following.done():
        await publisher.publish([quote(2)])
        await asyncio.sleep(0.05)
    assert set(await following) == {2}


async def test_a_reader_notices_a_stream_whose_ids_begin_lower(redis: Redis) -> None:
    await redis.xadd(MARKET_QUOTES, {"b": encode(quote(1))}, id="9000000-0")
    batches = QuoteReader(redis, SystemClock()).batches()
    assert await take(batches, 1) == [1]
    await redis.delete(MARKET_QUOTES)
    await redis.xadd(MARKET_QUOTES, {"b": encode(quote(2))}, id="8000000-0")
    assert await take(batches, 2) == [2]


async def test_quotes_that_redis_does_not_take_are_lost_and_counted(
    redis: Redis, redis_server: RedisServer
) -> None:
    publisher = QuotePublisher(redis)
    await redis_server.kill()
    await publisher.publish([quote(1), quote(2)])
    assert publisher.lost == 2
    await redis_server.restart()
    await publisher.publish([quote(3)])
    assert publisher.lost == 2
    assert await redis.xlen(MARKET_QUOTES) == 1


async def test_what_is_no_quote_is_counted_and_passed_over(redis: Redis) -> None:
    await redis.xadd(MARKET_QUOTES, {"b": b"not json"})
    await redis.xadd(MARKET_QUOTES, {"b": encode(funding(1))})
    await redis.xadd(MARKET_QUOTES, {"x": b"no body"})
    await QuotePublisher(redis).publish([quote(1)])
    reader = QuoteReader(redis, SystemClock())
    assert await take(reader.batches(), 1) == [1]
    assert reader.malformed == 3


async def test_the_stream_keeps_about_ten_thousand_quotes(redis: Redis) -> None:
    publisher = QuotePublisher(redis)
    for start in range(0, 12_000, 1_000):
        await publisher.publish([quote(n) for n in range(start, start + 1_000)])
    assert 10_000 <= await redis.xlen(MARKET_QUOTES) < 10_200  # trimmed by whole nodes of 100
