"""The stated book around a close."""

import pytest

from shared.venue.books import Book, book_around
from tests.shared.venue.builders import D


def test_the_touch_is_the_half_spread_away_rounded_outward_to_the_tick() -> None:
    # 37000 * 0.75 / 10000 = 2.775: 36997.225 and 37002.775
    bids, asks = book_around(D(37000), D("0.01"), D("0.000001"), D("0.75"), D(1000), levels=2)
    assert [price for price, _ in bids] == [D("36997.22"), D("36994.44")]
    assert [price for price, _ in asks] == [D("37002.78"), D("37005.56")]


def test_half_a_tick_is_the_least_half_spread() -> None:
    bids, asks = book_around(D("37000.1"), D("0.1"), D("0.001"), D("0.001"), D(1000), levels=1)
    assert (bids[0][0], asks[0][0]) == (D("37000.0"), D("37000.2"))


def test_each_level_holds_its_rank_times_the_stated_value_down_to_the_step() -> None:
    bids, asks = book_around(D(100), D(1), D("0.1"), D(100), D(1000), levels=3)
    assert bids == [(D(99), D("10.1")), (D(98), D("20.4")), (D(97), D("30.9"))]
    assert asks == [(D(101), D("9.9")), (D(102), D("19.6")), (D(103), D("29.1"))]


def test_levels_never_reach_zero() -> None:
    bids, asks = book_around(D("0.0003"), D("0.0001"), D(1), D(1), D(10))
    assert all(price > 0 for price, _ in bids)
    assert len(asks) == 10


def test_only_previewed_fills_can_be_taken() -> None:
    book = Book([(D(99), D(1))], [(D(101), D(1))])
    with pytest.raises(ValueError, match="previewed"):
        book.take("Buy", [(D(100), D(1))])
