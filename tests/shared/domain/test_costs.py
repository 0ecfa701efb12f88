"""Books walked at size, break-even and capacity. Figures are worked by hand."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.costs import (
    FeeRates,
    break_even,
    break_even_shorter,
    capacity,
    round_trip,
)
from shared.domain.depth import Depth, crossing, walk
from tests.support.markets import quote

FEES = FeeRates(Decimal("0.001"), Decimal("0.00055"))
NONE = Decimal(0)
HOURS = timedelta(hours=1)


def levels(*rows: tuple[str, str]) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(price), Decimal(size)) for price, size in rows)


BOOK = Depth(
    bids=levels(("99", "1"), ("98", "2"), ("96", "4")),
    asks=levels(("101", "2"), ("103", "2")),
)


@pytest.mark.parametrize(
    ("quantity", "price", "is_short"),
    [
        ("0", "99", False),
        ("1", "99", False),
        ("2", "98.5", False),  # one at 99, one at 98
        ("4", "97.75", False),  # 99 + 2 x 98 + 96 = 391
        ("7", "97", False),  # 99 + 196 + 384 = 679, the whole book
        ("8", "96.875", True),  # one more, reckoned at 96
    ],
)
def test_a_walk_takes_level_after_level_and_says_when_they_end(
    quantity: str, price: str, is_short: bool
) -> None:
    taken = walk(BOOK.bids, Decimal(quantity))
    assert (taken.price, taken.is_short) == (Decimal(price), is_short)


def test_crossing_a_book_loses_the_way_from_the_mean_ask_to_the_mean_bid() -> None:
    # Three: bought at (2 x 101 + 103) / 3 = 101.666..., sold at (99 + 2 x 98) / 3 = 98.333...
    lost, is_short = crossing(BOOK, Decimal(3))
    assert lost == Decimal("0.033333333333")
    assert not is_short
    assert crossing(BOOK, Decimal(5)) == (Decimal("0.048"), True)  # 102.2 - 97.4; the fifth at 103


@given(st.decimals("0.01", "10", places=2), st.decimals("0.01", "10", places=2))
def test_a_greater_size_never_costs_less(one: Decimal, other: Decimal) -> None:
    less, more = sorted((one, other))
    assert crossing(BOOK, less)[0] <= crossing(BOOK, more)[0]


def test_a_round_trip_at_size_walks_both_books_and_names_a_short_one() -> None:
    thin = quote("9999.5", "10000.5", size="0.4")
    deep = quote("9999.5", "10000.5", size="100")
    at_size = round_trip(deep, thin, FEES, Decimal("0.0001"), NONE, Decimal("0.5"))
    assert at_size.depth_short
    # Beyond the only level the last price is taken: still one spread of 0.0001 per leg.
    assert at_size.slippage == Decimal("0.0006")
    assert not round_trip(deep, thin, FEES, Decimal("0.0001"), NONE, Decimal("0.4")).depth_short
    walked = round_trip(BOOK, BOOK, FEES, NONE, NONE, Decimal(2))
    assert walked.slippage == 2 * Decimal("0.025")  # 101 - 98.5 over 100
    assert walked.total == Decimal("0.0531")  # and fees of 2 x 0.00155


@pytest.mark.parametrize(
    ("cost", "rate", "interval", "settlements", "hours", "shorter"),
    [
        ("0.0037", "0.0003", 8, 13, 104, (25, 100)),  # 12.33; at half the rate 24.67
        ("0.0036", "0.0003", 8, 12, 96, (24, 96)),  # exactly
        ("0.0036", "0.0001", 4, 36, 144, (72, 144)),
        ("0.0036", "0.0001", 1, 36, 36, None),  # no shorter interval
        ("0", "0.0001", 8, 0, 0, (0, 0)),
        ("-0.0003", "0.0001", 8, 0, 0, (0, 0)),  # the basis pays for more than trading
    ],
)
def test_costs_are_earned_after_whole_settlements_also_at_the_shorter_interval(
    cost: str,
    rate: str,
    interval: int,
    settlements: int,
    hours: int,
    shorter: tuple[int, int] | None,
) -> None:
    now = break_even(Decimal(cost), Decimal(rate), interval * HOURS)
    assert now is not None
    assert (now.settlements, int(now.hours)) == (settlements, hours)
    then = break_even_shorter(Decimal(cost), Decimal(rate), interval * HOURS)
    assert (None if then is None else (then.settlements, int(then.hours))) == shorter


@pytest.mark.parametrize("rate", ["0", "-0.0001"])
def test_without_a_positive_rate_costs_are_never_earned(rate: str) -> None:
    assert break_even(Decimal("0.01"), Decimal(rate), 8 * HOURS) is None
    assert break_even_shorter(Decimal("0.01"), Decimal(rate), 8 * HOURS) is None


def test_capacity_is_the_largest_size_whose_walk_is_earned_in_time() -> None:
    def of(rate: str, lot: str = "0.001") -> tuple[Decimal, bool]:
        return capacity(BOOK, BOOK, FEES, NONE, NONE, Decimal(rate), 10, Decimal(lot))

    # At the touch: 0.0031 of fees and two spreads of 0.02, 0.0431 in all.
    assert of("0.00430") == (Decimal(0), False)
    assert of("0.00431") == (Decimal(1), False)
    # Two cost 0.0531. Between one and two the bid side falls by one: 99 to 98.5 on average.
    assert of("0.00531") == (Decimal(2), False)
    # q between 1 and 2: sold at 98 + 1/q, so each leg loses (3 - 1/q) / 100. 0.0481: 1/q = 0.75.
    assert of("0.00481") == (Decimal("1.333"), False)
    # A rate that pays for anything is bounded by what is known of the thinner side: four.
    assert of("1") == (Decimal(4), True)


@given(st.integers(1, 400))
def test_capacity_agrees_with_trying_every_lot(rate: int) -> None:
    lot, per = Decimal("0.05"), Decimal(rate).scaleb(-4)
    tried = Decimal(0)
    for count in range(1, 81):
        trip = round_trip(BOOK, BOOK, FEES, NONE, NONE, lot * count)
        if trip.total <= per * 3 and not trip.depth_short:
            tried = lot * count
    assert capacity(BOOK, BOOK, FEES, NONE, NONE, per, 3, lot)[0] == tried
