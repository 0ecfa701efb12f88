"""What the venue does by itself: tiers and haircuts, liquidation, deleveraging, delivery."""

from dataclasses import replace

import pytest

from shared.venue.admission import Delisting
from shared.venue.enforcement import deleverage, deliver, enforce_margin
from shared.venue.exchange import Exchange
from shared.venue.margin import Collateral, CollateralTier, maintenance_margin
from shared.venue.rules import RiskTier
from tests.shared.venue.builders import LINEAR, SPOT, D, order, refusal, set_book, venue

FREE = {"taker_fee": D(0), "maker_fee": D(0)}


def backed_by_coins(coins: str, usdt: str = "0") -> Exchange:
    """An account with ``coins`` BTC at 100 and no fees, one of them sold short."""
    rules = [replace(rule, taker_fee=D(0), maker_fee=D(0)) for rule in (SPOT, LINEAR)]
    exchange = Exchange(rules, {"BTC": D(coins), "USDT": D(usdt)}, 1_000)
    exchange.set_mark("BTCUSDT", D(100), D(100))
    set_book(exchange, "linear", 100, 101)
    exchange.place(order("linear", "Sell", "1", "100"))
    exchange.drain()
    return exchange


@pytest.mark.fact("bybit-v5 7.4: collateral ratios are tiered by the coin's quantity")
def test_each_bracket_of_a_coin_backs_its_own_ratio() -> None:
    tiers = (
        CollateralTier(D(10), D("0.9")),
        CollateralTier(D(30), D("0.5")),
        CollateralTier(None, D(0)),
    )
    collateral = Collateral({"SOL": tiers})
    assert collateral.value("SOL", D(5), D(100)) == D(450)
    assert collateral.value("SOL", D(20), D(100)) == D(900) + D(500)
    assert collateral.value("SOL", D(100), D(100)) == D(900) + D(1000)
    assert collateral.value("SOL", D(-2), D(100)) == D(-200)  # what is owed counts in full
    assert collateral.value("USDT", D(7), D(1)) == D(7)


@pytest.mark.fact("bybit-v5 7.2: a coin backs nothing when its owner switched it off")
def test_a_coin_that_is_switched_off_backs_nothing() -> None:
    exchange = backed_by_coins("1")
    assert exchange.margin().balance == D(90)
    exchange.collateral.off.add("BTC")
    assert exchange.margin().balance == D(0)


@pytest.mark.fact("bybit-v5 6: maintenance = value x rate - deduction, by risk tier")
def test_maintenance_follows_the_risk_tier() -> None:
    tiers = (
        RiskTier(D(1000), D("0.01"), D(0), D(50)),
        RiskTier(D(5000), D("0.02"), D(10), D(25)),
    )
    rule = replace(LINEAR, risk_tiers=tiers)
    assert maintenance_margin(rule, D(1000)) == D(10)
    assert maintenance_margin(rule, D(1100)) == D(12)
    assert maintenance_margin(rule, D(9000)) == D(170)  # beyond the last tier
    assert maintenance_margin(LINEAR, D(1000)) == D(10)


@pytest.mark.fact("bybit-v5 7.5: a pair's margin falls as the price rises, by the haircut on spot")
def test_a_hedged_pair_is_liquidated_when_the_price_rises_far_enough() -> None:
    exchange = backed_by_coins("1")
    # At 900: 0.9 of 900 less 800 lost leave 10 against 9 of maintenance.
    exchange.set_mark("BTCUSDT", D(900), D(900))
    assert (exchange.margin().balance, exchange.margin().maintenance) == (D(10), D(9))
    assert not enforce_margin(exchange)
    # At 920: 828 - 820 = 8 against 9.2: the 820 owed are paid with 0.8914 coins.
    exchange.set_mark("BTCUSDT", D(920), D(920))
    assert enforce_margin(exchange)
    assert exchange.wallet["BTC"] == D(1) - D("0.8914")
    assert exchange.wallet["USDT"] == D("820.088")
    assert exchange.positions["BTCUSDT"].size == D(-1)  # one leg is gone, the other stands
    sold = exchange.executions[-1]
    assert (sold.exec_type, sold.link_id, sold.create_type) == ("Trade", "", "CreateByLiq")
    assert {entry.type for entry in exchange.log[-2:]} == {"SPOT_REPAYMENT_SELL"}


@pytest.mark.fact("bybit-v5 7.5: at 100 % orders are cancelled, then positions reduced in steps")
def test_a_naked_short_is_reduced_by_quarters_until_its_margin_suffices() -> None:
    exchange = venue("110", **FREE)
    set_book(exchange, "linear", 100, 200)
    exchange.place(order("linear", "Sell", "1", "100"))
    exchange.place(order("linear", "Buy", "0.1", "50", time_in_force="GTC"))
    exchange.drain()
    # At 209: 110 - 109 = 1 against 2.09. After three quarters 0.25 is left: 1 against 0.5225.
    exchange.set_mark("BTCUSDT", D(209), D(209))
    assert enforce_margin(exchange)
    assert exchange.orders[1].cancel_type == "CancelByPrepareLiq"
    busts = [e for e in exchange.executions if e.exec_type == "BustTrade"]
    assert [(e.side, e.qty, e.price) for e in busts] == [
        ("Buy", D("0.25"), D(209)), ("Buy", D("0.188"), D(209)), ("Buy", D("0.141"), D(209)),
    ]  # fmt: skip
    assert exchange.positions["BTCUSDT"].size == D("-0.421")
    assert exchange.margin().maintenance < exchange.margin().balance
    assert {e.type for e in exchange.log if e.trade_id in {b.exec_id for b in busts}} == {
        "LIQUIDATION"
    }
    topics = [event.topic for event in exchange.drain()]
    assert topics.count("execution") == 3


def test_a_liquidation_pays_the_taker_fee_and_is_an_order_without_a_link_id() -> None:
    exchange = venue("110")
    set_book(exchange, "linear", 100, 200)
    exchange.place(order("linear", "Sell", "1", "100"))
    exchange.set_mark("BTCUSDT", D(209), D(209))
    enforce_margin(exchange)
    bust = next(e for e in exchange.executions if e.exec_type == "BustTrade")
    assert bust.fee == bust.value * D("0.00055")
    forced = exchange.find("linear", order_id=bust.order_id)
    assert forced is not None
    assert (forced.status, forced.link_id, forced.create_type) == ("Filled", "", "CreateByLiq")


def test_a_loss_that_nothing_can_pay_ends_flat() -> None:
    exchange = venue("11", **FREE)
    set_book(exchange, "linear", 100, 200)
    exchange.place(order("linear", "Sell", "1", "100"))
    exchange.set_mark("BTCUSDT", D(150), D(150))
    assert enforce_margin(exchange)
    assert exchange.positions["BTCUSDT"].size == 0
    assert exchange.wallet["USDT"] == D(-39)


def test_a_sound_account_is_left_alone() -> None:
    exchange = backed_by_coins("1", "1000")
    before = exchange.snapshot()
    assert not enforce_margin(exchange)
    assert exchange.snapshot() == before


@pytest.mark.fact(
    "bybit-v5 7.6: ADL closes without a link id, as AdlTrade and CreateByAdl_PassThrough"
)
def test_deleveraging_takes_part_of_a_short_and_leaves_the_spot_naked() -> None:
    exchange = backed_by_coins("1")
    exchange.place(order("linear", "Buy", "0.1", "50", time_in_force="GTC"))
    exchange.drain()
    assert deleverage(exchange, "BTCUSDT", D("0.4"), D(80)) == D("0.4")
    taken = exchange.executions[-1]
    assert (taken.exec_type, taken.create_type, taken.link_id, taken.fee) == (
        "AdlTrade", "CreateByAdl_PassThrough", "", D(0),
    )  # fmt: skip
    assert exchange.positions["BTCUSDT"].size == D("-0.6")
    assert exchange.wallet["USDT"] == D("0.4") * 20
    assert exchange.orders[1].cancel_type == "CancelAllBeforeAdl"
    assert (exchange.log[-1].type, exchange.log[-1].cash_flow) == ("ADL", D(8))
    assert [e.topic for e in exchange.drain()] == [
        "order", "position", "execution", "order", "position", "wallet",
    ]  # fmt: skip


def test_deleveraging_never_takes_more_than_is_held() -> None:
    exchange = backed_by_coins("1")
    assert deleverage(exchange, "BTCUSDT", D(7), D(80)) == D(1)
    assert deleverage(exchange, "BTCUSDT", D(7), D(80)) == D(0)


@pytest.mark.fact("bybit-v5 3.6: a delisted perpetual is closed as a trade with no order")
def test_a_delisted_perpetual_is_closed_at_the_mark_without_an_order() -> None:
    exchange = backed_by_coins("1")
    orders = len(exchange.orders)
    exchange.set_mark("BTCUSDT", D(90), D(90))
    deliver(exchange, "BTCUSDT")
    closed = exchange.executions[-1]
    assert (closed.exec_type, closed.create_type, closed.price) == (
        "Delivery", "CreateBySettle", D(90),
    )  # fmt: skip
    assert exchange.find("linear", order_id=closed.order_id) is None
    assert len(exchange.orders) == orders
    assert exchange.positions["BTCUSDT"].size == 0
    assert exchange.log[-1].type == "DELIVERY"
    assert exchange.wallet["USDT"] == D(10)


@pytest.mark.fact("bybit-v5 3.6: before delivery only reductions are taken (30228)")
def test_a_perpetual_on_its_way_out_takes_reductions_alone() -> None:
    exchange = backed_by_coins("1")
    exchange.delistings["BTCUSDT"] = Delisting(reduce_only_ms=2_000, deliver_ms=3_000)
    assert refusal(exchange, order("linear", "Sell", "0.1", "100")) == 0
    exchange.advance(2_000)
    assert refusal(exchange, order("linear", "Sell", "0.1", "100")) == 30228
    assert refusal(exchange, order("linear", "Buy", "1.2", "101")) == 30228
    assert refusal(exchange, order("linear", "Buy", "0.5", "101")) == 0
    assert refusal(exchange, order("spot", "Sell", "0.1", "99")) == 0
    exchange.advance(3_000)
    assert refusal(exchange, order("linear", "Buy", "0.1", "101", reduce_only=True)) == 110074


@pytest.mark.fact("bybit-v5 5.2: 500 active orders a perpetual, 500 over all of spot")
@pytest.mark.parametrize(("category", "code"), [("linear", 110020), ("spot", 170810)])
def test_the_order_after_the_five_hundredth_is_refused(category: str, code: int) -> None:
    exchange = venue("1000000")
    for _ in range(500):
        exchange.place(order(category, "Buy", "0.1", "90", time_in_force="GTC"))
    assert refusal(exchange, order(category, "Buy", "0.1", "90", time_in_force="GTC")) == code
    assert refusal(exchange, order(category, "Buy", "0.1", "101")) == 0


def test_what_an_account_has_set_survives_a_snapshot() -> None:
    exchange = backed_by_coins("1")
    exchange.collateral.off.add("BTC")
    exchange.delistings["BTCUSDT"] = Delisting(2_000, 3_000)
    again = Exchange([SPOT, LINEAR], {}, 0)
    again.restore(exchange.snapshot())
    assert again.snapshot() == exchange.snapshot()
