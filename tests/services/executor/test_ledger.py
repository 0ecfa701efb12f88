"""Booking of log rows, by hand-worked numbers; entries of every group sum to zero per asset."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.executor.ledger import adoption, booked, is_consistent, opening, opening_position
from shared.domain.log import LogRow, OwnedRow, kind_of
from shared.store.ledger import Entry, PostingGroup, chained_hash

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


def post(of: LogRow, *, is_seen: bool = False, reference: str | None = None) -> PostingGroup:
    price = None if reference is None else Decimal(reference)
    return booked(OwnedRow(of, "BTCUSDT", "BTC", price, correlation_id="c", is_seen=is_seen))


def entries(group: PostingGroup) -> dict[str, str]:
    """Account to amount, after checking that the group balances."""
    assert sum(e.amount for e in group.entries) == 0
    assert {e.asset for e in group.entries} <= {group.asset}
    assert len({e.account for e in group.entries}) == len(group.entries)
    return {e.account: format(e.amount, "f") for e in group.entries}


def test_a_spot_buy_books_coin_less_its_fee_and_the_cash_it_cost() -> None:
    # 0.5 bitcoin at 30,000: 15,000 leave, 0.5 comes, 0.1 % of it (0.0005) stays with the venue.
    coin = row(currency="BTC", cash_flow="0.5", fee="0.0005", change="0.4995", balance="0.4995")
    cash = row(key="k2", cash_flow="-15000", change="-15000", balance="85000")
    assert entries(post(coin)) == {
        "wallet": "0.4995", "trade": "-0.5", "fees": "0.0005",
    }  # fmt: skip
    assert entries(post(cash)) == {"wallet": "-15000", "trade": "15000"}


def test_opening_a_short_costs_its_fee_alone() -> None:
    # 0.499 at 30,010 is 14,974.99; 0.055 % of that is 8.2362445.
    opened = row(
        category="linear", side="Sell", quantity="0.499", price="30010", fee="8.2362445",
        change="-8.2362445", balance="84991.7637555",
    )  # fmt: skip
    assert entries(post(opened)) == {"wallet": "-8.2362445", "fees": "8.2362445"}


def test_closing_a_short_books_what_was_realised() -> None:
    # Sold at 30,010, bought back at 29,010: 0.499 * 1,000 = 499 gained; fee 7.96179495.
    closed = row(
        category="linear", quantity="0.499", price="29010", cash_flow="499", fee="7.96179495",
        change="491.03820505", balance="85482.80196055",
    )  # fmt: skip
    assert entries(post(closed)) == {
        "wallet": "491.03820505", "realized": "-499", "fees": "7.96179495",
    }  # fmt: skip


@pytest.mark.parametrize(("funding", "account"), [("1.4975", "-1.4975"), ("-2", "2")])
def test_funding_received_is_income_and_funding_paid_is_cost(funding: str, account: str) -> None:
    settled = row(
        kind="SETTLEMENT", category="linear", funding=funding, change=funding, balance="1"
    )
    group = post(settled)
    assert group.kind == "funding"
    assert entries(group) == {"wallet": funding, "funding": account}


def test_transfers_are_external_and_unknown_kinds_go_to_suspense() -> None:
    transfer = row(kind="TRANSFER_IN", category="", symbol="", cash_flow="5", change="5")
    airdrop = row(kind="AIRDROP", category="", symbol="", cash_flow="3", change="3")
    assert entries(post(transfer)) == {"wallet": "5", "external": "-5"}
    assert entries(post(airdrop)) == {"wallet": "3", "suspense": "-3"}
    assert (kind_of(transfer), kind_of(airdrop)) == ("external", "suspense")


def test_what_a_rows_parts_do_not_explain_goes_to_suspense() -> None:
    odd = row(cash_flow="10", change="9", balance="9")
    assert not is_consistent(odd)
    assert entries(post(odd)) == {"wallet": "9", "trade": "-10", "suspense": "1"}


def test_opening_balances_have_a_counter_account_and_older_rows_no_entries() -> None:
    assert entries(post(opening("USDT", Decimal(100), AT))) == {"wallet": "100", "opening": "-100"}
    assert entries(post(row(cash_flow="7", change="7"), is_seen=True)) == {}
    assert post(row(), is_seen=True).kind == "opening"


def test_a_position_held_before_brings_in_what_it_had_gained() -> None:
    # Short 0.5 from 30,000; the mark is 29,000: 500 are gained and not yet realised.
    held = opening_position("BTCUSDT", Decimal("-0.5"), Decimal(30_000), Decimal(100), AT)
    assert entries(post(held, reference="29000")) == {"position": "500.0", "opening": "-500.0"}
    assert (held.side, held.quantity, held.key) == ("Sell", Decimal("0.5"), "opening:BTCUSDT")


def test_an_adopted_coin_was_brought_in_as_cash() -> None:
    taken = adoption(7, "spot", "BTCUSDT", "BTC", Decimal("0.5"), Decimal(30_000), Decimal(1), AT)
    group = post(taken)
    assert (group.key, group.kind) == ("adopt:7:spot", "repair")
    assert [(e.account, e.asset, int(e.amount * 2)) for e in group.entries] == [
        ("opening", "BTC", 1),
        ("adopted", "BTC", -1),
        ("opening", "USDT", -30_000),
        ("adopted", "USDT", 30_000),
    ]


@pytest.mark.parametrize(
    ("kind", "account"),
    [("INTEREST", "borrow"), ("BORROW", "borrow"), ("FEE_REFUND", "fees"), ("BONUS", "suspense")],
)
def test_each_kind_of_row_says_in_its_own_account_why_the_wallet_moved(
    kind: str, account: str
) -> None:
    assert entries(post(row(kind=kind, category="", cash_flow="-2", change="-2"))) == {
        "wallet": "-2", account: "2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "category"),
    [("ADL", "linear"), ("LIQUIDATION", "linear"), ("DELIVERY", "linear"),
     ("SPOT_REPAYMENT_SELL", "spot")],
)  # fmt: skip
def test_what_the_venue_trades_by_itself_is_a_trade(kind: str, category: str) -> None:
    assert kind_of(row(kind=kind, category=category)) == "trade"


def test_every_digit_and_the_past_are_in_the_hash() -> None:
    group = post(row(cash_flow="1", change="1", balance="1"))
    other = replace(group, entries=(Entry("wallet", "USDT", Decimal(2)),))
    assert chained_hash("", group) != chained_hash("x", group)
    assert chained_hash("", group) != chained_hash("", other)
    assert chained_hash("", group) == chained_hash(
        "", replace(group, venue_balance=Decimal("1.000"))
    )
