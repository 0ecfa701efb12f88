"""What orders cost, what positions earn, and what the venue refuses."""

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.venue.exchange import Exchange
from shared.venue.records import Execution, Order, Position
from shared.venue.rules import Refused
from tests.shared.venue.builders import LINEAR, SPOT, D, order, refusal, set_book, venue


@pytest.mark.fact("RELIABILITY 1.3: a spot buy pays its fee in base coin")
def test_a_spot_buy_pays_its_fee_in_the_coin_it_receives() -> None:
    exchange = venue()
    exchange.place(order("spot", "Buy", "1", "101"))
    assert exchange.wallet == {"USDT": D(9899), "BTC": D("0.999")}
    (fill,) = exchange.executions
    assert (fill.fee, fill.fee_currency, fill.value) == (D("0.001"), "BTC", D(101))


@pytest.mark.fact("bybit-v5 5.3: a spot sale pays its fee in quote coin")
def test_a_spot_sale_pays_its_fee_in_the_quote_coin() -> None:
    exchange = venue()
    exchange.place(order("spot", "Buy", "1", "101"))
    exchange.place(order("spot", "Sell", "0.5", "99"))
    # 0.5 * 99 = 49.5 less 0.1 % = 0.0495
    assert exchange.wallet == {"USDT": D("9948.4505"), "BTC": D("0.499")}


def test_an_order_walks_the_book_and_what_it_takes_stays_taken_until_the_book_is_set() -> None:
    exchange = venue()
    done = exchange.place(order("linear", "Buy", "3", "102"))
    assert (done.status, done.filled_value, done.average_price) == (
        "Filled", D(304), D("101.333333333333"),
    )  # fmt: skip
    assert exchange.book("linear", "BTCUSDT")[1] == ((D(102), D(1)),)
    set_book(exchange, "linear")
    assert exchange.book("linear", "BTCUSDT")[1][0] == (D(101), D(2))


@pytest.mark.parametrize(
    ("category", "status"), [("linear", "Cancelled"), ("spot", "PartiallyFilledCanceled")]
)
@pytest.mark.fact("RELIABILITY 1.3: Cancelled may carry quantity, spot has PartiallyFilledCanceled")
def test_the_rest_of_an_immediate_order_is_cancelled_in_its_products_own_words(
    category: str, status: str
) -> None:
    exchange = venue()
    done = exchange.place(order(category, "Buy", "3", "101"))
    assert (done.status, done.filled_qty, done.leaves_qty) == (status, D(2), D(0))


@pytest.mark.fact("bybit-v5 5.2: an IOC order that meets nothing is cancelled")
def test_an_immediate_order_that_meets_nothing_is_cancelled_empty() -> None:
    done = venue().place(order("spot", "Buy", "1", "100.99"))
    assert (done.status, done.filled_qty) == ("Cancelled", D(0))
    assert done.reject_reason == "EC_NoImmediateQtyToFill"


@pytest.mark.parametrize(("qty", "filled"), [("4", "4"), ("4.001", "0")])
@pytest.mark.fact("bybit-v5 5.2: FOK takes all or nothing")
def test_fill_or_kill_takes_all_or_nothing(qty: str, filled: str) -> None:
    done = venue().place(order("linear", "Buy", qty, "102", time_in_force="FOK"))
    assert done.filled_qty == D(filled)


@pytest.mark.fact("bybit-v5 5.2: a crossing PostOnly order is accepted and then cancelled")
def test_a_post_only_order_that_would_trade_is_accepted_and_then_cancelled() -> None:
    exchange = venue()
    crossing = exchange.place(order("linear", "Buy", "1", "101", time_in_force="PostOnly"))
    assert (crossing.status, crossing.reject_reason) == (
        "Cancelled", "EC_PostOnlyWillTakeLiquidity",
    )  # fmt: skip
    resting = exchange.place(order("linear", "Buy", "1", "100.9", time_in_force="PostOnly"))
    assert resting.status == "New"


@pytest.mark.fact("bybit-v5 5.4: a resting order fills at its price, as maker")
def test_a_resting_order_fills_at_its_own_price_as_a_maker_when_the_book_crosses_it() -> None:
    exchange = venue()
    exchange.place(order("linear", "Buy", "1", "95", time_in_force="GTC"))
    exchange.drain()
    set_book(exchange, "linear", bid=93, ask=94)
    (fill,) = exchange.executions
    assert (fill.price, fill.is_maker, fill.fee) == (D(95), True, D("0.019"))
    assert exchange.open_orders == []
    topics = [event.topic for event in exchange.drain()]
    assert topics == ["order", "execution", "position", "wallet"]


@pytest.mark.fact("bybit-v5 7.2: locked is what open spot orders hold")
def test_a_resting_spot_order_locks_what_it_may_cost_until_it_is_cancelled() -> None:
    exchange = venue("1000")
    resting = exchange.place(order("spot", "Buy", "9", "100", time_in_force="GTC"))
    assert exchange.locked("USDT") == D(900)
    assert refusal(exchange, order("spot", "Buy", "1.5", "101")) == 170131
    assert exchange.cancel("spot", "BTCUSDT", order_id=resting.order_id).status == "Cancelled"
    assert exchange.locked("USDT") == D(0)
    assert refusal(exchange, order("spot", "Buy", "1.5", "101")) == 0


@pytest.mark.fact("bybit-v5 5.1: an amend changes only what is given")
def test_amending_moves_a_resting_order_and_may_let_it_trade() -> None:
    exchange = venue()
    exchange.place(order("linear", "Buy", "1", "95", time_in_force="GTC", link_id="a"))
    moved = exchange.amend("linear", "BTCUSDT", link_id="a", price=D(101))
    assert (moved.status, moved.filled_value) == ("Filled", D(101))
    with pytest.raises(Refused, match="110001"):
        exchange.amend("linear", "BTCUSDT", link_id="a", price=D(95))


@pytest.mark.fact("RELIABILITY 1.3: a spot market buy is in quote units unless told otherwise")
def test_a_market_buy_by_value_spends_at_most_that_value() -> None:
    exchange = venue()
    done = exchange.place(order("spot", "Buy", "250", market_unit="quoteCoin"))
    # 2 at 101 are 202; the other 48 buy 0.4705 at 102 = 47.991
    assert (done.status, done.filled_qty, done.filled_value) == (
        "Filled", D("2.4705"), D("249.9910"),
    )  # fmt: skip


@pytest.mark.fact("bybit-v5 7.3: change = cashFlow + funding - fee")
def test_opening_and_closing_a_perpetual_adds_up_exactly() -> None:
    exchange = venue()
    exchange.place(order("linear", "Sell", "3", "98"))  # 2 at 99, 1 at 98: 296 received
    exchange.place(order("linear", "Buy", "1", "101"))
    exchange.place(order("linear", "Buy", "2", "102"))  # 3 for 101 + 101 + 102 = 304
    realised = [entry.cash_flow for entry in exchange.log if entry.type == "TRADE"]
    assert sum(realised) == D(-8)
    assert exchange.positions["BTCUSDT"].size == D(0)
    assert exchange.positions["BTCUSDT"].entry_value == D(0)
    # fees: 600 of notional at 0.055 % = 0.33
    assert exchange.wallet["USDT"] == D("9991.67")


def test_an_order_through_zero_closes_first_and_opens_the_rest() -> None:
    exchange = venue()
    exchange.place(order("linear", "Buy", "1", "101"))
    exchange.place(order("linear", "Sell", "2", "99"))
    held = exchange.positions["BTCUSDT"]
    assert (held.size, held.entry_value, held.entry_price) == (D(-1), D(99), D(99))
    assert exchange.executions[-1].closed_size == D(1)
    assert exchange.executions[-1].realised_pnl == D(-2)


@pytest.mark.parametrize(
    ("side", "rate", "received", "shown"),
    [
        ("Sell", "0.0001", "0.02", "-0.0001"),
        ("Buy", "0.0001", "-0.02", "0.0001"),
        ("Sell", "-0.0001", "-0.02", "0.0001"),
    ],
)
@pytest.mark.fact("bybit-v5 4.4: execFee positive is paid, the log has the opposite sign")
def test_funding_is_paid_on_the_position_held_at_the_mark_with_the_venues_signs(
    side: str, rate: str, received: str, shown: str
) -> None:
    exchange = venue()
    exchange.place(order("linear", side, "2", "101" if side == "Buy" else "99"))
    before = exchange.wallet["USDT"]
    paid = exchange.settle("BTCUSDT", D(rate))
    assert paid is not None
    assert (paid.exec_type, paid.side, paid.qty, paid.price) == ("Funding", side, D(2), D(100))
    assert paid.fee == -D(received)
    assert paid.fee_rate == D(shown)
    row = exchange.log[-1]
    assert (row.type, row.funding, row.fee, row.change) == (
        "SETTLEMENT", D(received), D(0), D(received),
    )  # fmt: skip
    assert row.cash_balance == exchange.wallet["USDT"] == before + D(received)


@pytest.mark.fact("bybit-v5 4.2: only a position held at the instant is charged")
def test_nothing_settles_without_a_position() -> None:
    exchange = venue()
    assert exchange.settle("BTCUSDT", D("0.01")) is None
    assert [row.type for row in exchange.log] == ["TRANSFER_IN"]


@pytest.mark.parametrize(
    ("category", "side", "qty", "price", "code"),
    [
        ("spot", "Buy", "1", "100.001", 170134),
        ("linear", "Buy", "1", "100.01", 10001),
        ("spot", "Buy", "1.00001", "100", 170137),
        ("linear", "Buy", "1.0001", "100", 10001),
        ("spot", "Buy", "50.0001", "100", 170124),
        ("linear", "Buy", "100.001", "100", 10001),
        ("spot", "Buy", "0.0499", "100", 170140),
        ("spot", "Buy", "0.05", "100", 0),
        ("linear", "Buy", "0.049", "100", 110094),
        ("linear", "Buy", "0.05", "100", 0),
        ("spot", "Sell", "1", "100", 170131),
        ("spot", "Up", "1", "100", 10001),
        ("spot", "Buy", "0", "100", 10001),
        ("spot", "Buy", "NaN", "100", 10001),
    ],
)
@pytest.mark.fact("bybit-v5 13: grids and bounds have codes of their own")
def test_orders_off_the_grid_or_out_of_bounds_are_refused_and_change_nothing(
    category: str, side: str, qty: str, price: str, code: int
) -> None:
    assert refusal(venue(), order(category, side, qty, price)) == code


@pytest.mark.parametrize(("category", "code"), [("spot", 170141), ("linear", 110072)])
@pytest.mark.fact("RELIABILITY 1.3: orderLinkId is always unique (110072, 170141)")
def test_a_client_id_is_used_once_per_product_whatever_became_of_its_order(
    category: str, code: int
) -> None:
    exchange = venue()
    exchange.place(order(category, "Buy", "1", "50", link_id="x"))
    exchange.drain()
    assert refusal(exchange, order(category, "Buy", "1", "50", link_id="x")) == code
    other = "linear" if category == "spot" else "spot"
    assert refusal(exchange, order(other, "Buy", "1", "50", link_id="x")) == 0


@pytest.mark.fact("bybit-v5 13: 170131 when the coin is short")
def test_a_spot_buy_needs_its_whole_limit_value_in_the_wallet() -> None:
    assert refusal(venue("1000"), order("spot", "Buy", "10", "100")) == 0
    assert refusal(venue("1000"), order("spot", "Buy", "10.0001", "100")) == 170131


@pytest.mark.fact("bybit-v5 13: 110007 when the margin is short")
def test_a_perpetual_needs_a_tenth_of_its_value_and_the_fee_as_free_margin() -> None:
    # 100 of 100 = 10000 at ten times: 1000 and 5.5 of fees
    assert refusal(venue("1005.5"), order("linear", "Sell", "100", "100")) == 0
    assert refusal(venue("1005.49"), order("linear", "Sell", "100", "100")) == 110007


def test_spot_counts_nine_tenths_as_margin_of_a_short() -> None:
    exchange = venue("220")
    exchange.place(order("spot", "Buy", "2", "101"))  # 1.998 coins, 18 USDT left
    margin = exchange.margin()
    assert margin.balance == D(18) + D("1.998") * 100 * D("0.9")
    assert refusal(exchange, order("linear", "Sell", "2", "99")) == 0


def test_closing_needs_no_margin() -> None:
    exchange = venue("21")
    exchange.place(order("linear", "Buy", "2", "101"))
    exchange.set_mark("BTCUSDT", D(91), D(91))
    assert exchange.margin().available < 0
    exchange.drain()
    assert refusal(exchange, order("linear", "Buy", "0.1", "101")) == 110007
    assert refusal(exchange, order("linear", "Sell", "2", "99")) == 0


@pytest.mark.fact("bybit-v5 16.3: reduceOnly is cut to the position (110017 without one)")
def test_reduce_only_is_cut_to_the_position_and_refused_without_one() -> None:
    exchange = venue()
    assert refusal(exchange, order("linear", "Buy", "1", "101", reduce_only=True)) == 110017
    exchange.place(order("linear", "Sell", "1", "99"))
    exchange.drain()
    assert refusal(exchange, order("linear", "Sell", "1", "99", reduce_only=True)) == 110017
    done = exchange.place(order("linear", "Buy", "2", "101", reduce_only=True))
    assert (done.qty, done.status) == (D(1), "Filled")
    assert exchange.positions["BTCUSDT"].size == D(0)


@pytest.mark.fact("RELIABILITY 1.3: futures prices beyond the band are moved, spot refused")
def test_a_price_beyond_the_band_is_refused_or_moved_as_the_account_chose() -> None:
    exchange = venue(price_band=D("0.01"))
    assert refusal(exchange, order("spot", "Buy", "1", "101.01")) == 170193
    assert refusal(exchange, order("spot", "Sell", "1", "98.99")) == 170194
    moved = exchange.place(order("linear", "Buy", "3", "110"))
    assert (moved.price, moved.filled_qty) == (D(101), D(2))
    exchange.drain()
    exchange.adjusts_price["linear"] = False
    assert refusal(exchange, order("linear", "Buy", "1", "110")) == 30208


@pytest.mark.fact("bybit-v5 10.3: one fill is told by order, execution, position, wallet")
def test_messages_come_as_order_execution_position_wallet() -> None:
    exchange = venue()
    exchange.place(order("linear", "Buy", "3", "102"))
    events = exchange.drain()
    assert [event.topic for event in events] == [
        "order", "execution", "execution", "position", "wallet",
    ]  # fmt: skip
    assert isinstance(events[0].data, Order)
    assert events[0].data.status == "Filled"
    assert isinstance(events[3].data, Position)
    assert events[3].data.size == D(3)
    assert exchange.drain() == []


def test_equity_is_coins_at_the_given_prices_and_perpetuals_at_the_mark() -> None:
    exchange = venue()
    exchange.place(order("spot", "Buy", "1", "101"))
    exchange.place(order("linear", "Sell", "1", "99"))
    exchange.set_mark("BTCUSDT", D(110), D(110))
    # 9899 - 0.05445 of fees + 0.999 * 110 - 11
    assert exchange.equity({"BTC": D(110)}) == D("9997.83555")
    with pytest.raises(KeyError):
        exchange.equity({})


def test_venue_time_never_runs_backwards() -> None:
    exchange = venue()
    exchange.advance(2_000)
    with pytest.raises(ValueError, match="backwards"):
        exchange.advance(1_999)


@pytest.mark.fact("bybit-v5 6: unchanged leverage answers 110043")
def test_leverage_is_set_once_and_binds_margin() -> None:
    exchange = venue("1000")
    exchange.set_leverage("BTCUSDT", D(2))
    with pytest.raises(Refused, match="110043"):
        exchange.set_leverage("BTCUSDT", D(2))
    with pytest.raises(Refused, match="110013"):
        exchange.set_leverage("BTCUSDT", D("10.1"))
    assert refusal(exchange, order("linear", "Sell", "20", "100")) == 110007


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["spot", "linear"]),
        st.sampled_from(["Buy", "Sell"]),
        st.integers(1, 4_000),
        st.integers(96, 104),
        st.sampled_from(["IOC", "GTC", "FOK", "PostOnly"]),
        st.integers(-300, 300),
    ),
    max_size=25,
)


def played(moves: list[tuple[str, str, int, int, str, int]]) -> Exchange:
    exchange = venue()
    for step, (category, side, thousandths, price, force, rate) in enumerate(moves):
        exchange.advance(exchange.now_ms + 1)
        quantity = str(D(thousandths) / 1000)
        with contextlib.suppress(Refused):
            exchange.place(order(category, side, quantity, str(price), time_in_force=force))
        if step % 3 == 0:
            set_book(exchange, "spot", bid=price - 2, ask=price)
            set_book(exchange, "linear", bid=price - 1, ask=price + 1)
            exchange.settle("BTCUSDT", Decimal(rate) / 1_000_000)
    return exchange


@given(MOVES)
@pytest.mark.fact("bybit-v5 7.3: cashBalance is the running balance")
def test_every_balance_is_the_running_sum_of_its_log(
    moves: list[tuple[str, str, int, int, str, int]],
) -> None:
    exchange = played(moves)
    balances: dict[str, Decimal] = {}
    for row in exchange.log:
        assert row.change == row.cash_flow + row.funding - row.fee
        balances[row.currency] = balances.get(row.currency, D(0)) + row.change
        assert row.cash_balance == balances[row.currency]
    assert balances == exchange.wallet
    assert all(amount >= 0 for coin, amount in balances.items() if coin == "BTC")
    fees = sum((e.fee for e in exchange.executions if e.exec_type == "Trade"), D(0))
    assert fees == sum((row.fee for row in exchange.log), D(0))
    funded = sum((e.fee for e in exchange.executions if e.exec_type == "Funding"), D(0))
    assert funded == -sum((row.funding for row in exchange.log), D(0))


@given(MOVES)
def test_the_account_is_worth_its_deposit_and_what_its_fills_gained(
    moves: list[tuple[str, str, int, int, str, int]],
) -> None:
    exchange = played(moves)
    worth = D(10_000)
    for e in exchange.executions:
        sign = 1 if e.side == "Buy" else -1
        if e.exec_type == "Trade":
            worth += sign * e.qty * 100 - sign * e.value
            worth -= e.fee * (100 if e.fee_currency == "BTC" else 1)
        else:
            worth -= e.fee
    assert exchange.equity({"BTC": D(100)}) == worth


@given(MOVES)
def test_a_snapshot_through_json_restores_the_same_account(
    moves: list[tuple[str, str, int, int, str, int]],
) -> None:
    exchange = played(moves)
    saved = json.loads(json.dumps(exchange.snapshot()))
    other = Exchange([SPOT, LINEAR], {}, 0)
    other.restore(saved)
    assert other.snapshot() == exchange.snapshot()
    for each in (exchange, other):
        each.drain()
        for category in ("spot", "linear"):
            set_book(each, category)
    request = order("linear", "Buy", "1", "101")
    first, second = exchange.place(request), other.place(request)
    assert first == second
    assert isinstance(exchange.executions[-1], Execution)
    assert exchange.executions[-1] == other.executions[-1]


@pytest.mark.fact("RELIABILITY 1.3: the log shows one id on two records")
def test_both_rows_of_a_spot_trade_carry_one_id() -> None:
    exchange = venue()
    exchange.place(order("spot", "Buy", "1", "101"))
    base, quote = exchange.log[-2:]
    assert base.id == quote.id
    assert (base.currency, quote.currency) == ("BTC", "USDT")


@pytest.mark.fact("bybit-v5 16.3: what is accepted is matched once, later, and as a taker")
def test_an_accepted_order_waits_for_its_match_whatever_the_book_does() -> None:
    exchange = venue()
    order_id = exchange.accept(order("linear", "Buy", "1", "101", time_in_force="GTC")).order_id
    set_book(exchange, "linear", 90, 95)
    assert exchange.executions == []
    assert exchange.match(order_id).status == "Filled"
    (fill,) = exchange.executions
    assert (fill.price, fill.is_maker) == (D(95), False)
    assert exchange.match(order_id).filled_qty == D(1)
    assert len(exchange.executions) == 1
