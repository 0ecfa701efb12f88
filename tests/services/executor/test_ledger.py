"""Booking of log rows, by hand-worked numbers; entries of every group sum to zero per asset."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.executor.ledger import booked, is_consistent, kind_of, opening, seen
from shared.exchange.ports import LogRow
from shared.store.ledger import (
    Entry,
    PairPnl,
    PairSums,
    PostingGroup,
    Prices,
    Sums,
    chained_hash,
    statement,
)

AT = datetime(2023, 11, 11, 8, tzinfo=UTC)


def row(**changes: object) -> LogRow:
    """A row of nothing; amounts may be given as text."""
    amounts = ("quantity", "price", "cash_flow", "funding", "fee", "change", "balance")
    values: dict[str, object] = {
        "key": "k1", "kind": "TRADE", "category": "spot", "symbol": "BTCUSDT", "currency": "USDT",
        "side": "Buy", "quantity": "0", "price": None, "cash_flow": "0", "funding": "0",
        "fee": "0", "change": "0", "balance": "0", "exec_id": "e1", "order_id": "o1",
        "link_id": "l1", "venue_at": AT, **changes,
    }  # fmt: skip
    for name in amounts:
        if isinstance(values[name], str):
            values[name] = Decimal(str(values[name]))
    return LogRow(**values)  # type: ignore[arg-type]


def entries(group: PostingGroup) -> dict[str, str]:
    """Account to amount, after checking that the group balances."""
    assert sum(e.amount for e in group.entries) == 0
    assert {e.asset for e in group.entries} <= {group.asset}
    return {e.account: format(e.amount, "f") for e in group.entries}


def test_a_spot_buy_books_coin_less_its_fee_and_the_cash_it_cost() -> None:
    # 0.5 bitcoin at 30,000: 15,000 leave, 0.5 comes, 0.1 % of it (0.0005) stays with the venue.
    coin = row(currency="BTC", cash_flow="0.5", fee="0.0005", change="0.4995", balance="0.4995")
    cash = row(key="k2", cash_flow="-15000", change="-15000", balance="85000")
    assert entries(booked(coin, "BTCUSDT", "c")) == {
        "wallet": "0.4995", "trade": "-0.5", "fees": "0.0005",
    }  # fmt: skip
    assert entries(booked(cash, "BTCUSDT", "c")) == {"wallet": "-15000", "trade": "15000"}


def test_opening_a_short_costs_its_fee_alone() -> None:
    # 0.499 at 30,010 is 14,974.99; 0.055 % of that is 8.2362445.
    opened = row(
        category="linear", side="Sell", quantity="0.499", price="30010", fee="8.2362445",
        change="-8.2362445", balance="84991.7637555",
    )  # fmt: skip
    assert entries(booked(opened, "BTCUSDT", "c")) == {"wallet": "-8.2362445", "fees": "8.2362445"}


def test_closing_a_short_books_what_was_realised() -> None:
    # Sold at 30,010, bought back at 29,010: 0.499 * 1,000 = 499 gained; fee 7.96179495.
    closed = row(
        category="linear", quantity="0.499", price="29010", cash_flow="499", fee="7.96179495",
        change="491.03820505", balance="85482.80196055",
    )  # fmt: skip
    assert entries(booked(closed, "BTCUSDT", "c")) == {
        "wallet": "491.03820505", "realized": "-499", "fees": "7.96179495",
    }  # fmt: skip


@pytest.mark.parametrize(("funding", "account"), [("1.4975", "-1.4975"), ("-2", "2")])
def test_funding_received_is_income_and_funding_paid_is_cost(funding: str, account: str) -> None:
    settled = row(
        kind="SETTLEMENT", category="linear", funding=funding, change=funding, balance="1"
    )
    group = booked(settled, "BTCUSDT", "c")
    assert group.kind == "funding"
    assert entries(group) == {"wallet": funding, "funding": account}


def test_transfers_are_external_and_unknown_kinds_go_to_suspense() -> None:
    transfer = row(kind="TRANSFER_IN", category="", symbol="", cash_flow="5", change="5")
    airdrop = row(kind="AIRDROP", category="", symbol="", cash_flow="3", change="3")
    assert entries(booked(transfer, None, None)) == {"wallet": "5", "external": "-5"}
    assert entries(booked(airdrop, None, None)) == {"wallet": "3", "suspense": "-3"}
    assert (kind_of(transfer), kind_of(airdrop)) == ("external", "suspense")


def test_what_a_rows_parts_do_not_explain_goes_to_suspense() -> None:
    odd = row(cash_flow="10", change="9", balance="9")
    assert not is_consistent(odd)
    assert entries(booked(odd, None, None)) == {"wallet": "9", "trade": "-10", "suspense": "1"}


def test_opening_balances_have_a_counter_account_and_older_rows_no_entries() -> None:
    assert entries(opening("USDT", Decimal(100), AT)) == {"wallet": "100", "opening": "-100"}
    assert entries(seen(row(cash_flow="7", change="7"))) == {}
    assert seen(row()).kind == "opening"


def test_every_digit_and_the_past_are_in_the_hash() -> None:
    group = booked(row(cash_flow="1", change="1", balance="1"), "BTCUSDT", "c")
    other = replace(group, entries=(Entry("wallet", "USDT", Decimal(2)),))
    assert chained_hash("", group) != chained_hash("x", group)
    assert chained_hash("", group) != chained_hash("", other)
    assert chained_hash("", group) == chained_hash(
        "", replace(group, venue_balance=Decimal("1.000"))
    )


def test_profit_is_funding_less_fees_plus_what_both_prices_brought() -> None:
    # Bought 1 for 10,000 (fee 0.001 coin = 10 USDT), short 0.999 at 10,010 (fee 5.5 USDT),
    # funding 3; now spot 10,100 and mark 10,105:
    # spot: -10,000 + 0.999 * 10,100 + 10 = 99.9 + 0; perp: 9,999.99 - 0.999 * 10,105 = -94.905.
    sums = PairSums(
        funding=Decimal(3),
        usdt_fees=Decimal("5.5"),
        base_fees=Decimal(10),
        spot_cash=Decimal(-10_000),
        coin=Decimal("0.999"),
        perp_cash=Decimal("9999.99"),
        perp_quantity=Decimal("-0.999"),
    )
    pnl = sums.pnl(Prices(Decimal(10_100), Decimal(10_105)))
    assert pnl == PairPnl(Decimal(3), Decimal("15.5"), Decimal("4.995"))
    assert pnl.net == Decimal("-7.505")


def test_the_total_holds_what_belongs_to_no_pair() -> None:
    sums = Sums()
    for pair, account, amount in ((None, "suspense", 3), ("BTCUSDT", "funding", 2)):
        moved = Decimal(amount)
        sums.post(
            pair, [Entry("wallet", "USDT", moved), Entry(account, "USDT", -moved)], brought=False
        )
    told = statement(sums, {})
    assert told.total == PairPnl(Decimal(2), Decimal(0), Decimal(3))
    assert told.pairs == {"BTCUSDT": PairPnl(Decimal(2), Decimal(0), Decimal(0))}
    assert sums.wallet == {"USDT": Decimal(5)}
