"""What an order may ask for beyond side, price and quantity; bids 99 and 98, asks 101 and 102."""

from decimal import Decimal

import pytest

from shared.venue.rules import Refused
from tests.shared.venue.builders import order, refusal, venue

D = Decimal


@pytest.mark.fact("bybit-v5 5.2: slippageTolerance bounds a market order from the touch")
@pytest.mark.parametrize(
    ("side", "kind", "slippage", "bound", "filled"),
    [
        ("Buy", "Percent", "0.5", "101.5", "2"),  # 101 * 1.005 = 101.505, down to the tick
        ("Buy", "Percent", "1", "102", "3"),  # 102.01, down to the tick: 102 is met
        ("Sell", "Percent", "0.5", "98.6", "2"),  # 99 * 0.995 = 98.505, up to the tick
        ("Sell", "Percent", "2", "97.1", "3"),  # 97.02, up to the tick
        ("Buy", "TickSize", "9", "101.9", "2"),
        ("Buy", "TickSize", "10", "102", "3"),
        ("Sell", "TickSize", "10", "98", "3"),
    ],
)
def test_a_tolerance_bounds_what_a_market_order_meets(
    side: str, kind: str, slippage: str, bound: str, filled: str
) -> None:
    wanted = order("linear", side, "3", slippage_type=kind, slippage=D(slippage))
    placed = venue().place(wanted)
    assert (placed.price, placed.filled_qty) == (D(bound), D(filled))
    assert placed.status == ("Filled" if filled == "3" else "Cancelled")


@pytest.mark.fact("bybit-v5 5.2, 13: a tolerance out of range is 110108 or 110109")
@pytest.mark.parametrize(
    ("kind", "slippage", "code"),
    [
        ("Percent", "0.01", 0),
        ("Percent", "10", 0),
        ("Percent", "0", 110108),
        ("Percent", "10.01", 110108),
        ("Percent", "0.015", 110108),
        ("TickSize", "1", 0),
        ("TickSize", "10000", 0),
        ("TickSize", "0.5", 110109),
        ("TickSize", "10001", 110109),
        ("Guess", "1", 10001),
    ],
)
def test_a_tolerance_has_its_range(kind: str, slippage: str, code: int) -> None:
    wanted = order("linear", "Buy", "0.1", slippage_type=kind, slippage=D(slippage))
    assert refusal(venue(), wanted) == code


def test_a_tolerance_is_for_market_orders_alone() -> None:
    wanted = order("linear", "Buy", "1", "101", slippage_type="Percent", slippage=D(1))
    assert refusal(venue(), wanted) == 10001


@pytest.mark.fact("bybit-v5 5.2: qty 0 with reduceOnly and closeOnTrigger closes what is held")
def test_a_quantity_of_zero_closes_the_position_only_where_it_may() -> None:
    exchange = venue()
    exchange.place(order("linear", "Sell", "1.5"))
    assert refusal(exchange, order("linear", "Buy", "0", closes_all=True)) == 10001
    assert refusal(exchange, order("linear", "Buy", "0", reduce_only=True)) == 10001
    closed = exchange.place(order("linear", "Buy", "0", reduce_only=True, closes_all=True))
    assert (closed.qty, closed.status) == (D("1.5"), "Filled")
    assert exchange.positions["BTCUSDT"].size == 0
    again = order("linear", "Buy", "0", reduce_only=True, closes_all=True)
    assert refusal(exchange, again) == 110017


@pytest.mark.fact("bybit-v5 13: a perpetual's quantity below its step rounds to zero (110017)")
@pytest.mark.parametrize(("qty", "code"), [("0.0009", 110017), ("0.0015", 10001), ("0.1", 0)])
def test_a_quantity_below_the_step_has_a_code_of_its_own(qty: str, code: int) -> None:
    assert refusal(venue(), order("linear", "Buy", qty)) == code


@pytest.mark.fact("bybit-v5 5.2: marketUnit quoteCoin makes the quantity of a spot sale a value")
def test_a_market_sale_by_value_sells_at_most_that_value() -> None:
    exchange = venue()
    exchange.place(order("spot", "Buy", "3"))
    sold = exchange.place(order("spot", "Sell", "250", market_unit="quoteCoin"))
    # 2 at 99 are 198; of the 52 left 0.5306 at 98 are 51.9988.
    assert (sold.filled_qty, sold.filled_value) == (D("2.5306"), D("249.9988"))
    assert sold.status == "Filled"
    assert refusal(exchange, order("spot", "Sell", "250", market_unit="quoteCoin")) == 170131
    assert refusal(exchange, order("spot", "Sell", "4", market_unit="quoteCoin")) == 170140
    assert refusal(exchange, order("spot", "Sell", "4", market_unit="coin")) == 10001


@pytest.mark.fact("bybit-v5 5.5: the band holds for an amended price too")
def test_an_amended_price_is_moved_or_refused_as_a_new_one() -> None:
    exchange = venue(price_band=D("0.05"))
    resting = exchange.place(order("linear", "Sell", "1", "104", time_in_force="GTC"))
    moved = exchange.amend("linear", "BTCUSDT", order_id=resting.order_id, price=D(90))
    assert (moved.price, moved.status) == (D(95), "Filled")
    resting = exchange.place(order("linear", "Sell", "1", "104", time_in_force="GTC"))
    exchange.adjusts_price["linear"] = False
    with pytest.raises(Refused) as caught:
        exchange.amend("linear", "BTCUSDT", order_id=resting.order_id, price=D(90))
    assert caught.value.code == 30209
    assert exchange.order(resting.order_id).price == D(104)


@pytest.mark.fact("bybit-v5 5.1: an amend has to change something, to what an order may be")
def test_an_amend_that_changes_nothing_or_to_nothing_is_refused() -> None:
    exchange = venue()
    resting = exchange.place(order("linear", "Buy", "1", "90", time_in_force="GTC"))
    for qty, price in ((None, None), (D(1), D(90)), (D(0), None), (None, D(0)), (D(-1), None)):
        with pytest.raises(Refused) as caught:
            exchange.amend("linear", "BTCUSDT", order_id=resting.order_id, qty=qty, price=price)
        assert caught.value.code == 10001
    assert exchange.order(resting.order_id) == resting


@pytest.mark.parametrize(("mark", "bound"), [("100.05", "95.1"), ("100", "95")])
def test_a_sale_is_moved_into_the_band_and_not_a_tick_beyond_it(mark: str, bound: str) -> None:
    exchange = venue(price_band=D("0.05"))
    exchange.set_mark("BTCUSDT", D(mark), D(mark))
    placed = exchange.place(order("linear", "Sell", "1", "90", time_in_force="PostOnly"))
    assert placed.price == D(bound)  # 95.0475 is the lowest: up to the tick
