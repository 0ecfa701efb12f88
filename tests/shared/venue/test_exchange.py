"""Bybit's rules by hand-worked figures; each test names the section of the venue's paper it holds.

The sections are those of the Bybit V5 documentation as the engineering reference numbers them.
"""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.venue.books import book_around
from shared.venue.exchange import Exchange
from shared.venue.records import Order, OrderRequest
from shared.venue.rules import Refused, Rule

D = Decimal
SPOT = Rule("spot", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.000001"), D("0.000001"), D(100), D(5),
            D("0.001"), D("0.001"))  # fmt: skip
PERP = Rule("linear", "BTCUSDT", "BTC", "USDT", D("0.1"), D("0.001"), D("0.001"), D(100), D(5),
            D("0.00055"), D("0.0002"))  # fmt: skip


def exchange(usdt: str = "100000") -> Exchange:
    """Books of one unit at 9,999 / 10,001 and two more a hundred away; mark and index 10,000."""
    venue = Exchange([SPOT, PERP], {"USDT": D(usdt)}, now_ms=1_000)
    for category in ("spot", "linear"):
        bids, asks = [(D(9999), D(1)), (D(9900), D(2))], [(D(10001), D(1)), (D(10100), D(2))]
        venue.set_book(category, "BTCUSDT", bids, asks)
    venue.set_mark("BTCUSDT", D(10000), D(10000))
    return venue


def ask(category: str, side: str, qty: str, price: str, **changes: object) -> OrderRequest:
    request = OrderRequest(category, "BTCUSDT", side, "Limit", D(qty), D(price))
    return replace(request, **changes)  # type: ignore[arg-type]


def code_of(venue: Exchange, request: OrderRequest) -> int:
    with pytest.raises(Refused) as refusal:
        venue.place(request)
    return refusal.value.code


def test_a_spot_buy_pays_its_fee_in_base_coin() -> None:  # 5.3
    venue = exchange()
    venue.place(ask("spot", "Buy", "1", "10001"))
    assert venue.wallet["BTC"] == D("0.999")
    assert venue.wallet["USDT"] == D(100000 - 10001)
    (fill,) = venue.executions
    assert (fill.fee, fill.fee_currency) == (D("0.001"), "BTC")


def test_a_spot_sell_pays_its_fee_in_quote_coin() -> None:  # 5.3
    venue = exchange()
    venue.place(ask("spot", "Buy", "1", "10001"))
    venue.place(ask("spot", "Sell", "0.5", "9999"))
    assert venue.wallet["BTC"] == D("0.499")
    # 0.5 at 9,999 is 4,999.5, less 0.1 %: 4,994.5005.
    assert venue.wallet["USDT"] == D("100000") - 10001 + D("4994.5005")


def test_an_order_eats_through_levels_up_to_its_limit() -> None:  # 5.2
    venue = exchange()
    order = venue.place(ask("spot", "Buy", "2", "10100"))
    assert order.status == "Filled"
    assert order.filled_value == D(10001 + 10100)


@pytest.mark.parametrize(
    ("category", "status"), [("linear", "Cancelled"), ("spot", "PartiallyFilledCanceled")]
)
def test_the_rest_of_an_ioc_order_is_cancelled_with_what_it_filled(
    category: str, status: str
) -> None:  # 5.2
    order = exchange().place(ask(category, "Buy", "2", "10001"))
    assert (order.status, order.filled_qty) == (status, D(1))


def test_what_is_taken_stays_taken_until_the_book_moves() -> None:
    venue = exchange()
    venue.place(ask("spot", "Buy", "1", "10001"))
    assert venue.place(ask("spot", "Buy", "1", "10001")).filled_qty == 0


def test_a_post_only_order_that_would_trade_is_accepted_and_then_cancelled() -> None:  # 5.2
    order = exchange().place(ask("linear", "Buy", "1", "10001", time_in_force="PostOnly"))
    assert (order.status, order.reject_reason) == ("Cancelled", "EC_PostOnlyWillTakeLiquidity")


def test_a_fill_or_kill_order_that_cannot_fill_takes_nothing() -> None:  # 5.2
    order = exchange().place(ask("linear", "Buy", "2", "10001", time_in_force="FOK"))
    assert (order.status, order.filled_qty) == ("Cancelled", D(0))


def test_a_link_id_is_used_once() -> None:  # 13: 110072 derivatives, 170141 spot
    venue = exchange()
    for category, code in (("linear", 110072), ("spot", 170141)):
        request = ask(category, "Buy", "0.1", "10001", link_id=f"mine-{category}")
        venue.place(request)
        assert code_of(venue, request) == code


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ask("spot", "Buy", "0.0000001", "10001"), 170137),
        (ask("spot", "Buy", "0.1", "10001.001"), 170134),
        (ask("spot", "Buy", "0.0004", "10001"), 170140),  # 4.0004 USDT, under 5
        (ask("linear", "Buy", "0.1005", "10001"), 10001),
        (ask("spot", "Buy", "10", "10100"), 170131),  # 101,000 USDT of 100,000
        (ask("spot", "Sell", "1", "9999"), 170131),
        (ask("linear", "Buy", "1", "10001", reduce_only=True), 110017),
        (ask("spot", "Buy", "1", "10001", link_id="no spaces"), 10001),
        (replace(ask("spot", "Buy", "1", "10001"), symbol="NOUSDT"), 170121),
    ],
)
def test_what_the_venue_refuses_has_its_own_code(request_: OrderRequest, code: int) -> None:  # 13
    venue = exchange()
    before = dict(venue.wallet)
    assert code_of(venue, request_) == code
    assert (dict(venue.wallet), len(venue.orders)) == (before, 0)


def test_a_reduce_only_order_is_cut_to_what_it_may_reduce() -> None:  # 5.2
    venue = exchange()
    venue.place(ask("linear", "Sell", "0.5", "9999"))
    order = venue.place(ask("linear", "Buy", "1", "10001", reduce_only=True))
    assert order.filled_qty == D("0.5")
    assert venue.positions["BTCUSDT"].size == 0


def test_a_round_trip_of_the_perpetual_realises_its_price_and_pays_two_fees() -> None:
    venue = exchange()
    venue.place(ask("linear", "Sell", "1", "9999"))
    venue.place(ask("linear", "Buy", "1", "10001", reduce_only=True))
    # Sold at 9,999, bought at 10,001; fees 0.055 % of each: 5.49945 + 5.50055.
    assert venue.wallet["USDT"] == D(100000) - 2 - D("5.49945") - D("5.50055")


@pytest.mark.parametrize(
    ("side", "price", "received"), [("Sell", "9999", "1"), ("Buy", "10001", "-1")]
)
def test_a_positive_rate_is_paid_by_longs_to_shorts_at_the_mark(
    side: str, price: str, received: str
) -> None:  # 4.2, 4.4: execFee has the opposite sign of the log's funding
    venue = exchange()
    venue.place(ask("linear", side, "1", price))
    before = venue.wallet["USDT"]
    paid = venue.settle("BTCUSDT", D("0.0001"))
    assert paid is not None
    assert venue.wallet["USDT"] - before == D(received)
    assert paid.fee == -D(received)
    assert (paid.exec_type, venue.log[-1].type) == ("Funding", "SETTLEMENT")
    assert venue.log[-1].funding == D(received)


def test_a_flat_account_has_no_settlement() -> None:
    venue = exchange()
    assert venue.settle("BTCUSDT", D("0.0001")) is None
    assert [row.type for row in venue.log] == ["TRANSFER_IN"]


def test_venue_time_never_runs_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        exchange().advance(999)


def test_a_snapshot_brings_everything_back_but_the_books() -> None:
    venue = exchange()
    venue.place(ask("spot", "Buy", "1", "10001", link_id="a"))
    venue.place(ask("linear", "Sell", "0.7", "9999", link_id="b"))
    venue.settle("BTCUSDT", D("0.0001"))
    again = Exchange([SPOT, PERP], {}, now_ms=0)
    again.restore(venue.snapshot())
    assert again.snapshot() == venue.snapshot()
    assert again.equity({"USDT": D(1), "BTC": D(10000)}) == venue.equity(
        {"USDT": D(1), "BTC": D(10000)}
    )


ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["spot", "linear"]),
        st.sampled_from(["Buy", "Sell"]),
        st.decimals(min_value="0.001", max_value="3", places=3),
    ),
    max_size=12,
)


@given(ORDERS, st.decimals(min_value="-0.01", max_value="0.01", places=6))
def test_every_log_row_adds_up_and_continues_the_balance(
    orders: list[tuple[str, str, Decimal]], rate: Decimal
) -> None:  # 7.3: change = cashFlow + funding - fee
    venue = exchange()
    placed: list[Order] = []
    for category, side, qty in orders:
        try:
            price = "10100" if side == "Buy" else "9900"
            placed.append(venue.place(ask(category, side, str(qty), price)))
        except Refused:
            continue
        venue.settle("BTCUSDT", rate)
    balances: dict[str, Decimal] = {}
    for row in venue.log:
        assert row.change == row.cash_flow + row.funding - row.fee
        balances[row.currency] = balances.get(row.currency, D(0)) + row.change
        assert row.cash_balance == balances[row.currency]
    assert {c: b for c, b in balances.items() if b} == {c: b for c, b in venue.wallet.items() if b}
    assert sum(o.filled_qty for o in placed) == sum(
        e.qty for e in venue.executions if e.exec_type == "Trade"
    )


def test_the_book_model_straddles_the_close_on_the_tick() -> None:
    bids, asks = book_around(D("100.05"), D("0.1"), D("0.01"), D(10), D(1000), levels=3)
    # Half a spread of 10 bps is 0.10005, outward to the tick: 99.9 and 100.2; a gap of 0.2.
    assert [price for price, _ in bids] == [D("99.9"), D("99.7"), D("99.5")]
    assert [price for price, _ in asks] == [D("100.2"), D("100.4"), D("100.6")]
    assert bids[0][1] == D("10.01")  # 1,000 / 99.9
    assert asks[1][1] == D("19.92")  # 2,000 / 100.4
