"""route(): costs worked by hand on a pair at 9,999.5 / 10,000.5, half the spread 0.00005."""

from decimal import Decimal

from shared.domain.costs import FeeRates
from shared.domain.execution import Approach, Mode
from shared.domain.order import Leg
from shared.domain.policy import ExecutionPolicy
from shared.domain.routing import Route, route
from tests.support.markets import market, quote

FEES = FeeRates(Decimal("0.001"), Decimal("0.00055"))


def chosen(
    quantity: str,
    *,
    size: str = "2",
    first: Leg = Leg.SPOT,
    may_rest: bool = True,
    policy: ExecutionPolicy | None = None,
) -> Route:
    thin = quote("9999.5", "10000.5", size=size)
    return route(
        market(spot=thin, perp=thin),
        first,
        Decimal(quantity),
        opening=True,
        may_rest=may_rest,
        policy=policy or ExecutionPolicy(),
        fees=FEES,
    )


def test_a_size_within_the_touch_is_taken_at_once() -> None:
    found = chosen("2")
    assert found.approach == Approach()
    assert found.costs == {Mode.TAKER: Decimal("0.00105")}
    assert found.reason == "taker is cheapest: taker 0.001050"


def test_a_size_beyond_the_touch_is_sliced_when_that_costs_less() -> None:
    # Three touches: taking walks two beyond, 2 x 0.0005; three slices drift 2 x 0.0001.
    found = chosen("6")
    assert found.costs == {Mode.TAKER: Decimal("0.00205"), Mode.SLICED: Decimal("0.00125")}
    assert found.approach == Approach(Mode.SLICED, 6, Decimal("2.000"))


def test_too_many_slices_are_not_a_way() -> None:
    assert set(chosen("42").costs) == {Mode.TAKER}


def test_a_perpetual_that_goes_first_rests_when_the_saved_fee_is_worth_the_wait() -> None:
    # Filled: 0.0002 - 0.00005 + 0.0002; else 0.0006 + 0.0002; each half of the time.
    policy = ExecutionPolicy(maker_seconds=Decimal(10))
    found = chosen("1", first=Leg.PERP, policy=policy)
    assert found.costs == {Mode.TAKER: Decimal("0.0006"), Mode.MAKER: Decimal("0.000575")}
    assert found.approach == Approach(Mode.MAKER, 2)


def test_spot_does_not_rest_where_maker_and_taker_pay_the_same() -> None:
    # 0.5 x (0.001 - 0.00005 + 0.0002) + 0.5 x (0.00105 + 0.0002) = 0.0012.
    found = chosen("1", policy=ExecutionPolicy(maker_seconds=Decimal(10)))
    assert found.costs[Mode.MAKER] == Decimal("0.0012")
    assert found.approach == Approach()


def test_nothing_rests_without_a_watchdog_or_when_the_policy_says_no() -> None:
    policy = ExecutionPolicy(maker_seconds=Decimal(10))
    assert Mode.MAKER not in chosen("1", first=Leg.PERP, may_rest=False, policy=policy).costs
    assert Mode.MAKER not in chosen("1", first=Leg.PERP).costs
