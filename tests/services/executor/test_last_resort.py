"""The collector is dead: one leg that stands alone is followed at the price the venue shows."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import cast

import pytest

from services.executor.desk import Desk
from services.executor.journal import Journal
from services.executor.last_resort import LastResort
from services.executor.market import Freshness, Market
from services.executor.metrics import ExecutorMetrics
from shared.domain.position import PairPosition
from shared.store.pool import WritePool
from shared.venue.enforcement import deleverage
from tests.services.executor.test_market import quoted
from tests.support.clock import ManualClock
from tests.support.executor import Rig, books, running, venue
from tests.support.fake_gateway import FakeGateway
from tests.support.markets import INSTANT, pair

BOUND = Freshness(behind=timedelta(hours=2), silent_seconds=3.5)


class Scene:
    """One pair whose books were heard at the first instant; only what is owned changes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.market = Market([pair()], self.clock, BOUND)
        self.market.quoted([quoted("spot"), quoted("linear")])
        self.gateway = FakeGateway(venue())
        for category in ("spot", "linear"):
            books(self.gateway.exchange, category, bid="8999.5", ask="9000.5")
        self.resort = LastResort(self.gateway, self.market, self.clock)
        self.desk = Desk(
            pair(),
            spare_coin=lambda _: Decimal(0),
            journal=cast(Journal, None),  # nothing is stored: only what is owned is looked at
            market=self.market,
            clock=self.clock,
            metrics=ExecutorMetrics(),
        )

    def owns(self, spot: str, perp: str) -> None:
        self.desk.position = PairPosition(Decimal(spot), Decimal(perp))

    async def after(self, seconds: float) -> tuple[int, Decimal]:
        """Return how many tops were asked for and the spot's bid once silent for ``seconds``."""
        await self.clock.advance(seconds)
        await self.resort.look(self.desk)
        spot = self.market.of("BTCUSDT").spot
        assert spot is not None
        return len(self.gateway.tops), spot.bid


async def test_both_tops_are_asked_for_after_five_silent_seconds_of_one_leg_alone() -> None:
    scene = Scene()
    scene.owns("1", "-0.6")
    assert await scene.after(5.0) == (0, Decimal(9_999))
    assert await scene.after(0.001) == (2, Decimal("8999.5"))
    assert await scene.after(0.5) == (4, Decimal("8999.5"))  # again while it lasts


async def test_a_hedged_pair_asks_for_nothing() -> None:
    scene = Scene()
    scene.owns("1", "-1")
    assert await scene.after(60) == (0, Decimal(9_999))


async def test_a_price_that_was_asked_for_is_never_fresh_and_keeps_the_mark() -> None:
    scene = Scene()
    scene.owns("1", "-0.6")
    await scene.after(6)
    assert not scene.market.is_fresh("BTCUSDT")
    known = scene.market.of("BTCUSDT")
    assert known.mark_price == Decimal(10_000)
    assert known.next_funding_at is not None
    assert not scene.market.settlement_passed.is_set()
    scene.market.quoted([quoted(c, INSTANT + timedelta(seconds=7)) for c in ("spot", "linear")])
    assert scene.market.is_fresh("BTCUSDT")
    assert await scene.after(1) == (2, Decimal(9_999))


async def test_a_venue_that_does_not_answer_leaves_what_is_known() -> None:
    scene = Scene()
    scene.owns("1", "-0.6")
    scene.gateway.is_reachable = False
    assert await scene.after(6) == (0, Decimal(9_999))


@pytest.mark.parametrize("fell_to", ["8000", "12000"])
async def test_after_a_deleveraging_the_coin_is_sold_at_the_price_from_rest(
    pool: WritePool, fell_to: str
) -> None:
    """0.4 of the short is taken away while nobody tells prices; the books are far off by then."""
    exchange = venue()
    async with running(pool, exchange) as rig:
        await rig.want("1")
        await rig.finished(1)
        silence(rig)
        price = Decimal(fell_to)
        for category in ("spot", "linear"):
            books(exchange, category, bid=str(price - 1), ask=str(price + 1))
        exchange.set_mark("BTCUSDT", price, price)
        deleverage(exchange, "BTCUSDT", Decimal("0.4"), price)
        rig.gateway.push()
        plans = await rig.finished(2)
        assert (plans[1]["state"], plans[1]["reason"]) == ("hedged", "residual")
        [sale] = rig.gateway.placed[2:]
        # the bid less the first band of an unwind or a close, not 9,999.5 less anything
        assert (price - 1) * Decimal("0.99") < sale.limit_price <= price - 1
        assert (sale.side.value, sale.quantity) == ("Sell", Decimal("0.4"))
        await rig.want("2", minutes=1)
        plans = await rig.finished(3)
        assert plans[2]["state"] == "refused"
        assert "stale" in str(plans[2]["reason"])


def silence(rig: Rig) -> None:
    """The last quotes are ten seconds old, and the bound is that of live trading."""
    market = rig.market
    market._freshness = replace(market._freshness, silent_seconds=3.5)
    market._heard = {book: at - 10 for book, at in market._heard.items()}
