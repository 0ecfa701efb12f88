"""advance(): one step at a time, from what is owned; quantities and prices worked by hand.

The pair stands at 9,999.5 / 10,000.5 on both legs; spot step 0.000001, perpetual step 0.001,
spot fee 0.1 % in base coin; the first band is 0.1 %, so a buy is limited to floor(10,010.5005).
"""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.execution import (
    Approach,
    Command,
    Finish,
    Mode,
    Outcome,
    PlanProgress,
    Purpose,
    Send,
    Wait,
    advance,
    first_leg,
)
from shared.domain.money import plain
from shared.domain.order import Leg, Side
from shared.domain.policy import ExecutionPolicy
from tests.support.markets import market, quote

FEE = Decimal("0.001")
FIRST, HEDGE, UNWIND = Purpose.FIRST, Purpose.HEDGE, Purpose.UNWIND


def step(
    target: str, spot: str, perp: str, *tries: Purpose, first: Leg = Leg.SPOT, **changes: object
) -> Command:
    progress = PlanProgress(Decimal(target), first, Decimal(spot), Decimal(perp), tries)
    return advance(progress, market(**changes), ExecutionPolicy(), FEE)  # type: ignore[arg-type]


def sent(command: Command) -> tuple[str, str, str, str, str]:
    assert isinstance(command, Send)
    return (
        command.leg.name,
        command.purpose.value,
        command.side.value,
        plain(command.quantity),
        str(command.limit_price),
    )


def test_a_spot_buy_is_grossed_up_by_the_fee_it_loses_in_coin() -> None:
    # 1 / 0.999 = 1.001001001..., up to the step of 0.000001.
    assert sent(step("1", "0", "0")) == ("SPOT", "first", "Buy", "1.001002", "10010.5")


def test_the_hedge_follows_what_the_first_leg_really_brought() -> None:
    # 0.5996 coins are held: 0.599 is the largest quantity that the perpetual can match.
    assert sent(step("1", "0.5996", "0", FIRST)) == (
        "PERP", "hedge", "Sell", "0.599", "9989.6",
    )  # fmt: skip


def test_the_hedge_of_a_perp_first_leg_buys_spot_for_it() -> None:
    command = step("1", "0", "-0.6", FIRST, first=Leg.PERP)
    # 0.6 / 0.999 = 0.6006006..., up to the step.
    assert sent(command) == ("SPOT", "hedge", "Buy", "0.600601", "10010.5")


def test_both_legs_are_equal_in_coins_however_far_their_prices_stand_apart() -> None:
    # Equal in money would be 1 x 9,999.5 / 10,299.5, which is 0.970 of a coin.
    progress = PlanProgress(Decimal(1), Leg.SPOT, Decimal("1.000001"), Decimal(0), (FIRST,))
    apart = market(perp=quote("10299.5", "10300.5"))
    command = advance(progress, apart, ExecutionPolicy(), FEE)
    assert sent(command)[:4] == ("PERP", "hedge", "Sell", "1")


def test_each_try_of_the_hedge_widens_the_band() -> None:
    prices = [step("1", "1.000001", "0", FIRST, *[HEDGE] * n) for n in range(3)]
    # 9,999.5 less 0.1, 0.3 and 1 %, up to the tick of 0.1: 9,989.5005, 9,969.5015, 9,899.505.
    assert [sent(p)[4] for p in prices] == ["9989.6", "9969.6", "9899.6"]


def test_a_first_leg_without_its_partner_is_taken_back_after_three_tries() -> None:
    command = step("1", "1.000001", "0", FIRST, HEDGE, HEDGE, HEDGE)
    # 9,999.5 less 0.3 %: 9,969.5015.
    assert sent(command) == ("SPOT", "unwind", "Sell", "1.000001", "9969.6")


def test_a_short_without_its_partner_is_bought_back_reduce_only() -> None:
    command = step("1", "0", "-1", FIRST, HEDGE, HEDGE, HEDGE, first=Leg.PERP)
    assert sent(command)[:4] == ("PERP", "unwind", "Buy", "1")
    assert isinstance(command, Send)
    assert command.reduce_only


@pytest.mark.parametrize(
    ("spot", "perp", "tries", "outcome"),
    [
        ("1.000000998", "-1", (FIRST, HEDGE), Outcome.HEDGED),
        ("0", "0", (FIRST,), Outcome.FLAT),
        ("0.3996", "-0.399", (FIRST, HEDGE), Outcome.HEDGED),  # 0.0006 is less than one lot
        ("1", "0", (FIRST, HEDGE, HEDGE, HEDGE, UNWIND, UNWIND, UNWIND), Outcome.BROKEN),
    ],
)
def test_a_plan_ends_by_what_is_owned(
    spot: str, perp: str, tries: tuple[Purpose, ...], outcome: Outcome
) -> None:
    assert step("1", spot, perp, *tries) == Finish(outcome)


def test_closing_sells_what_is_owned_and_buys_the_short_back() -> None:
    assert sent(step("0", "1.000000998", "-1"))[:4] == ("SPOT", "first", "Sell", "1")
    command = step("0", "0.000000998", "-1", FIRST)
    assert sent(command)[:4] == ("PERP", "hedge", "Buy", "1")
    assert isinstance(command, Send)
    assert command.reduce_only
    assert step("0", "0.000000998", "0", FIRST, HEDGE) == Finish(Outcome.FLAT)


def test_h10_no_more_coins_are_sold_than_the_pair_owns_whatever_the_short_has_become() -> None:
    # The venue took more of the short than ours: 1 coin stands beside a long of 0.4.
    tries = (FIRST, HEDGE, HEDGE, HEDGE)
    assert sent(step("0", "1", "0.4", *tries))[:4] == ("SPOT", "unwind", "Sell", "1")
    assert step("0", "0", "0.4", *tries) == Finish(Outcome.BROKEN)
    assert step("0", "-0.2", "0.4", *tries) == Finish(Outcome.BROKEN)


def test_a_closing_plan_adds_to_neither_leg_when_one_stands_alone() -> None:
    assert sent(step("0", "2", "-1", FIRST))[:3] == ("SPOT", "unwind", "Sell")
    alone = step("0", "0", "-1", FIRST, first=Leg.PERP)
    assert sent(alone)[:3] == ("PERP", "unwind", "Buy")


def test_nothing_is_sent_while_an_order_is_in_flight_or_a_book_is_missing() -> None:
    progress = PlanProgress(Decimal(1), Leg.SPOT, Decimal(0), Decimal(0), in_flight=True)
    assert isinstance(advance(progress, market(), ExecutionPolicy(), FEE), Wait)
    absent = replace(progress, in_flight=False)
    assert isinstance(advance(absent, market(perp=None), ExecutionPolicy(), FEE), Wait)


def test_what_is_below_the_least_notional_is_not_sent() -> None:
    # 0.0004 at 9,989.6 is under 5 USDT, 0.0006 is over it.
    assert step("0.0004", "0", "0") == Finish(Outcome.FLAT)
    assert isinstance(step("0.0006", "0", "0"), Send)


def test_the_thinner_book_goes_first_and_spot_on_a_tie() -> None:
    thin = quote("9999.5", "10000.5", size="1")
    assert first_leg(market(perp=thin), opening=True) is Leg.PERP
    assert first_leg(market(spot=thin), opening=True) is Leg.SPOT
    same = market(spot=replace(thin, ask=Decimal(10_000)), perp=replace(thin, bid=Decimal(10_000)))
    assert first_leg(same, opening=True) is Leg.SPOT


@given(
    target=st.integers(0, 3_000).map(lambda n: Decimal(n) / 1000),
    spot=st.integers(0, 3_000_000).map(lambda n: Decimal(n) / 1_000_000),
    perp=st.integers(-3_000, 0).map(lambda n: Decimal(n) / 1000),
    first=st.sampled_from(Leg),
    taken=st.lists(st.integers(0, 10), min_size=8, max_size=8),
)
def test_every_plan_ends_and_never_owns_more_than_was_asked_or_held(
    target: Decimal, spot: Decimal, perp: Decimal, first: Leg, taken: list[int]
) -> None:
    most_spot, most_short = max(spot, target), max(-perp, target)
    tries: list[Purpose] = []
    for tenths in [*taken, 10, 10]:
        progress = PlanProgress(target, first, spot, perp, tuple(tries))
        command = advance(progress, market(), ExecutionPolicy(), FEE)
        if isinstance(command, Finish):
            break
        assert isinstance(command, Send)
        tries.append(command.purpose)
        step_size = Decimal("0.000001") if command.leg is Leg.SPOT else Decimal("0.001")
        filled = (command.quantity * tenths / 10 // step_size) * step_size
        if command.leg is Leg.PERP:
            perp += filled * command.side.sign
        elif command.side is Side.BUY:
            spot += filled * (1 - FEE)
        else:
            spot -= filled
        assert 0 <= spot <= most_spot + Decimal("0.000002")
        assert -most_short <= perp <= 0
    assert isinstance(command, Finish)


def later(seconds: str, *tries: Purpose, spot: str = "1.000001", perp: str = "0") -> Command:
    progress = PlanProgress(
        Decimal(1), Leg.SPOT, Decimal(spot), Decimal(perp), tries, unhedged_seconds=Decimal(seconds)
    )
    return advance(progress, market(), ExecutionPolicy(), FEE)


def test_time_widens_the_band_of_the_hedge_and_then_takes_the_first_leg_back() -> None:
    # 9,999.5 less 0.1 % at once, less 0.3 % from five seconds on; from fifteen on the coin goes.
    assert sent(later("4.9", FIRST))[1:] == ("hedge", "Sell", "1", "9989.6")
    assert sent(later("5", FIRST))[1:] == ("hedge", "Sell", "1", "9969.6")
    assert sent(later("15", FIRST))[:3] == ("SPOT", "unwind", "Sell")


def sliced(target: str, spot: str, perp: str, *tries: Purpose) -> Command:
    progress = PlanProgress(
        Decimal(target), Leg.SPOT, Decimal(spot), Decimal(perp), tries,
        approach=Approach(Mode.SLICED, 3, Decimal("0.4")),
    )  # fmt: skip
    return advance(progress, market(), ExecutionPolicy(), FEE)


def test_slices_go_on_only_while_both_legs_stand_together() -> None:
    # 0.4 / 0.999 = 0.4004004..., up to the step.
    assert sent(sliced("1", "0", "0"))[:4] == ("SPOT", "first", "Buy", "0.400401")
    assert sent(sliced("1", "0.4", "0", FIRST))[:4] == ("PERP", "hedge", "Sell", "0.4")
    assert sent(sliced("1", "0.4", "-0.4", FIRST, HEDGE))[:3] == ("SPOT", "first", "Buy")
    # The last slice is what is left: 0.2 / 0.999 = 0.2002002...
    assert sent(sliced("1", "0.8", "-0.8", FIRST, HEDGE, FIRST, HEDGE))[3] == "0.200201"
    spent = (FIRST, HEDGE) * 3
    assert sliced("1", "0.8", "-0.8", *spent) == Finish(Outcome.HEDGED)
    assert sliced("1", "0.4", "-0.4", FIRST, HEDGE, UNWIND) == Finish(Outcome.HEDGED)


def test_the_hedge_of_each_slice_starts_again_at_the_first_band() -> None:
    assert sent(sliced("1", "0.8", "-0.4", FIRST, HEDGE, HEDGE, FIRST))[4] == "9989.6"


def test_slices_close_as_they_open() -> None:
    assert sent(sliced("0", "1", "-1"))[:4] == ("SPOT", "first", "Sell", "0.4")
    assert sent(sliced("0", "0.6", "-1", FIRST))[:4] == ("PERP", "hedge", "Buy", "0.4")


def test_a_makers_first_try_rests_at_the_near_touch_and_the_rest_is_taken() -> None:
    resting = Approach(Mode.MAKER, 2)
    progress = PlanProgress(Decimal(1), Leg.SPOT, Decimal(0), Decimal(0), approach=resting)
    command = advance(progress, market(), ExecutionPolicy(), FEE)
    assert sent(command) == ("SPOT", "first", "Buy", "1.001002", "9999.5")
    assert isinstance(command, Send)
    assert command.rests
    after = replace(progress, spot=Decimal("0.4"), perp=Decimal("-0.4"), tries=(FIRST, HEDGE))
    taken = advance(after, market(), ExecutionPolicy(), FEE)
    # 0.6 / 0.999 = 0.6006006..., up to the step.
    assert sent(taken) == ("SPOT", "first", "Buy", "0.600601", "10010.5")
    assert isinstance(taken, Send)
    assert not taken.rests


WIDE = {"crossed": ("10001", "10000"), "ten percent wide": ("9500", "10500"), "empty": ("0", "0")}


@pytest.mark.parametrize("name", WIDE)
def test_an_unusable_book_stops_acquiring_and_makes_a_hedge_wait(name: str) -> None:
    bad = market(perp=quote(*WIDE[name]))
    fresh = PlanProgress(Decimal(1), Leg.SPOT, Decimal(0), Decimal(0))
    assert advance(fresh, bad, ExecutionPolicy(), FEE) == Finish(Outcome.FLAT)
    alone = replace(fresh, spot=Decimal(1), tries=(FIRST,))
    assert advance(alone, bad, ExecutionPolicy(), FEE) == Wait("a book is unusable")


def test_what_stands_alone_beside_an_unusable_book_is_taken_back_in_time() -> None:
    progress = PlanProgress(
        Decimal(1), Leg.SPOT, Decimal(1), Decimal(0), (FIRST,), unhedged_seconds=Decimal(15)
    )
    bad = market(perp=quote(*WIDE["ten percent wide"]))
    assert sent(advance(progress, bad, ExecutionPolicy(), FEE))[:3] == ("SPOT", "unwind", "Sell")
    gone = market(spot=quote(*WIDE["crossed"]), perp=quote(*WIDE["crossed"]))
    assert advance(progress, gone, ExecutionPolicy(), FEE) == Wait("a book is unsound")


def test_a_hundred_round_trips_leave_less_dust_than_one_step() -> None:
    owned = {Leg.SPOT: Decimal(0), Leg.PERP: Decimal(0)}
    for target in (Decimal(1), Decimal(0)) * 100:
        tries: tuple[Purpose, ...] = ()
        while True:
            progress = PlanProgress(target, Leg.SPOT, owned[Leg.SPOT], owned[Leg.PERP], tries)
            command = advance(progress, market(), ExecutionPolicy(), FEE)
            if not isinstance(command, Send):
                break
            tries = (*tries, command.purpose)
            bought = command.leg is Leg.SPOT and command.side is Side.BUY
            fee = command.quantity * FEE if bought else 0
            owned[command.leg] += command.quantity * command.side.sign - fee
        assert command == Finish(Outcome.FLAT if target == 0 else Outcome.HEDGED)
    # What a round trip cannot sell is the next one's: it never adds up.
    assert 0 <= owned[Leg.SPOT] < Decimal("0.000001")
    assert owned[Leg.PERP] == 0
