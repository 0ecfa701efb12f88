"""MarketView: when an instant is complete, and what a snapshot holds."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from shared.domain.instrument import Category
from shared.domain.market import BasisLevel
from shared.domain.view import MarketView, PerpPrices
from tests.support.markets import EIGHT_HOURS, INSTANT, MIDNIGHT, pair, quote, settlements

MINUTE = timedelta(minutes=1)
PRICES = PerpPrices(
    Decimal(10000), Decimal(10000), Decimal("0.0001"), MIDNIGHT + EIGHT_HOURS, EIGHT_HOURS, INSTANT
)


def test_an_instant_is_reached_when_the_slowest_of_all_books_has_reached_it() -> None:
    view = MarketView([pair("BTC"), pair("ETH")], keep=21)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        view.quoted(Category.LINEAR, symbol, quote("1", "2"), PRICES)
    view.quoted(Category.SPOT, "BTCUSDT", quote("1", "2"))
    assert view.newest_instant(MINUTE) is None
    view.quoted(Category.SPOT, "ETHUSDT", quote("1", "2", at=INSTANT + timedelta(seconds=59)))
    assert view.newest_instant(MINUTE) == INSTANT


def test_an_older_quote_changes_nothing() -> None:
    view = MarketView([pair()], keep=21)
    view.quoted(Category.SPOT, "BTCUSDT", quote("5", "6"))
    view.quoted(Category.SPOT, "BTCUSDT", quote("1", "2", at=INSTANT - MINUTE))
    spot = view.markets["BTCUSDT"].spot
    assert spot is not None
    assert spot.bid == 5


def test_spot_and_perpetual_of_one_symbol_are_kept_apart() -> None:
    view = MarketView([pair()], keep=21)
    view.quoted(Category.SPOT, "BTCUSDT", quote("1", "2"))
    market = view.markets["BTCUSDT"]
    assert (market.perp, market.mark_price) == (None, None)


def test_settlements_come_in_any_order_once_and_only_the_newest_are_kept() -> None:
    view = MarketView([pair()], keep=2)
    first, second, third = settlements("BTCUSDT", ["0.1", "0.2", "0.3"])
    for settled in (third, first, third, second):
        view.settled(settled)
    assert [s.rate for s in view.markets["BTCUSDT"].settlements] == [
        Decimal("0.2"),
        Decimal("0.3"),
    ]


def test_basis_levels_come_in_any_order_once_and_the_oldest_are_forgotten() -> None:
    view = MarketView([pair()], keep=2)
    for hour, rate in ((3, "0.3"), (1, "0.1"), (3, "0.9"), (2, "0.2")):
        view.levelled(BasisLevel("BTCUSDT", MIDNIGHT + hour * 60 * MINUTE, Decimal(rate)))
    view.levelled(BasisLevel("ETHUSDT", MIDNIGHT, Decimal(1)))  # nobody's
    assert view.levels("BTCUSDT") == {
        MIDNIGHT + hour * 60 * MINUTE: Decimal(rate) for hour, rate in ((2, "0.2"), (3, "0.3"))
    }


def test_an_instant_after_a_settlement_waits_until_its_rate_is_known() -> None:
    view = MarketView([pair()], keep=21)
    for settled in settlements("BTCUSDT", ["0.1", "0.2"]):
        view.settled(settled)
    view.quoted(Category.SPOT, "BTCUSDT", quote("1", "2"))
    view.quoted(Category.LINEAR, "BTCUSDT", quote("1", "2"), PRICES)
    assert view.funding_is_complete(INSTANT)
    at = MIDNIGHT + EIGHT_HOURS + MINUTE
    later = PerpPrices(Decimal(1), Decimal(1), None, MIDNIGHT + 2 * EIGHT_HOURS, EIGHT_HOURS, at)
    view.quoted(Category.LINEAR, "BTCUSDT", quote("1", "2", at=at), later)
    assert not view.funding_is_complete(at)
    (due,) = settlements("BTCUSDT", ["0.3"], last_at=MIDNIGHT + EIGHT_HOURS)
    view.settled(due)
    assert view.funding_is_complete(at)


def test_a_settlement_has_passed_when_the_ticker_names_a_later_one_at_or_after_it() -> None:
    view = MarketView([pair()], keep=21)
    first, later = MIDNIGHT + EIGHT_HOURS, MIDNIGHT + 2 * EIGHT_HOURS

    def ticker(at: datetime, next_at: datetime) -> datetime | None:
        prices = PerpPrices(Decimal(1), Decimal(1), None, next_at, EIGHT_HOURS, at)
        # The book may still be the one before: it is the ticker that speaks of funding.
        view.quoted(Category.LINEAR, "BTCUSDT", quote("1", "2", at=INSTANT), prices)
        return view.markets["BTCUSDT"].settled_by

    assert ticker(INSTANT, first) is None
    assert ticker(first, later) == first
    assert ticker(later - MINUTE, later - 2 * MINUTE) == first  # brought forward


def test_r10_a_pair_that_does_not_trade_any_more_is_not_waited_for() -> None:
    view = MarketView([pair("BTC"), pair("ETH")], keep=21)
    for settled in settlements("BTCUSDT", ["0.1"]):
        view.settled(settled)
    view.quoted(Category.SPOT, "BTCUSDT", quote("1", "2"))
    view.quoted(Category.LINEAR, "BTCUSDT", quote("1", "2"), PRICES)
    assert (view.newest_instant(MINUTE), view.funding_is_complete(INSTANT)) == (None, False)
    of = pair("ETH")
    view.renew(replace(of, perp=replace(of.perp, status="Gone")))
    assert (view.newest_instant(MINUTE), view.funding_is_complete(INSTANT)) == (INSTANT, True)


def test_where_nothing_trades_the_books_that_are_left_are_waited_for() -> None:
    of = pair()
    view = MarketView([replace(of, perp=replace(of.perp, delivery_at=MIDNIGHT))], keep=21)
    view.quoted(Category.SPOT, "BTCUSDT", quote("1", "2"))
    assert view.newest_instant(MINUTE) is None
    view.quoted(Category.LINEAR, "BTCUSDT", quote("1", "2"), PRICES)
    assert view.newest_instant(MINUTE) == INSTANT
