"""What a close brought, by the venue's printed example and by the account's own log."""

from dataclasses import replace

import pytest

from shared.venue.closed import ClosedBook
from shared.venue.enforcement import deleverage
from shared.venue.exchange import Exchange
from tests.shared.venue.builders import LINEAR, D, order, set_book, venue


@pytest.mark.fact("bybit-v5 6: closed-pnl is the gain less the fees of both ways")
def test_the_printed_example_comes_out_to_the_last_digit() -> None:
    # docs: 3 bought for 3584.9255, sold in 4 fills for 3541.795, 0.06 % either way: -47.4065323
    rule = replace(LINEAR, tick=D("0.0001"), taker_fee=D("0.0006"))
    exchange = Exchange([rule], {"USDT": D(100_000)}, 1_000)
    exchange.set_mark("BTCUSDT", D(1195), D(1195))
    exchange.set_book("linear", "BTCUSDT", [], [(D("1194.9255"), D(1)), (D(1195), D(2))])
    exchange.place(order("linear", "Buy", "3", "1195"))
    halves = [(D(1181), D("0.5")), (D("1180.8"), D("0.5"))]
    exchange.set_book(
        "linear", "BTCUSDT", [*halves, (D("1180.795"), D(1)), (D("1180.1"), D(1))], []
    )
    exchange.advance(2_000)
    sold = exchange.place(order("linear", "Sell", "3", "1122.95"))
    (row,) = ClosedBook().rows(exchange.executions)
    assert (row.last.order_id, row.fills, row.created_ms) == (sold.order_id, 4, 2_000)
    assert (row.closed, row.entry_value, row.exit_value) == (D(3), D("3584.9255"), D("3541.795"))
    assert row.pnl == D("-47.4065323")


def test_a_short_that_is_bought_back_in_parts_gives_each_order_its_share() -> None:
    exchange = venue()
    exchange.place(order("linear", "Sell", "2", "99"))  # 198, fee 0.055 % = 0.1089
    exchange.place(order("linear", "Buy", "0.5", "101"))
    exchange.place(order("linear", "Buy", "1.5", "101"))
    first, second = ClosedBook().rows(exchange.executions)
    # (99 - 101) * 0.5 = -1, a quarter of 0.1089, 0.055 % of 50.5
    assert (first.entry_value, first.exit_value) == (D("49.5"), D("50.5"))
    assert first.pnl == D("-1") - D("0.027225") - D("0.027775")
    assert second.pnl == D("-3") - D("0.081675") - D("0.083325")


def test_an_order_that_turns_a_position_around_pays_for_the_part_that_closed() -> None:
    exchange = venue()
    exchange.place(order("linear", "Buy", "1", "101"))  # fee 0.05555
    exchange.place(order("linear", "Sell", "2", "99"))  # fee 0.1089, half of it closes
    (row,) = ClosedBook().rows(exchange.executions)
    assert row.closed == D(1)
    assert row.pnl == D("-2") - D("0.05555") - D("0.05445")


def test_what_was_closed_adds_up_to_the_log_once_all_is_flat() -> None:
    exchange = venue()
    book = ClosedBook()
    for side, qty in (("Buy", "0.7"), ("Sell", "0.3"), ("Sell", "1"), ("Buy", "0.2")):
        exchange.place(order("linear", side, qty, "102" if side == "Buy" else "98"))
        set_book(exchange, "linear")
        book.rows(exchange.executions)  # read in between, it goes on where it was
    exchange.settle("BTCUSDT", D("0.001"))
    deleverage(exchange, "BTCUSDT", D(10), D(100))
    assert not exchange.positions["BTCUSDT"].size
    traded = [e for e in exchange.log if e.type in ("TRADE", "ADL")]
    total = sum((row.pnl for row in book.rows(exchange.executions)), D(0))
    assert abs(total - sum((e.cash_flow - e.fee for e in traded), D(0))) < D("1E-10")
    assert book.rows(exchange.executions)[-1].last.exec_type == "AdlTrade"
