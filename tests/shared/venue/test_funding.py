"""Funding of a position that changes between its settlements: one coin at a mark of 100."""

import pytest

from tests.shared.venue.builders import D, order, venue


@pytest.mark.fact("bybit-v5 4.2: only a position held at the instant is charged")
def test_each_settlement_is_paid_on_what_is_held_at_its_instant() -> None:
    exchange = venue()
    exchange.place(order("linear", "Sell", "2", "99"))
    received = []
    for bought_back in ("0", "1.5", "0.5"):
        if D(bought_back):
            exchange.place(order("linear", "Buy", bought_back, "101", reduce_only=True))
        paid = exchange.settle("BTCUSDT", D("0.001"))
        received.append(None if paid is None else -paid.fee)
    # Short 2, then 0.5, then nothing: 2 x 100 x 0.001, 0.5 x 100 x 0.001, and no settlement.
    assert received == [D("0.2"), D("0.05"), None]
    assert sum(row.funding for row in exchange.log) == D("0.25")
