"""The venue's running balances, followed in its own order whatever the order of arrival."""

from datetime import timedelta

import pytest

from services.executor.balances import differences, in_order
from shared.domain.log import LogRow
from shared.domain.money import ZERO
from tests.support.log_rows import AT, row


def after(name: str, change: str, balance: str, *, seconds: int = 0, coin: str = "USDT") -> LogRow:
    at = AT + timedelta(seconds=seconds)
    return row(key=name, change=change, balance=balance, currency=coin, venue_at=at)


FIRST = after("a", "100", "100")
SECOND = after("b", "-30", "70", seconds=1)
THIRD = after("c", "5", "75", seconds=2)


def test_rows_that_lead_to_our_balance_differ_by_nothing() -> None:
    assert differences([FIRST, SECOND, THIRD], {"USDT": THIRD.balance}) == {"USDT": None}


def test_a_row_that_the_log_does_not_show_yet_is_named_by_its_neighbours() -> None:
    found = differences([FIRST, THIRD], {"USDT": FIRST.balance + THIRD.change})
    assert found == {"USDT": "USDT: a row is missing between a and c, 100 goes on as 70"}


def test_a_row_that_comes_late_is_compared_at_its_own_place() -> None:
    # Booked in the order a, c, b: what we hold is the venue's balance after c, not after b.
    assert differences([FIRST, THIRD, SECOND], {"USDT": THIRD.balance}) == {"USDT": None}


def test_the_last_digit_counts() -> None:
    found = differences([FIRST], {"USDT": FIRST.balance.next_plus()})
    assert found["USDT"] is not None
    assert found["USDT"].startswith("USDT: ours 100.000000000")


def test_coins_are_compared_each_for_itself() -> None:
    coin = after("d", "2", "2", coin="BTC")
    found = differences([FIRST, coin, SECOND], {"USDT": SECOND.balance})
    assert found == {"USDT": None, "BTC": "BTC: ours 0, the venue's 2"}


def test_rows_of_one_millisecond_follow_their_balances() -> None:
    one, two, three = after("1", "-5", "65"), after("2", "-5", "60"), after("3", "7", "67")
    listed = [three, one, two]
    assert [r.key for r in in_order(listed)] == ["1", "2", "3"]
    assert differences(listed, {"USDT": three.balance}) == {"USDT": None}
    # Two equal fees are two rows: the first one's balance is no proof that the second is there.
    assert differences([one, two], {"USDT": one.balance})["USDT"] is not None


@pytest.mark.parametrize("rows", [[FIRST, after("z", "0", "100")], [after("z", "0", "0"), FIRST]])
def test_a_row_that_moves_nothing_breaks_nothing(rows: list[LogRow]) -> None:
    assert differences(rows, {"USDT": FIRST.balance}) == {"USDT": None}


def test_a_balance_that_the_venue_tells_of_nothing_is_a_difference() -> None:
    assert differences([after("z", "0", "0.01")], {}) == {"USDT": "USDT: ours 0, the venue's 0.01"}
    assert differences([], {"USDT": ZERO}) == {}
