"""What the executor knows of the market, and when it is too old to open on."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

from services.executor.market import Freshness, Market
from shared.bus.messages import QuoteUpdated
from tests.support.clock import ManualClock
from tests.support.markets import EIGHT_HOURS, INSTANT, MIDNIGHT, pair, settlements

BOUND = Freshness(behind=timedelta(hours=2), silent_seconds=10)


def quoted(
    category: str, at: datetime = INSTANT, *, base: str = "BTC", next_funding: int = 8
) -> QuoteUpdated:
    is_linear = category == "linear"
    return QuoteUpdated(
        category=category,
        symbol=f"{base}USDT",
        bid=Decimal(9_999),
        bid_size=Decimal(1),
        ask=Decimal(10_001),
        ask_size=Decimal(1),
        venue_at=at,
        received_at=at,
        mark=Decimal(10_000) if is_linear else None,
        next_funding_at=MIDNIGHT + timedelta(hours=next_funding) if is_linear else None,
    )


async def test_a_pair_is_fresh_up_to_its_bounds_in_venue_and_in_wall_time() -> None:
    clock = ManualClock(auto=True)
    market = Market([pair(), pair("ETH")], clock, BOUND)
    assert not market.is_fresh("BTCUSDT")
    market.quoted([quoted("spot"), quoted("linear")])
    assert market.is_fresh("BTCUSDT")
    market.quoted([quoted("spot", INSTANT + timedelta(hours=2), base="ETH")])
    assert market.is_fresh("BTCUSDT")
    market.quoted([quoted("spot", INSTANT + timedelta(hours=2, seconds=1), base="ETH")])
    assert not market.is_fresh("BTCUSDT")
    market.quoted([quoted(c, INSTANT + timedelta(hours=3)) for c in ("spot", "linear")])
    await clock.sleep(10)
    assert market.is_fresh("BTCUSDT")
    await clock.sleep(0.001)
    assert not market.is_fresh("BTCUSDT")


async def test_a_wait_for_an_instant_ends_when_both_books_have_reached_it() -> None:
    market = Market([pair()], ManualClock(), BOUND)
    later = INSTANT + timedelta(hours=1)
    waiting = asyncio.create_task(market.reached("BTCUSDT", later, 60))
    market.quoted([quoted("spot", later)])
    await asyncio.sleep(0)
    assert not waiting.done()
    market.quoted([quoted("linear", later)])
    reached = await waiting
    assert reached.spot is not None
    assert reached.spot.venue_at == later


async def test_a_settlement_is_noticed_when_the_next_one_is_announced() -> None:
    market = Market([pair()], ManualClock(), BOUND)
    market.quoted([quoted("linear"), quoted("spot"), quoted("linear")])
    assert not market.settlement_passed.is_set()
    market.quoted([quoted("linear", INSTANT + EIGHT_HOURS, next_funding=16)])
    assert market.settlement_passed.is_set()


async def test_new_rules_keep_what_is_known_of_the_market() -> None:
    market = Market([pair()], ManualClock(), BOUND)
    market.quoted([quoted("spot"), quoted("linear")])
    market.settled(settlements("BTCUSDT", ["0.0001"]))
    before = market.of("BTCUSDT")
    coarser = pair(perp_step="0.01")
    market.renew(coarser)
    after = market.of("BTCUSDT")
    assert after.pair == coarser
    assert (after.spot, after.perp, after.mark_price, after.settlements) == (
        before.spot,
        before.perp,
        before.mark_price,
        before.settlements,
    )
